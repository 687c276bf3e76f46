"""What the monitor's parser makes of a command: as little of a shell's grammar as judging needs.

The joints between commands (`;`, `&&`, `||`) and the branches of `if`, `while` and `case` are all
one sequence here: the monitor asks what could run, not what will.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a word.

    `text`: literal. `var`: its name, with `default` for `${name:-word}`. `command`, `process`: the
    `script` of `$( )` or `<( )`. `unknown`: arithmetic, and expansions that edit a value.
    """

    kind: Literal["text", "var", "command", "process", "unknown"]
    text: str = ""
    quoted: bool = False
    default: "Word" = ()
    script: "Script" = ()


Word = tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Redirect:
    """`operator` without its number; for a here-document or here-string `target` is the text."""

    operator: str
    target: Word

    @property
    def is_text(self) -> bool:
        """Whether the target is data for standard input, and no path."""
        return self.operator in ("<<", "<<<")


@dataclass(frozen=True, slots=True)
class Assign:
    """`name=value`; several values for an array, and for `name+=value`, which is not followed."""

    name: str
    values: tuple[Word, ...]
    appends: bool = False


@dataclass(frozen=True, slots=True)
class Simple:
    """A simple command."""

    assigns: tuple[Assign, ...]
    words: tuple[Word, ...]
    redirects: tuple[Redirect, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """A compound command: its parts in the order of the text. `maybe`: a branch or a loop."""

    body: "Script"
    redirects: tuple[Redirect, ...] = ()
    subshell: bool = False
    maybe: bool = False


@dataclass(frozen=True, slots=True)
class For:
    """`for name in words`."""

    name: str
    words: tuple[Word, ...]
    body: "Script"
    redirects: tuple[Redirect, ...] = ()


@dataclass(frozen=True, slots=True)
class Function:
    """A definition; its body runs where it is called."""

    name: str
    body: "Script"


Node = Simple | Group | For | Function


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Commands that feed each other. `maybe`: it stands behind `&&` or `||`."""

    commands: tuple[Node, ...]
    background: bool = False
    maybe: bool = False


Script = tuple[Pipeline, ...]
