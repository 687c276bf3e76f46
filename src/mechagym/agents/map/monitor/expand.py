"""Expansion without running anything: what a word can be, as far as the text tells.

A variable with several possible values gives each of them, as a loop's does: what could be removed
counts as removed.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise, product

from mechagym.agents.map.monitor.calls import GLOBS, Call, Operand
from mechagym.agents.map.monitor.nodes import Part, Script, Word

MOST = 64
"""More words than this from one are not followed."""
_SPLIT = "\ue003"
_UNKNOWN = "\ue004"
_ACTIVE = str.maketrans(GLOBS)
_PRIVATE = re.compile("[\ue000-\ue004]")
_SEQUENCE = re.compile(r"-?\w+\.\.-?\w+(?:\.\.-?\d+)?")

Values = tuple[str | None, ...]
Run = Callable[[Script], tuple[Call, ...]]


@dataclass(slots=True)
class Scope:
    """Where a shell is and what its variables may hold; None: a value that is not known."""

    home: str
    cwd: str | None
    variables: dict[str, Values] = field(default_factory=dict)

    def copy(self) -> "Scope":
        """For a subshell."""
        return Scope(home=self.home, cwd=self.cwd, variables=dict(self.variables))

    def values(self, name: str) -> Values:
        """What a variable may hold."""
        if name == "PWD":
            return (self.cwd,)
        return self.variables.get(name) or ((self.home,) if name == "HOME" else (None,))

    def joined(self, before: "Scope") -> None:
        """What was set in a branch that may not have been taken: both values are possible."""
        for name, values in before.variables.items():
            self.variables[name] = tuple(dict.fromkeys(values + self.variables.get(name, values)))
        if self.cwd != before.cwd:
            self.cwd = None


def expand(word: Word, scope: Scope, run: Run) -> list[Operand]:
    """All that a word can become; `run` walks the commands in it."""
    made_by: list[Call] = []
    operands: list[Operand] = []
    for parts in _braced(word):
        choices = [_choices(part, i, scope, made_by, run) for i, part in enumerate(parts)]
        size = 1
        for choice in choices:
            size *= len(choice)
        texts = ["".join(texts) for texts in product(*choices)] if size <= MOST else [_UNKNOWN]
        quoted = any(part.quoted for part in parts)
        for text in texts:
            fields = [part for part in text.split(_SPLIT) if part] or ([""] if quoted else [])
            operands += [_operand(part, made_by) for part in fields]
    return operands[:MOST] if len(operands) <= MOST else [Operand("", "unknown", tuple(made_by))]


def text_of(word: Word, scope: Scope, run: Run) -> Operand:
    """A word that stays one: an assigned value, a here-document."""
    whole = tuple(Part(p.kind, p.text, True, p.default, p.script) for p in _tilded(word))
    found = expand(whole, scope, run) or [Operand("")]
    return found[0] if len(found) == 1 else Operand("", "unknown", found[0].made_by)


def values_of(operands: Iterable[Operand]) -> Values:
    """What a variable may hold after these were assigned."""
    return tuple(dict.fromkeys(operand.known for operand in operands)) or ("",)


def _tilded(word: Word) -> Word:
    """The word with a leading tilde as a variable, which quoting leaves alone."""
    if word and word[0].kind == "text" and not word[0].quoted:
        text = word[0].text
        if text == "~" or text.startswith("~/"):
            return (Part("var", "HOME"), Part("text", text[1:]), *word[1:])
    return word


def _operand(text: str, made_by: list[Call]) -> Operand:
    if _UNKNOWN in text:
        return Operand(text.partition(_UNKNOWN)[0], "unknown", tuple(made_by))
    return Operand(text, "within" if _PRIVATE.search(text) else "exact", tuple(made_by))


def _choices(
    part: Part, index: int, scope: Scope, made_by: list[Call], run: Run
) -> tuple[str, ...]:
    match part.kind:
        case "text" if part.quoted:
            return (part.text,)
        case "text" if index == 0 and part.text[:1] == "~":
            rest = part.text[1:]
            known = not rest or rest.startswith("/")
            return (scope.home + rest.translate(_ACTIVE) if known else _UNKNOWN,)
        case "text":
            return (part.text.translate(_ACTIVE),)
        case "var":
            return tuple(_valued(v, quoted=part.quoted) for v in _held(part, scope, made_by, run))
        case "command" | "process":
            calls = run(part.script)
            made_by += calls
            return (_output(calls) or _UNKNOWN,)
        case "unknown":
            return (_UNKNOWN,)


def _output(calls: tuple[Call, ...]) -> str | None:
    """What a command prints, for the two whose output can be known beforehand."""
    if len(calls) != 1:
        return None
    if calls[0].program == "pwd":
        return calls[0].cwd
    fresh = calls[0].program == "mktemp" and not calls[0].operands and not calls[0].has_flag("p")
    return "/tmp/mktemp.new" if fresh else None  # noqa: S108


def _held(part: Part, scope: Scope, made_by: list[Call], run: Run) -> Values:
    values = scope.values(part.text)
    if not part.default:
        return values
    default = text_of(part.default, scope, run)
    made_by += default.made_by
    return tuple(dict.fromkeys((*values, default.known))) if values != (None,) else (default.known,)


def _valued(value: str | None, *, quoted: bool) -> str:
    if value is None:
        return _UNKNOWN
    return value if quoted else _SPLIT.join(value.translate(_ACTIVE).split()) or _SPLIT


def _braced(word: Word) -> list[Word]:
    """The words that `{a,b}` makes of one; `{1..9}` becomes a wild card."""
    opened = [i for i, part in enumerate(word) if _has(part, "{")]
    if not opened:
        return [word]
    atoms: list[Part] = []
    for part in word:
        bare = part.kind == "text" and not part.quoted
        atoms += [Part("text", char) for char in part.text] if bare else [part]
    return [_merged(parts) for parts in _alternatives(atoms)][: MOST + 1]


def _has(part: Part, char: str) -> bool:
    return part.kind == "text" and not part.quoted and char in part.text


def _alternatives(atoms: list[Part]) -> list[list[Part]]:
    for start, atom in enumerate(atoms):
        if not _has(atom, "{"):
            continue
        cuts, end = _cuts(atoms, start)
        if end is None:
            continue
        inner = "".join(part.text for part in atoms[start + 1 : end])
        if not cuts and not _SEQUENCE.fullmatch(inner):
            continue
        edges = [start, *cuts, end]
        options = [atoms[a + 1 : b] for a, b in pairwise(edges)]
        options = options if cuts else [[Part("text", "*")]]
        tails = _alternatives(atoms[end + 1 :])[:MOST]
        heads = [option for one in options for option in _alternatives(one)][:MOST]
        return [atoms[:start] + head + tail for head in heads for tail in tails]
    return [atoms]


def _cuts(atoms: list[Part], start: int) -> tuple[list[int], int | None]:
    """Where the commas of a brace are, and where it is closed."""
    cuts: list[int] = []
    depth = 0
    for i in range(start, len(atoms)):
        depth += _has(atoms[i], "{") - _has(atoms[i], "}")
        if depth == 0:
            return cuts, i
        if depth == 1 and _has(atoms[i], ","):
            cuts.append(i)
    return cuts, None


def _merged(atoms: list[Part]) -> Word:
    parts: list[Part] = []
    for atom in atoms:
        last = parts[-1] if parts else None
        if last and {last.kind, atom.kind} == {"text"} and not (last.quoted or atom.quoted):
            parts[-1] = Part("text", last.text + atom.text)
        else:
            parts.append(atom)
    return tuple(parts)
