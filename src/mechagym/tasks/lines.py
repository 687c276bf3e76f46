"""Where in a TOML text a key stands: `tomllib` gives values only, and a message needs the line."""

import re
from collections.abc import Iterator, Sequence

Path = tuple[str | int, ...]

_KEY = r"(?:[A-Za-z0-9_-]+|\"[^\"\n]*\"|'[^'\n]*')"
_DOTTED = rf"{_KEY}(?:[ \t]*\.[ \t]*{_KEY})*"
_TABLE = re.compile(rf"[ \t]*(\[\[?)[ \t]*({_DOTTED})[ \t]*\]\]?")
_VALUE = re.compile(rf"[ \t]*({_DOTTED})[ \t]*=[ \t]*(.*)")
_PART = re.compile(_KEY)
_FENCES = ('"""', "'''")


def line_of(text: str, path: Sequence[str | int]) -> int:
    """Return the line (from 1) of a key, or of the nearest table around it that has one."""
    wanted = tuple(path)
    lines: dict[Path, int] = {}
    for number, key in _keys(text):
        for length in range(1, len(key) + 1):
            lines.setdefault(key[:length], number)
    return next((lines[wanted[:n]] for n in range(len(wanted), 0, -1) if wanted[:n] in lines), 1)


def _keys(text: str) -> Iterator[tuple[int, Path]]:
    table: Path = ()
    counts: dict[Path, int] = {}
    fence: str | None = None
    for number, line in enumerate(text.split("\n"), start=1):
        if fence is not None:
            fence = None if fence in line else fence
        elif match := _TABLE.match(line):
            table = _table(match[2], counts, is_array=match[1] == "[[")
            yield number, table
        elif match := _VALUE.match(line):
            yield number, table + _parts(match[1])
            fence = _left_open(match[2])


def _table(dotted: str, counts: dict[Path, int], *, is_array: bool) -> Path:
    table: Path = ()
    parts = _parts(dotted)
    for position, part in enumerate(parts, start=1):
        table = (*table, part)
        if is_array and position == len(parts):
            counts[table] = counts.get(table, -1) + 1
        if table in counts:
            table = (*table, counts[table])
    return table


def _parts(dotted: str) -> Path:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))


def _left_open(value: str) -> str | None:
    return next((f for f in _FENCES if value.startswith(f) and value.count(f) == 1), None)
