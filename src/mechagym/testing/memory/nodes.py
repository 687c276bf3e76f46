"""The tree that the mini shell's parser makes and its interpreter walks."""

from typing import NamedTuple


class Piece(NamedTuple):
    """A part of a word: `text`, a `var` (with `operator` and `default`), a `command`, or `math`."""

    kind: str
    text: str
    quoted: bool = False
    operator: str = ""
    default: "tuple[Piece, ...]" = ()


Word = tuple[Piece, ...]


class Redirect(NamedTuple):
    """`fd` goes to (`>`, `>>`), comes from (`<`, `<<` with text) or copies (`&`) the target."""

    fd: int
    how: str
    target: Word


class Simple(NamedTuple):
    """Assignments and a command."""

    assigns: tuple[tuple[str, Word], ...]
    words: tuple[Word, ...]


class Redirected(NamedTuple):
    """Any command with its redirections, in order."""

    body: "Node"
    redirects: tuple[Redirect, ...]


class Pipeline(NamedTuple):
    """Commands that run side by side."""

    commands: "tuple[Node, ...]"
    negated: bool


class AndOr(NamedTuple):
    """`left && right` or `left || right`."""

    left: "Node"
    operator: str
    right: "Node"


class Sequence(NamedTuple):
    """Commands one after the other; True: in the background."""

    items: "tuple[tuple[Node, bool], ...]"


class If(NamedTuple):
    """Conditions with their bodies, and the else."""

    branches: "tuple[tuple[Node, Node], ...]"
    otherwise: "Node | None"


class Loop(NamedTuple):
    """`while` (or `until`)."""

    condition: "Node"
    body: "Node"
    until: bool


class For(NamedTuple):
    """`for name in words`; None: over the arguments."""

    name: str
    words: tuple[Word, ...] | None
    body: "Node"


class Case(NamedTuple):
    """`case word in patterns) body ;; esac`."""

    word: Word
    branches: "tuple[tuple[tuple[Word, ...], Node], ...]"


class Subshell(NamedTuple):
    """`( … )`."""

    body: "Node"


class Function(NamedTuple):
    """`name() { … }`."""

    name: str
    body: "Node"


Node = (
    Simple | Redirected | Pipeline | AndOr | Sequence | If | Loop | For | Case | Subshell | Function
)
