"""The prompt of a task, and the canary lines above it that the agent must not see.

A canary marks benchmark text so that it can be found in training data; the leak lint wants it kept.
"""

import re

_COMMENT = re.compile(r"[ \t]*<!--.*?-->[ \t]*(?:\n|\Z)", re.DOTALL)
_HASH = re.compile(r"[ \t]*#[^\n]*(?:\n|\Z)")
_CANARY = re.compile(r"canary", re.IGNORECASE)
_BLANKS = re.compile(r"(?:[ \t]*\n)*")


def split_canary(text: str) -> tuple[str, tuple[str, ...]]:
    """Split leading canary comments, and the blank lines after them, from the instruction.

    The instruction is data and otherwise left as it is, to the byte. Lines come back stripped.
    """
    canary: list[str] = []
    position = 0
    while (match := _comment_at(text, position)) is not None:
        canary += [line.strip() for line in match[0].strip().splitlines()]
        position = match.end()
    if canary and (blanks := _BLANKS.match(text, position)):
        position = blanks.end()
    return text[position:], tuple(canary)


def _comment_at(text: str, position: int) -> re.Match[str] | None:
    match = _HASH.match(text, position) or _COMMENT.match(text, position)
    return match if match and match[0] and _CANARY.search(match[0]) else None
