"""The tree that the mini shell's parser makes and its interpreter walks.

Dataclasses and no tuples: mypy compares tuples field by field, and with types that hold each other
this takes it minutes.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a word: `text`, a `var` (with `operator` and `default`), a `command`, or `math`."""

    kind: str
    text: str
    quoted: bool = False
    operator: str = ""
    default: "tuple[Piece, ...]" = ()


Word = tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Redirect:
    """`fd` goes to (`>`, `>>`), comes from (`<`, `<<` with text) or copies (`&`) the target."""

    fd: int
    how: str
    target: Word


@dataclass(frozen=True, slots=True)
class Simple:
    """Assignments and a command."""

    assigns: tuple[tuple[str, Word], ...]
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class Redirected:
    """Any command with its redirections, in order."""

    body: "Node"
    redirects: tuple[Redirect, ...]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Commands that run side by side."""

    commands: "tuple[Node, ...]"
    negated: bool


@dataclass(frozen=True, slots=True)
class AndOr:
    """`left && right` or `left || right`."""

    left: "Node"
    operator: str
    right: "Node"


@dataclass(frozen=True, slots=True)
class Sequence:
    """Commands one after the other; True: in the background."""

    items: "tuple[tuple[Node, bool], ...]"


@dataclass(frozen=True, slots=True)
class If:
    """Conditions with their bodies, and the else."""

    branches: "tuple[tuple[Node, Node], ...]"
    otherwise: "Node | None"


@dataclass(frozen=True, slots=True)
class Loop:
    """`while` (or `until`)."""

    condition: "Node"
    body: "Node"
    until: bool


@dataclass(frozen=True, slots=True)
class For:
    """`for name in words`; None: over the arguments."""

    name: str
    words: tuple[Word, ...] | None
    body: "Node"


@dataclass(frozen=True, slots=True)
class Case:
    """`case word in patterns) body ;; esac`."""

    word: Word
    branches: "tuple[tuple[tuple[Word, ...], Node], ...]"


@dataclass(frozen=True, slots=True)
class Subshell:
    """`( … )`."""

    body: "Node"


@dataclass(frozen=True, slots=True)
class Function:
    """`name() { … }`."""

    name: str
    body: "Node"


Node = (
    Simple | Redirected | Pipeline | AndOr | Sequence | If | Loop | For | Case | Subshell | Function
)
