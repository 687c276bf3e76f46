"""`tasks check`: what is wrong, or will be, with a task, told without running it.

`error`: the task cannot work or gives its answer away. `warning`: it will work, but not for long or
not for everybody. `note`: worth knowing. Rule names are stable words; `RULES` says what each means.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mechagym.errors import TaskError
from mechagym.tasks.dockerfile import base_images, last_user, read_dockerfile
from mechagym.tasks.folder import load_task
from mechagym.tasks.lines import line_of
from mechagym.tasks.lint_files import Fault, leaks, reward_fault, script_faults
from mechagym.tasks.model import Step, Task
from mechagym.tasks.schema import TaskFile
from mechagym.tasks.texts import read_text
from mechagym.tasks.toml import known_keys, read_task_file, suggestion

Severity = Literal["error", "warning", "note"]

RULES: dict[str, tuple[Severity, str]] = {
    "unreadable": ("error", "the task cannot be loaded"),
    "unknown-key": ("warning", "a key of task.toml that no schema version knows"),
    "old-key": ("note", "a key that has a newer spelling"),
    "schema-version": ("warning", "a schema version newer than what is known here"),
    "instruction-empty": ("error", "the agent would be told nothing"),
    "solution-missing": ("warning", "no reference solution: the oracle cannot prove the task"),
    "image-unpinned": ("warning", "an image without a version: tomorrow it is another"),
    "image-without-digest": ("note", "an image by tag only: whoever owns the tag can change it"),
    "network-in-tests": ("warning", "tests that download: they fail when the other side is away"),
    "tests-in-image": ("error", "the agent can read the tests in the image"),
    "solution-in-image": ("error", "the agent can read the solution in the image"),
    "root-agent": ("note", "the agent works as root"),
    "pipefail-missing": ("warning", "a pipe in the test script hides the failure of its left side"),
    "reward-unwritten": ("error", "nothing in tests/ writes reward.txt or reward.json"),
    "line-ends": ("error", "a shell script with Windows line ends does not run"),
    "canary-absent": ("warning", "no canary: the task's text cannot be found in training data"),
    "timeout-absent": ("warning", "the agent has no time limit of the task's"),
    "timeout-small": ("warning", "too little time for a slow machine"),
}
SMALLEST_S = 10.0
NEWEST_SCHEMA = (1, 4)
OLD_KEYS = {
    "version": "schema_version",
    "environment.memory": "memory_mb",
    "environment.storage": "storage_mb",
    "environment.allow_internet": "network_mode",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing found. `line` None: the file, or its absence, as a whole."""

    rule: str
    severity: Severity
    path: Path
    line: int | None
    message: str

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else str(self.path)
        return f"{place}: {self.severity}: {self.message} [{self.rule}]"


def lint_folder(folder: Path, *, cache: Path | None = None) -> tuple[Finding, ...]:
    """Lint a task folder; one that cannot be loaded gives one finding, with the reason."""
    try:
        return lint_task(load_task(folder, cache=cache))
    except TaskError as error:
        return (unreadable(folder, error),)


def lint_task(task: Task) -> tuple[Finding, ...]:
    """Lint a task that was loaded: by severity, then by file and line."""
    order = ("error", "warning", "note")
    found = [finding for check in CHECKS for finding in _run(check, task)]
    by_weight = sorted(found, key=lambda f: (order.index(f.severity), f.path, f.line or 0))
    return tuple(dict.fromkeys(by_weight))


def unreadable(folder: Path, error: TaskError) -> Finding:
    """Make the finding of a task that does not load."""
    place, _, message = error.message.partition(": ")
    path, _, line = place.rpartition(":")
    known = bool(message) and line.isdecimal()
    return Finding(
        rule="unreadable",
        severity="error",
        path=Path(path if known else place) if message else folder,
        line=int(line) if known else None,
        message=message or error.message,
    )


def _run(check: Callable[[Task], Iterator[Fault]], task: Task) -> Iterator[Finding]:
    try:
        for rule, path, line, message in check(task):
            severity = RULES[rule][0]
            yield Finding(rule=rule, severity=severity, path=path, line=line, message=message)
    except TaskError as error:
        yield unreadable(task.folder, error)


def _keys(task: Task) -> Iterator[Fault]:
    path = task.folder / "task.toml"
    text, file = read_text(path), read_task_file(path)
    for dotted in task.unknown_keys:
        word = dotted.rpartition(".")[2]
        told = f"unknown key {dotted}{suggestion(word, known_keys(dotted))}"
        yield Fault("unknown-key", path, line_of(text, _path(dotted)), told)
    for dotted, new in OLD_KEYS.items():
        if _said(file, dotted):
            told = f"{dotted} is an old spelling of {new}"
            yield Fault("old-key", path, line_of(text, _path(dotted)), told)
    if file.schema_numbers > NEWEST_SCHEMA:
        told = f"schema {file.schema_name}; newest known: {'.'.join(map(str, NEWEST_SCHEMA))}"
        yield Fault("schema-version", path, line_of(text, ("schema_version",)), told)


def _path(dotted: str) -> tuple[str | int, ...]:
    parts = dotted.replace("[", ".").replace("]", "").split(".")
    return tuple(int(part) if part.isdecimal() else part for part in parts)


def _said(file: TaskFile, dotted: str) -> bool:
    section, _, key = dotted.rpartition(".")
    return key in (getattr(file, section) if section else file).model_fields_set


def _steps(task: Task) -> Iterator[Fault]:
    for step in task.steps:
        home = step.tests_dir.parent
        if not step.instruction.strip():
            yield Fault("instruction-empty", home / "instruction.md", None, "instruction is empty")
        solution = step.solution_dir / step.solution_entry
        if not solution.is_file():
            yield Fault("solution-missing", solution, None, "there is no reference solution")
        yield from _times(task, step)


def _times(task: Task, step: Step) -> Iterator[Fault]:
    path = task.folder / "task.toml"
    if step.agent.timeout_s is None:
        yield Fault("timeout-absent", path, None, "agent.timeout_sec is not set")
    for who, time_s in (("agent", step.agent.timeout_s), ("verifier", step.verifier.timeout_s)):
        if time_s is not None and time_s < SMALLEST_S:
            told = (
                f"{who}.timeout_sec = {time_s:g}: a slow machine needs more than {SMALLEST_S:g} s"
            )
            yield Fault("timeout-small", path, line_of(read_text(path), (who, "timeout_sec")), told)


def _images(task: Task) -> Iterator[Fault]:
    if task.environment.docker_image:
        path = task.folder / "task.toml"
        line = line_of(read_text(path), ("environment", "docker_image"))
        yield from _pinned(path, line, task.environment.docker_image)
    for dockerfile in (task.dockerfile, task.verifier_dockerfile):
        if dockerfile is not None:
            for line, image in base_images(read_dockerfile(read_text(dockerfile))):
                yield from _pinned(dockerfile, line, image)


def _pinned(path: Path, line: int, image: str) -> Iterator[Fault]:
    tag = image.rpartition("/")[2].partition(":")[2]
    if "@sha256:" in image or "$" in image:
        return
    if tag in ("", "latest"):
        yield Fault("image-unpinned", path, line, f"{image} names no version")
    else:
        yield Fault("image-without-digest", path, line, f"{image} is not pinned by a digest")


def _agent_user(task: Task) -> Iterator[Fault]:
    for step in task.steps:
        user = step.agent.user
        if user is None and task.dockerfile is not None:
            user = last_user(read_dockerfile(read_text(task.dockerfile)))
        if user in ("root", "0"):
            path = task.dockerfile or task.folder / "task.toml"
            yield Fault("root-agent", path, None, "the agent works as root")
            return


def _canary(task: Task) -> Iterator[Fault]:
    files = [task.folder / "task.toml", *([task.dockerfile] if task.dockerfile else [])]
    for step in task.steps:
        files += [step.tests_dir / step.test_entry, step.solution_dir / step.solution_entry]
    known = bool(task.canary) or any(
        "canary" in read_text(path).lower() for path in files if path.is_file()
    )
    if not known:
        path = task.steps[0].tests_dir.parent / "instruction.md"
        yield Fault("canary-absent", path, None, "no canary line in any file")


CHECKS: tuple[Callable[[Task], Iterator[Fault]], ...] = (
    _keys,
    _steps,
    _images,
    _agent_user,
    _canary,
    leaks,
    script_faults,
    reward_fault,
)
