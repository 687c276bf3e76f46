"""A command as it would run: its words expanded as far as they can be known from the text."""

from dataclasses import dataclass
from functools import cached_property
from posixpath import basename, dirname
from typing import Literal

GLOBS = {"*": "\ue000", "?": "\ue001", "[": "\ue002"}
"""Active glob characters are kept as private ones, so that quoted ones stay what they are."""
_SHOWN = str.maketrans({private: char for char, private in GLOBS.items()})
_KINDS = Literal["exact", "within", "some", "unknown"]


@dataclass(frozen=True, slots=True)
class Operand:
    """One argument. `text` is exact; or `within`: a glob, which counts as all in its folder; or
    `some`: what a search finds in a folder; or `unknown`, and `text` is what stands before.

    `made_by`: the commands whose output is part of it.
    """

    text: str
    kind: _KINDS = "exact"
    made_by: "tuple[Call, ...]" = ()

    @property
    def known(self) -> str | None:
        """The text, if it is all known."""
        return self.text if self.kind == "exact" else None

    @property
    def pattern(self) -> str:
        """As it was written, globs included."""
        return self.text.translate(_SHOWN)

    @property
    def folder(self) -> str:
        """Of a glob: the folder before its first wild card. Of others: the text."""
        if self.kind != "within":
            return self.text
        first = min(at for private in GLOBS.values() if (at := self.text.find(private)) >= 0)
        head = self.text[:first]
        return head[: head.rfind("/") + 1] or "."


@dataclass(frozen=True, slots=True)
class Redirection:
    """Where a command's output goes or its input comes from."""

    operator: str
    target: Operand

    @property
    def writes(self) -> bool:
        """Whether a file is written."""
        return ">" in self.operator and not (
            self.operator == ">&" and (self.target.known or "").isdecimal()
        )

    @property
    def is_path(self) -> bool:
        """Whether the target names a file."""
        return self.operator in ("<", "<>") or self.writes


@dataclass(frozen=True)
class Call:
    """One program with its arguments, in the folder `cwd` (None: not known).

    `fed_by`: every command that stands before it in its pipeline.
    """

    words: tuple[Operand, ...]
    redirections: tuple[Redirection, ...] = ()
    cwd: str | None = None
    fed_by: "tuple[Call, ...]" = ()

    @cached_property
    def program(self) -> str:
        """The program's name without its folder; empty where it is not known."""
        return basename(self.words[0].known or "") if self.words else ""

    @property
    def arguments(self) -> tuple[Operand, ...]:
        """What comes after the program."""
        return self.words[1:]

    @cached_property
    def flags(self) -> tuple[str, ...]:
        """The options as they were written; what comes after `--` is none."""
        return tuple(word.text for word in self._before_dashes() if word.text.startswith("-"))

    @cached_property
    def operands(self) -> tuple[Operand, ...]:
        """The arguments that are no options."""
        before = self._before_dashes()
        options = [word for word in before if word.text[:1] != "-" or word.text == "-"]
        return (*options, *self.arguments[len(before) + 1 :])

    def has_flag(self, letters: str, *names: str) -> bool:
        """Whether a short option of these letters is given, or a long one, also shortened."""
        return any(
            any(name.startswith(flag[2:].split("=")[0]) for name in names) and len(flag) > 2
            if flag.startswith("--")
            else any(letter in flag[1:] for letter in letters)
            for flag in self.flags
        )

    def _before_dashes(self) -> tuple[Operand, ...]:
        texts = [word.known for word in self.arguments]
        return self.arguments[: texts.index("--")] if "--" in texts else self.arguments


def parent(path: str) -> str:
    """The folder of a path, whether or not it ends with a slash."""
    return dirname(path.rstrip("/")) or "/"
