"""Wrong solutions made from a right one (V10): small changes of its files. Pure.

A suite that no such change makes fail shows nothing. The choice is spread over kinds and places,
and the same for the same files.
"""

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import PurePosixPath
from typing import Literal

MOST_MUTANTS = 20
MAX_TEXT_BYTES = 512 * 1024
_NUMBER = re.compile(r"(?<![\w.])\d+(?![\w.])")
_CODE_OPERATORS = (
    ("<=", "<"),
    (">=", ">"),
    ("==", "!="),
    ("!=", "=="),
    ("&&", "||"),
    ("||", "&&"),
    (" < ", " <= "),
    (" > ", " >= "),
    (" + ", " - "),
    (" - ", " + "),
    ("++", "--"),
)
# what begins so says nothing, or its place says nothing: comments, headers, empty lines
_COMMENT = re.compile(r"^\s*(?:#|//|/\*|\*|--|%|;|$)")
_BARE = re.compile(r"^[\s{}()\[\];,]*(?:else|fi|done|end|then|do|try:|pass)?[\s{}()\[\];,]*$")
_CODE = frozenset(
    ".c .h .cc .cpp .js .ts .sh .rs .go .java .rb .pl .r .lua .php .awk .sql".split()  # noqa: SIM905
)

Kind = Literal[
    "condition",
    "operator",
    "constant",
    "statement",
    "return",
    "line",
    "number",
    "swap",
    "half",
    "empty",
    "rename",
    "mode",
    "prohibited",
    "printed",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A file of the solution. `content` None: too big or no text, so only its place is changed."""

    path: str
    mode: int
    content: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One change: new content, another name, or another mode."""

    kind: Kind
    path: str
    told: str
    content: bytes | None = None
    new_path: str | None = None
    new_mode: int | None = None


def mutants_of(
    artifacts: Sequence[Artifact], *, prohibited: Sequence[str] = (), printed: str = ""
) -> tuple[Mutant, ...]:
    """At most 20 mutants, taken in turn from each kind.

    `printed`: what the solution's program prints, to be put in its place.
    """
    rows = [list(_thinned(kind)) for kind in _kinds(artifacts, prohibited, printed)]
    mixed = chain.from_iterable(zip_longest(*rows))
    seen: set[tuple[str, bytes | None, str | None, int | None]] = set()
    chosen: list[Mutant] = []
    for mutant in mixed:
        if mutant is None:
            continue
        key = (mutant.path, mutant.content, mutant.new_path, mutant.new_mode)
        if key not in seen:
            seen.add(key)
            chosen.append(mutant)
    return tuple(chosen[:MOST_MUTANTS])


def _kinds(
    artifacts: Sequence[Artifact], prohibited: Sequence[str], printed: str
) -> Iterator[Iterable[Mutant]]:
    """One row for each kind of change, over all files."""
    texts = [(a, a.content.decode("utf-8", "surrogateescape")) for a in artifacts
             if a.content is not None and b"\x00" not in a.content]  # fmt: skip
    programs = [(a, text) for a, text in texts if _is_python(a)]
    for change in (_Condition, _Operator, _Constant, _Statement, _Return):
        yield chain.from_iterable(_python(a, text, change) for a, text in programs)
    codes = [(a, text) for a, text in texts if PurePosixPath(a.path).suffix.lower() in _CODE]
    yield chain.from_iterable(_operators(a, text) for a, text in codes)
    others = [(a, text) for a, text in texts if not _is_python(a)]
    for of_text in (_numbers, _lines, _swaps):
        yield chain.from_iterable(of_text(a, text) for a, text in others)
    yield chain.from_iterable(_whole(a) for a in artifacts)
    yield chain.from_iterable(_places(a) for a in artifacts)
    yield chain.from_iterable(_cheats(a, text, prohibited, printed) for a, text in texts)


def _thinned(mutants: Iterable[Mutant], most: int = MOST_MUTANTS) -> list[Mutant]:
    """Spread over the places: not all at the beginning of a file."""
    listed = list(mutants)
    if len(listed) <= most:
        return listed
    return [listed[i * len(listed) // most] for i in range(most)]


def _is_python(artifact: Artifact) -> bool:
    head = (artifact.content or b"").split(b"\n", 1)[0]
    return artifact.path.endswith(".py") or (head.startswith(b"#!") and b"python" in head)


class _Change(ast.NodeTransformer):
    """Changes the node with number `wanted` of those that it is for."""

    kind: Kind

    def __init__(self, wanted: int) -> None:
        self.wanted, self.count, self.told = wanted, 0, ""

    def turn(self, node: ast.AST) -> bool:
        """Whether this is the one; counts."""
        self.count += 1
        hit = self.count - 1 == self.wanted
        if hit:
            self.told = f"line {getattr(node, 'lineno', '?')}: {ast.unparse(node)[:60]}"
        return hit


class _Condition(_Change):
    kind = "condition"

    def visit_If(self, node: ast.If) -> ast.AST:
        self.generic_visit(node)
        if ast.unparse(node.test) != "__name__ == '__main__'" and self.turn(node.test):
            node.test = ast.UnaryOp(op=ast.Not(), operand=node.test)
        return node

    def visit_While(self, node: ast.While) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.test, ast.Constant) and self.turn(node.test):
            node.test = ast.UnaryOp(op=ast.Not(), operand=node.test)
        return node


_SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


class _Operator(_Change):
    kind = "operator"

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        swapped = _SWAPPED.get(type(node.op))
        if swapped and self.turn(node):
            node.op = swapped()  # type: ignore[assignment]
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        swapped = _SWAPPED.get(type(node.ops[0]))
        named_main = "__name__" in ast.unparse(node)
        if swapped and not named_main and self.turn(node):
            node.ops[0] = swapped()  # type: ignore[call-overload]
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        if self.turn(node):
            node.op = _SWAPPED[type(node.op)]()  # type: ignore[assignment]
        return node


class _Constant(_Change):
    kind = "constant"

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        number = isinstance(node.value, int) and not isinstance(node.value, bool)
        if number and self.turn(node):
            return ast.copy_location(ast.Constant(value=int(str(node.value)) + 1), node)
        return node


class _Statement(_Change):
    kind = "statement"

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        return ast.Pass() if isinstance(node.value, ast.Call) and self.turn(node) else node

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        return ast.Pass() if self.turn(node) else node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        return ast.Pass() if self.turn(node) else node


class _Return(_Change):
    kind = "return"

    def visit_Return(self, node: ast.Return) -> ast.AST:
        if node.value is not None and self.turn(node):
            node.value = None
        return node


def _python(artifact: Artifact, text: str, change: Callable[[int], _Change]) -> Iterator[Mutant]:
    """All mutants of one kind of a Python file."""
    try:
        total = change(-1)
        total.visit(ast.parse(text))
    except (SyntaxError, ValueError, RecursionError):
        return
    for wanted in range(total.count):
        one = change(wanted)
        tree = ast.fix_missing_locations(one.visit(ast.parse(text)))
        content = f"{ast.unparse(tree)}\n".encode("utf-8", "surrogateescape")
        yield Mutant(kind=one.kind, path=artifact.path, told=one.told, content=content)


def _operators(artifact: Artifact, text: str) -> Iterator[Mutant]:
    """Operators of other languages, one a line."""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if _COMMENT.match(line):
            continue
        for old, new in _CODE_OPERATORS:
            if old in line:
                changed = line.replace(old, new, 1)
                yield _with_lines(artifact, "operator", number, [changed], lines)
                break


def _numbers(artifact: Artifact, text: str) -> Iterator[Mutant]:
    for match in _NUMBER.finditer(text):
        changed = text[: match.start()] + str(int(match[0]) + 1) + text[match.end() :]
        yield _text(artifact, "number", f"{match[0]} at {match.start()}", changed)


def _lines(artifact: Artifact, text: str) -> Iterator[Mutant]:
    """A line less; what says nothing is left alone."""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if not _COMMENT.match(line) and not _BARE.match(line):
            yield _with_lines(artifact, "line", number, [], lines)


def _swaps(artifact: Artifact, text: str) -> Iterator[Mutant]:
    lines = text.split("\n")
    for number in range(len(lines) - 1):
        first, second = lines[number], lines[number + 1]
        if first != second and not any(map(_COMMENT.match, (first, second))):
            swapped = [*lines[:number], second, first, *lines[number + 2 :]]
            yield _text(
                artifact, "swap", f"lines {number + 1} and {number + 2}", "\n".join(swapped)
            )


def _whole(artifact: Artifact) -> Iterator[Mutant]:
    if artifact.content:
        half = artifact.content[: len(artifact.content) // 2]
        yield Mutant(kind="half", path=artifact.path, told="cut in half", content=half)
        yield Mutant(kind="empty", path=artifact.path, told="emptied", content=b"")


def _places(artifact: Artifact) -> Iterator[Mutant]:
    other = f"{artifact.path}.moved"
    yield Mutant(kind="rename", path=artifact.path, told=f"now {other}", new_path=other)
    mode = artifact.mode ^ 0o077
    yield Mutant(kind="mode", path=artifact.path, told=f"mode {mode:o}", new_mode=mode)


def _cheats(
    artifact: Artifact, text: str, prohibited: Sequence[str], printed: str
) -> Iterator[Mutant]:
    """Work that is not done as asked."""
    if not _is_python(artifact):
        return
    for tool in prohibited:
        call = f"import subprocess\nsubprocess.run([{tool!r}, '--version'], check=False)\n"
        yield _text(artifact, "prohibited", f"calls {tool}", call + text)
    if printed:
        yield _text(artifact, "printed", "prints what was printed", f"print({printed!r}, end='')\n")


def _text(artifact: Artifact, kind: Kind, told: str, text: str) -> Mutant:
    content = text.encode("utf-8", "surrogateescape")
    return Mutant(kind=kind, path=artifact.path, told=told, content=content)


def _with_lines(
    artifact: Artifact, kind: Kind, number: int, put: list[str], lines: list[str]
) -> Mutant:
    changed = [*lines[:number], *put, *lines[number + 1 :]]
    return _text(
        artifact, kind, f"line {number + 1}: {lines[number].strip()[:60]}", "\n".join(changed)
    )
