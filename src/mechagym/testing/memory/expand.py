"""Expansion: a word of the grammar becomes arguments, in the order that POSIX asks for."""

import fnmatch
import operator
import posixpath
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from mechagym.testing.memory.files import Folder, Tree
from mechagym.testing.memory.nodes import Piece, Word
from mechagym.testing.memory.process import Exit

_MATH = re.compile(r"\s*(?:(\d+)|\$?([A-Za-z_]\w*)|(<=|>=|==|!=|&&|\|\||[-+*/%()<>]))")
_OPERATIONS: tuple[dict[str, Callable[[int, int], int]], ...] = (
    {"||": lambda a, b: int(bool(a or b))},
    {"&&": lambda a, b: int(bool(a and b))},
    {"==": operator.eq, "!=": operator.ne},
    {"<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge},
    {"+": operator.add, "-": operator.sub},
    {"*": operator.mul, "/": lambda a, b: int(a / b), "%": lambda a, b: a - b * int(a / b)},
)


@dataclass(slots=True, eq=False, kw_only=True)
class Scope:
    """What expansion sees of a shell. `run` gives the output of a command substitution."""

    variables: dict[str, str]
    arguments: list[str]
    tree: Tree
    run: Callable[[str], Awaitable[str]]
    special: Mapping[str, Callable[[], str]] = field(default_factory=dict)
    cwd: Callable[[], str]
    strict: Callable[[], bool]

    async def arguments_of(self, words: tuple[Word, ...]) -> list[str]:
        """Expand, split and glob."""
        found: list[str] = []
        for word in words:
            for text, pattern in await self._fields(word):
                matches = self.glob(pattern) if pattern is not None else []
                found += matches or [text]
        return found

    async def text_of(self, word: Word) -> str:
        """Expand without splitting: assignments, targets, here documents."""
        return "".join([await self._value(piece) for piece in word])

    async def pattern_of(self, word: Word) -> str:
        """Expand to a pattern in which quoted text stands for itself."""
        parts = [(await self._value(piece), piece.quoted) for piece in word]
        return "".join(_escaped(text) if quoted else text for text, quoted in parts)

    async def _fields(self, word: Word) -> list[tuple[str, str | None]]:
        """The fields of a word: text, and its pattern where it is one."""
        done: list[tuple[str, str]] = []
        text = pattern = ""
        there = False
        for piece in word:
            if piece.kind == "var" and piece.text == "@" and piece.quoted:
                for i, argument in enumerate(self.arguments):
                    if i:
                        done.append((text, pattern))
                        text = pattern = ""
                    text, pattern, there = text + argument, pattern + _escaped(argument), True
                continue
            value = await self._value(piece)
            if piece.quoted or piece.kind == "text":
                text += value
                pattern += _escaped(value) if piece.quoted else value
                there = True
                continue
            split = _split(value, self.variables.get("IFS", " \t\n"))
            for i, part in enumerate(split):
                if i:
                    done.append((text, pattern))
                    text = pattern = ""
                text, pattern = text + part, pattern + part
                there = there or bool(part) or i > 0
        if there:
            done.append((text, pattern))
        return [(t, p if re.search(r"[*?]|\[.+\]", p) else None) for t, p in done]

    async def _value(self, piece: Piece) -> str:
        match piece.kind:
            case "text":
                return piece.text
            case "command":
                return (await self.run(piece.text)).rstrip("\n")
            case "math":
                return str(self.math(piece.text))
            case _:
                return await self._variable(piece)

    def lookup(self, name: str) -> str | None:
        """A variable, argument or special parameter."""
        if name in self.special:
            return self.special[name]()
        if name.isdecimal() and name != "0":
            at = int(name) - 1
            return self.arguments[at] if at < len(self.arguments) else None
        if name in "@*":
            return " ".join(self.arguments)
        return self.variables.get(name)

    async def _variable(self, piece: Piece) -> str:
        value = self.lookup(piece.text)
        how = piece.operator
        if how == "length":
            return str(len(value or ""))
        if how[:1] in ("%", "#"):
            return _trimmed(value or "", how, await self.pattern_of(piece.default))
        missing = value is None or (how.startswith(":") and not value)
        match how.lstrip(":"):
            case "-" if missing:
                return await self.text_of(piece.default)
            case "=" if missing:
                self.variables[piece.text] = await self.text_of(piece.default)
                return self.variables[piece.text]
            case "+":
                return "" if missing else await self.text_of(piece.default)
            case "?" if missing:
                raise Exit(1)
            case "" if value is None and self.strict():
                raise Exit(1)
        return value or ""

    def glob(self, pattern: str) -> list[str]:
        """The paths that match, sorted; none where nothing does."""
        found = [""] if not pattern.startswith("/") else ["/"]
        for step in [s for s in pattern.split("/") if s]:
            found = [path for base in found for path in self._matches(base, step)]
        return sorted(found)

    def _matches(self, base: str, step: str) -> list[str]:
        here = self.tree.get(posixpath.join(self.cwd(), base) if base else self.cwd())
        if not isinstance(here, Folder):
            return []
        names = [
            name
            for name in (*here.children, ".", "..")
            if fnmatch.fnmatchcase(name, step) and (step[0] == "." or name[0] != ".")
        ]
        return [posixpath.join(base, name) for name in names]

    def math(self, text: str) -> int:
        """Integer arithmetic."""
        tokens = [match for match in _MATH.finditer(text) if match[0].strip()]
        values: list[int | str] = [
            int(m[1]) if m[1] else int(self.lookup(m[2]) or "0") if m[2] else m[3] for m in tokens
        ]
        try:
            return _level(values, 0)
        except (IndexError, ZeroDivisionError):
            raise Exit(2) from None


def _level(values: list[int | str], depth: int) -> int:
    if depth == len(_OPERATIONS):
        first = values.pop(0)
        if first == "(":
            inner = _level(values, 0)
            values.pop(0)
            return inner
        return -_level(values, depth) if first == "-" else int(first)
    left = _level(values, depth + 1)
    while values and values[0] in _OPERATIONS[depth]:
        apply = _OPERATIONS[depth][str(values.pop(0))]
        left = int(apply(left, _level(values, depth + 1)))
    return left


def _split(value: str, separators: str) -> list[str]:
    """Split by IFS: white space in runs, other separators one by one."""
    if not separators:
        return [value]
    if not separators.strip():
        return value.split()
    return re.split(f"[{re.escape(separators)}]", value.rstrip(separators))


def _trimmed(value: str, how: str, pattern: str) -> str:
    ends = range(len(value) + 1)
    if how[0] == "#":
        cuts = reversed(ends) if how == "##" else ends
        return next((value[i:] for i in cuts if fnmatch.fnmatchcase(value[:i], pattern)), value)
    cuts = ends if how == "%%" else reversed(ends)
    return next((value[:i] for i in cuts if fnmatch.fnmatchcase(value[i:], pattern)), value)


def _escaped(text: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", text)
