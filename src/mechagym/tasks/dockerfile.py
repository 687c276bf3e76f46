"""A Dockerfile as its instructions with their lines: enough for a lint, not a builder's parser."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_WORD = re.compile(r"\s*([A-Za-z]+)\s+(.*)", re.DOTALL)
_HEREDOC = re.compile(r"<<-?\s*([\"']?)(\w+)\1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One instruction: its word in capitals, and the rest with continued lines joined."""

    line: int
    word: str
    rest: str

    @property
    def arguments(self) -> tuple[str, ...]:
        """The words after the options (`--from=…`)."""
        return tuple(w for w in self.rest.split() if not w.startswith("--"))

    @property
    def sources(self) -> tuple[str, ...]:
        """What a COPY or ADD takes from the build context; nothing for `--from=STAGE`."""
        if self.word not in {"COPY", "ADD"} or "--from=" in self.rest:
            return ()
        words = re.sub(r"[\[\]\",]", " ", " ".join(self.arguments)).split()
        return tuple(word.removeprefix("./").rstrip("/") or "." for word in words[:-1])


def read_dockerfile(text: str) -> tuple[Instruction, ...]:
    """Split a Dockerfile into instructions; comments and the bodies of heredocs are left out."""
    found: list[Instruction] = []
    lines = iter(enumerate(text.split("\n"), start=1))
    for number, line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        whole = line
        while whole.rstrip().endswith("\\"):
            following = next(lines, (0, ""))[1]
            whole = whole.rstrip().removesuffix("\\")
            whole += " \\" if following.lstrip().startswith("#") else f" {following.strip()}"
        if match := _WORD.fullmatch(whole):
            found.append(Instruction(line=number, word=match[1].upper(), rest=match[2].strip()))
        for _, end in _HEREDOC.findall(whole):
            while (body := next(lines, None)) is not None and body[1].strip() != end:
                pass
    return tuple(found)


def base_images(instructions: Sequence[Instruction]) -> tuple[tuple[int, str], ...]:
    """List the images that a build starts from, with their lines; earlier stages are none."""
    stages = {"scratch"}
    images: list[tuple[int, str]] = []
    for step in instructions:
        if step.word == "FROM" and step.arguments:
            if step.arguments[0].lower() not in stages:
                images.append((step.line, step.arguments[0]))
            if len(step.arguments) >= 3:
                stages.add(step.arguments[2].lower())
    return tuple(images)


def last_user(instructions: Sequence[Instruction]) -> str:
    """Return the user that the image ends with; a new stage starts as root."""
    user = "root"
    for step in instructions:
        if step.word == "FROM":
            user = "root"
        elif step.word == "USER" and step.arguments:
            user = step.arguments[0].partition(":")[0]
    return user
