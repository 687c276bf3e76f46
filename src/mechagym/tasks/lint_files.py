"""The part of the lint that reads what a task brings along: scripts, tests, build context."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mechagym.errors import TaskError
from mechagym.tasks.digest import TreeEntry, read_tree
from mechagym.tasks.dockerfile import read_dockerfile
from mechagym.tasks.model import Step, Task
from mechagym.tasks.texts import read_text

_NETWORK = re.compile(
    r"\b(apt-get|apt|apk|dnf|yum)\s[^#|;&]*\b(install|add|update)\b"
    r"|\b(pip3?|uv pip|uv tool|uv|npm|cargo|gem|go)\s+(install|add|sync|get)\b"
    r"|\b(curl|wget)\b[^#|;&]*(https?|ftp)://"
    r"|(^|[;&|]\s*)(uvx|npx|pipx)\s"
    r"|\bgit\s+clone\b"
)
_PIPE = re.compile(r"(?<![|>&])\|(?![|])")
_CASE_ARM = re.compile(r"\s*(case\b|\(?[^()]*\))")
_QUOTED = re.compile(r"'[^']*'|\"(?:\\.|[^\"\\])*\"")
_REWARD = re.compile(rb"reward\.(txt|json)")
_SECRET_NAMES = re.compile(r"(?:test_.*|.*_test|solve.*|solution.*)\.\w+|test\.(?:sh|bat)")
MIN_TELLING_BYTES = 16


class Fault(NamedTuple):
    """A finding before its severity is known."""

    rule: str
    path: Path
    line: int | None
    message: str


def script_faults(task: Task) -> Iterator[Fault]:
    """Look through every shell script of the tests, and the solution's for its line ends."""
    for folder in _test_folders(task):
        for path in _scripts(folder):
            yield from _network(path)
            yield from _pipes(path)
    folders = (*_test_folders(task), *(step.solution_dir for step in task.steps))
    for path in dict.fromkeys(path for folder in folders for path in _scripts(folder)):
        if b"\r\n" in path.read_bytes():
            yield Fault("line-ends", path, None, "Windows line ends in a shell script")


def reward_fault(task: Task) -> Iterator[Fault]:
    """Look for the reward in all that a step's tests are made of."""
    for step in task.steps:
        folders = [folder for folder in (step.tests_dir, step.shared_tests) if folder]
        entry = next(
            (f / step.test_entry for f in folders if (f / step.test_entry).is_file()), None
        )
        if entry is None:
            continue  # the verifier's own image brings the tests
        texts = (path.read_bytes() for folder in folders for path in _files(folder))
        if not any(_REWARD.search(text) for text in texts):
            told = "no file here writes /logs/verifier/reward.txt or reward.json"
            yield Fault("reward-unwritten", entry, None, told)


def leaks(task: Task) -> Iterator[Fault]:
    """Look for tests and solutions in the build context, which is where an image gets them from.

    A context may hold a folder `tests` of its own: only a copy of the task's own files counts.
    """
    context = task.folder / "environment"
    if task.dockerfile is None:
        return
    copied = [s for i in read_dockerfile(read_text(task.dockerfile)) for s in i.sources]
    inside: dict[bytes, str] = {}
    for entry in read_tree(task.folder):
        if entry.path.startswith("environment/"):
            inside[entry.content] = entry.path
            yield from _leaving(task.folder / entry.path, task)
    for rule, step in ((rule, s) for s in task.steps for rule in ("tests", "solution")):
        folder = step.tests_dir if rule == "tests" else step.solution_dir
        for entry in _telling(folder):
            path = inside.get(entry.content)
            if path and _is_copied(path.removeprefix("environment/"), copied):
                told = f"the same as {folder.name}/{entry.path}, and copied into the image"
                yield Fault(f"{rule}-in-image", context.parent / path, None, told)


def _leaving(path: Path, task: Task) -> Iterator[Fault]:
    if path.is_symlink():
        for part in ("tests", "solution", "steps"):
            if path.resolve().is_relative_to(task.folder / part):
                rule = "solution-in-image" if part == "solution" else "tests-in-image"
                yield Fault(rule, path, None, f"a link into {part}/")


def _telling(folder: Path) -> Iterator[TreeEntry]:
    if folder.is_dir():
        for entry in read_tree(folder):
            path = folder / entry.path
            named = _SECRET_NAMES.fullmatch(path.name)
            if named and path.is_file() and path.stat().st_size >= MIN_TELLING_BYTES:
                yield entry


def _is_copied(path: str, sources: list[str]) -> bool:
    return any(
        source in (".", "*", path) or path.startswith(f"{source}/") or Path(path).match(source)
        for source in sources
    )


def _network(path: Path) -> Iterator[Fault]:
    for number, line in _code(path):
        if match := _NETWORK.search(line):
            told = f"downloads while testing: {match[0].strip()}"
            yield Fault("network-in-tests", path, number, told)
            return


def _pipes(path: Path) -> Iterator[Fault]:
    code = list(_code(path))
    if any("pipefail" in line for _, line in code):
        return
    for number, line in code:
        if _PIPE.search(_QUOTED.sub("", line)) and not _CASE_ARM.match(line):
            yield Fault("pipefail-missing", path, number, "a pipe without `set -o pipefail`")
            return


def _code(path: Path) -> Iterator[tuple[int, str]]:
    try:
        text = read_text(path)
    except TaskError:
        return  # not text: nothing to look for
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line


def _test_folders(task: Task) -> tuple[Path, ...]:
    def both(step: Step) -> tuple[Path | None, Path]:
        return step.shared_tests, step.tests_dir

    return tuple(dict.fromkeys(f for step in task.steps for f in both(step) if f is not None))


def _scripts(folder: Path) -> list[Path]:
    return [path for path in _files(folder) if path.suffix in (".sh", ".bash")]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
