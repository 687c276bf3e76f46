"""A task folder read into one `Task`: Harbor's form (one step or several), or Terminal-Bench 1's.

Nothing is written into the folder. A Terminal-Bench 1 task is converted once, in the cache, and the
converted folder is what the task names and what is hashed: it is what will run.
"""

import os
from dataclasses import replace
from pathlib import Path

from mechagym.errors import TaskError
from mechagym.records import Json
from mechagym.tasks import sections
from mechagym.tasks.digest import TreeEntry, read_tree, task_digest, tree_digest
from mechagym.tasks.instruction import split_canary
from mechagym.tasks.model import Step, Task
from mechagym.tasks.schema import PackagePart, StepPart, TaskFile
from mechagym.tasks.terminal_bench import converted
from mechagym.tasks.texts import read_text
from mechagym.tasks.toml import read_task_file, unknown_keys

TASK_FILES = ("task.toml", "task.yaml")
COMPOSE_FILES = ("docker-compose.yaml", "docker-compose.yml")


def is_task(folder: Path) -> bool:
    """Whether a folder holds a task of a form that is read here."""
    return any(_is_file(folder / name) for name in TASK_FILES)


def load_task(folder: Path, *, dataset: str = "", cache: Path | None = None) -> Task:
    """Read one task folder. `cache` is where a Terminal-Bench 1 task is converted.

    Raises TaskError, whose message starts with the file (and the line where one is at fault).
    """
    folder = folder.resolve()
    if folder.is_dir() and not os.access(folder, os.R_OK | os.X_OK):
        raise TaskError(f"{folder}: cannot be read: no permission", reason="no_permission")
    if _is_file(folder / "task.toml"):
        return _load(folder, dataset)
    if _is_file(folder / "task.yaml"):
        task = _load(converted(folder, cache), dataset)
        return replace(task, form="terminal-bench-1")
    raise TaskError(
        f"{folder / 'task.toml'}: this file is missing",
        remedy="A task is a folder with task.toml, instruction.md, environment/ and tests/.",
        reason="not_a_task",
    )


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 `Path.is_file` raises where there is no permission


def _load(folder: Path, dataset: str) -> Task:
    entries = read_tree(folder)  # first: after it, no path of the folder leads out of it
    file = read_task_file(folder / "task.toml")
    steps, canary = _steps(folder, file)
    package = file.task or PackagePart.model_construct(name=folder.name)
    task = Task(
        name=package.name.rpartition("/")[2],
        folder=folder,
        digest=tree_digest(entries),
        schema_version=file.schema_name,
        steps=steps,
        environment=sections.environment(file),
        dataset=dataset,
        full_name=file.task.name if file.task else None,
        version=package.version,
        description=package.description,
        authors=tuple(map(sections.author, package.authors)),
        keywords=package.keywords,
        source=file.source,
        metadata=_metadata(folder, file),
        solution_env=dict(file.solution.env),
        artifacts=tuple(map(sections.artifact, file.artifacts)),
        reward_strategy=file.multi_step_reward_strategy or "mean",
        dockerfile=_present(folder / "environment" / "Dockerfile"),
        compose_file=_present(*(folder / "environment" / name for name in COMPOSE_FILES)),
        environment_digest=_environment_digest(folder, entries),
        verifier_dockerfile=_present(folder / "tests" / "Dockerfile"),
        canary=canary,
        unknown_keys=unknown_keys(file),
    )
    _check_files(task)
    return task


def _metadata(folder: Path, file: TaskFile) -> dict[str, Json]:
    try:
        return {key: sections.plain(value) for key, value in file.metadata.items()}
    except RecursionError:
        raise TaskError(f"{folder / 'task.toml'}:1: metadata nested too deeply") from None


def _environment_digest(folder: Path, entries: tuple[TreeEntry, ...]) -> str | None:
    context = folder / "environment"
    if context.is_symlink():
        return task_digest(context)
    return tree_digest(entries, "environment") if context.is_dir() else None


def _present(*paths: Path) -> Path | None:
    return next((path for path in paths if path.is_file()), None)


def _check_files(task: Task) -> None:
    if not (task.environment.docker_image or task.dockerfile or task.compose_file):
        raise TaskError(
            f"{task.folder / 'environment' / 'Dockerfile'}: this file is missing",
            remedy="Write it, or set environment.docker_image in task.toml.",
            reason="file_missing",
        )
    for step in task.steps:
        folders = [step.tests_dir, *([step.shared_tests] if step.shared_tests else [])]
        entries = [folder / step.test_entry for folder in folders]
        if not _present(*entries) and not _brings_tests(task, step):
            raise TaskError(f"{entries[0]}: this file is missing", reason="file_missing")


def _brings_tests(task: Task, step: Step) -> bool:
    """Whether the verifier's own image holds the tests already."""
    own = step.verifier.environment
    built = task.verifier_dockerfile or step.verifier_dockerfile
    return step.verifier.mode == "separate" and bool(built or (own and own.docker_image))


def _suffix(file: TaskFile) -> str:
    return ".bat" if file.environment.os == "windows" else ".sh"


def _steps(folder: Path, file: TaskFile) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    if not file.steps:
        text, canary = split_canary(read_text(folder / "instruction.md"))
        return (_main_step(folder, file, text),), canary
    steps: list[Step] = []
    canaries: list[str] = []
    for part in file.steps:
        text, canary = split_canary(read_text(folder / "steps" / part.name / "instruction.md"))
        steps.append(_step(folder, file, part, text))
        canaries += canary
    return tuple(steps), tuple(canaries)


def _main_step(folder: Path, file: TaskFile, instruction: str) -> Step:
    suffix = _suffix(file)
    return Step(
        name="main",
        instruction=instruction,
        tests_dir=folder / "tests",
        solution_dir=folder / "solution",
        agent=sections.agent(file),
        verifier=sections.verifier(file),
        test_entry=f"test{suffix}",
        solution_entry=f"solve{suffix}",
    )


def _step(folder: Path, file: TaskFile, part: StepPart, instruction: str) -> Step:
    home, suffix = folder / "steps" / part.name, _suffix(file)
    workdir, setup = home / "workdir", home / "workdir" / "setup.sh"
    dockerfile = home / "tests" / "Dockerfile"
    return Step(
        name=part.name,
        instruction=instruction,
        tests_dir=home / "tests",
        solution_dir=home / "solution",
        agent=sections.agent(file, part.agent),
        verifier=sections.verifier(file, part.verifier),
        workdir_files=workdir if workdir.is_dir() else None,
        setup_script=setup if setup.is_file() else None,
        healthcheck=sections.healthcheck(part.healthcheck),
        artifacts=tuple(map(sections.artifact, part.artifacts)),
        min_reward=dict(part.min_reward or {}),
        test_entry=f"test{suffix}",
        solution_entry=f"solve{suffix}",
        shared_tests=folder / "tests" if (folder / "tests").is_dir() else None,
        verifier_dockerfile=dockerfile if dockerfile.is_file() else None,
    )
