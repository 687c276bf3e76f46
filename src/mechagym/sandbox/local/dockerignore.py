"""`.dockerignore`: which paths of a context are not part of it."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

Rules = list[tuple[re.Pattern[str], bool]]
"""In order: a pattern over a path relative to the context, and whether it leaves out or takes back in."""


def parse(text: str) -> Rules:
    """Read the patterns: Go's `filepath.Match` with `**`, `!` for exceptions, `#` for comments."""
    rules = []
    for line in text.splitlines():
        pattern = line.strip()
        if pattern and not pattern.startswith("#"):
            leaves_out = not pattern.startswith("!")
            pattern = pattern.removeprefix("!").strip().strip("/").removeprefix("./")
            rules.append((re.compile(_regex(pattern) + r"(/.*)?\Z"), leaves_out))
    return rules


def is_ignored(path: str, rules: Rules) -> bool:
    """Whether the last rule that meets the path leaves it out."""
    verdicts = [leaves_out for pattern, leaves_out in rules if pattern.match(path)]
    return bool(verdicts) and verdicts[-1]


@contextmanager
def cleaned(folder: Path, context: Path) -> Iterator[Path]:
    """The folder of a context without what is ignored: itself, or a copy for the time being."""
    ignore = context / ".dockerignore"
    if not ignore.is_file():
        yield folder
        return
    rules = parse(ignore.read_text(encoding="utf-8", errors="replace"))

    def leave_out(parent: str, names: list[str]) -> set[str]:
        at = Path(parent).relative_to(context)
        return {name for name in names if is_ignored((at / name).as_posix(), rules)}

    with tempfile.TemporaryDirectory(prefix="mechagym-context-") as temporary:
        copy = Path(temporary, "context")
        shutil.copytree(folder, copy, symlinks=True, ignore=leave_out)
        yield copy


def _regex(pattern: str) -> str:
    found, rest = "", pattern
    while rest:
        if rest.startswith("**/"):
            found, rest = found + "(.*/)?", rest[3:]
        elif rest.startswith("**"):
            found, rest = found + ".*", rest[2:]
        elif rest[0] in "*?":
            found, rest = found + ("[^/]*" if rest[0] == "*" else "[^/]"), rest[1:]
        elif rest[0] == "[" and "]" in rest:
            end = rest.index("]")
            found, rest = found + rest[: end + 1].replace("[!", "[^"), rest[end + 1 :]
        elif rest[0] == "\\" and len(rest) > 1:
            found, rest = found + re.escape(rest[1]), rest[2:]
        else:
            found, rest = found + re.escape(rest[0]), rest[1:]
    return found
