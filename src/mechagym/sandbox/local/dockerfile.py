"""The lines of a Dockerfile that can be replayed without a builder; anything else is refused by
name.

Pure. FROM WORKDIR ENV ARG COPY ADD RUN USER are understood. CMD, ENTRYPOINT, EXPOSE and LABEL do
nothing to files, and a box starts our own first process on every backend, so they are passed over.
"""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from mechagym.errors import ImageError

_PASSED_OVER = frozenset({"CMD", "ENTRYPOINT", "EXPOSE", "LABEL", "MAINTAINER"})
_PATHS = frozenset({"COPY", "ADD"})
_KNOWN = frozenset({"FROM", "WORKDIR", "ENV", "ARG", "RUN", "USER"}) | _PATHS
_FLAGS = {"COPY": frozenset({"chown", "chmod"}), "ADD": frozenset({"chown", "chmod"})}
_VARIABLE = re.compile(
    r"\\\$|\$(?:(?P<plain>\w+)|\{(?P<name>\w+)(?::(?P<rule>[-+])(?P<word>[^}]*))?\})"
)
_DIRECTIVE = re.compile(r"#\s*(escape|syntax)\s*=", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One instruction. `words`: the arguments; for RUN an argv, `sh -c TEXT` in the shell form."""

    number: int
    name: str
    words: tuple[str, ...]
    flags: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A whole file: what it starts from, and what is done to that."""

    base: str
    lines: tuple[Line, ...]


def parse(text: str, name: str = "Dockerfile") -> Recipe:
    """Read a Dockerfile. Raises ImageError with file and line for what cannot be replayed."""
    base = ""
    lines: list[Line] = []
    arguments: dict[str, str] = {}
    for number, logical in _logical(text, name):
        line = _line(number, logical, name)
        if line is None:
            continue
        if line.name == "FROM":
            if base:
                raise _refused(name, number, "a second FROM (stages)")
            base = expand(line.words[0], arguments) if line.words else ""
        elif not base and line.name == "ARG":
            arguments.update(pairs(line.words))
        elif not base:
            raise _refused(name, number, f"{line.name} before FROM")
        else:
            lines.append(line)
    if not base:
        raise ImageError(f"{name}: no FROM line")
    return Recipe(base=base, lines=tuple(lines))


def expand(text: str, variables: dict[str, str]) -> str:
    """Put in `$NAME`, `${NAME}`, `${NAME:-word}` and `${NAME:+word}`."""

    def value(match: re.Match[str]) -> str:
        name = match["plain"] or match["name"]
        if name is None:
            return "$"
        found = variables.get(name, "")
        if match["rule"] == "-":
            return found or match["word"]
        if match["rule"] == "+":
            return match["word"] if found else ""
        return found

    return _VARIABLE.sub(value, text)


def pairs(words: tuple[str, ...]) -> dict[str, str]:
    """The variables of an ENV (`A=b C=d`, or `A b c`) or ARG line."""
    if words and "=" not in words[0]:
        return {words[0]: " ".join(words[1:])}
    return dict(word.partition("=")[::2] for word in words)


def _logical(text: str, name: str) -> Iterator[tuple[int, str]]:
    """Lines with their continuations joined and comments left out."""
    whole, start = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#"):
            if _DIRECTIVE.match(line.strip()) and "escape" in line.lower() and not whole:
                raise _refused(name, number, "the escape directive")
            continue
        if not whole:
            start = number
        if not line.strip():
            continue
        stripped = line.rstrip()
        if stripped.endswith("\\"):
            whole += stripped[:-1] + " "
            continue
        yield start, (whole + line).strip()
        whole = ""
    if whole.strip():
        yield start, whole.strip()


def _line(number: int, text: str, file: str) -> Line | None:
    word, _, rest = text.partition(" ")
    name, rest = word.upper(), rest.strip()
    if name in _PASSED_OVER:
        return None
    if name not in _KNOWN:
        raise _refused(file, number, name)
    if re.search(r"<<-?['\"]?\w", rest) and name in _PATHS | {"RUN"}:
        raise _refused(file, number, f"{name} with a heredoc")
    flags, rest = _flags(rest)
    for flag in flags:
        if flag not in _FLAGS.get(name, frozenset()):
            raise _refused(file, number, f"{name} --{flag}")
    return Line(number=number, name=name, words=_words(name, rest, file, number), flags=flags)


def _flags(rest: str) -> tuple[dict[str, str], str]:
    found = {}
    while match := re.match(r"--(\w[\w-]*)(?:=(\S*))?\s*", rest):
        found[match[1]] = match[2] or ""
        rest = rest[match.end() :]
    return found, rest


def _words(name: str, rest: str, file: str, number: int) -> tuple[str, ...]:
    if rest.startswith("[") and name in _PATHS | {"RUN"}:
        try:
            return tuple(map(str, json.loads(rest)))
        except ValueError:
            pass  # Docker takes a broken list as shell text, too
    if name == "RUN":
        return ("/bin/sh", "-c", rest)
    if name in {"WORKDIR", "USER"}:
        return (rest.strip("\"'"),)
    try:
        return tuple(shlex.split(rest))
    except ValueError as error:
        raise ImageError(f"{file}:{number}: {error}") from error


def _refused(file: str, number: int, what: str) -> ImageError:
    return ImageError(
        f"{file}:{number}: {what} cannot be replayed without a builder",
        remedy="run this task on Docker, or simplify the line",
        reason="dockerfile_line",
    )
