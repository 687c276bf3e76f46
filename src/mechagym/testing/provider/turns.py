"""What a provider double is told to answer: turns, failures, and trouble on the way.

All of it is data, so that a script can stand in a JSON file and serve a double in another process.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from mechagym.llm.speech import turn
from mechagym.testing.provider.asked import Asked

RetryAfter = Literal["seconds", "milliseconds", "date"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """How an answer travels. Counts of bytes are those of the body, without HTTP's framing."""

    wait_s: float = 0.0  # before the first byte
    gap_s: float = 0.0  # between pieces
    piece_bytes: int | None = None  # None: an event of a stream is a piece, a plain body is one
    cut_characters: bool = False  # a piece ends within every UTF-8 character of several bytes
    hang_up: bool = False  # the request is read whole, and then the connection is closed
    end_after_bytes: int | None = None  # the connection is closed there
    stall_after_bytes: int | None = None  # silence from there on, until the client leaves
    stamps: bool = False  # before each piece of a stream a comment with the clock in nanoseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn(turn.Turn):
    """See `llm.speech`; with trouble on its way."""

    trouble: Trouble = Trouble()
    kind: Literal["turn"] = "turn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure(turn.Failure):
    """See `llm.speech`. `retry_after_s` is told in the form named."""

    retry_after_s: float | None = None
    retry_after_form: RetryAfter = "seconds"
    headers: dict[str, str] = field(default_factory=dict)
    trouble: Trouble = Trouble()
    kind: Literal["failure"] = "failure"


Answer = Turn | Failure
Script = Callable[[Asked], Answer]
"""Decides the answer to each request for a model's work, in the order in which they come."""


def in_order(answers: Iterable[Answer], *, aside: Answer | None = None) -> Script:
    """Give the answers one after the other, then a failure that says that there are no more.

    `aside` answers, again and again, whatever offers no tools: the titles and summaries that
    command-line agents ask for beside their work.
    """
    rest = iter(answers)
    over = Failure(status=400, message="the script of this provider double has no more answers")

    def next_answer(asked: Asked) -> Answer:
        if aside is not None and not asked.tools:
            return aside
        return next(rest, over)

    return next_answer


def always(answer: Answer) -> Script:
    """Give the same answer to everybody."""
    return lambda _asked: answer


def as_script(given: "Script | Answer | Iterable[Answer]") -> Script:
    """A script, from whatever a test wrote down."""
    if isinstance(given, Turn | Failure):
        return always(given)
    return given if callable(given) else in_order(given)
