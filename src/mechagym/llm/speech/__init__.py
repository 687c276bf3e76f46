"""How models speak: one module per wire.

Each knows how a turn and a failure look on it, plain and streamed.

Each has `plain(turn, asked)` for the JSON of a whole answer, `events(turn, asked)` for the bytes of
each event of a stream, and `failure(failure)` for the JSON of an error.
"""

from collections.abc import Iterator
from typing import Protocol

from mechagym.llm.speech import anthropic, chat, gemini, responses
from mechagym.llm.speech.turn import Failure, Question, Turn
from mechagym.records import Json


class Speech(Protocol):
    """What a module here gives."""

    def plain(self, turn: Turn, asked: Question) -> Json: ...  # noqa: D102

    def events(self, turn: Turn, asked: Question) -> Iterator[bytes]: ...  # noqa: D102

    def failure(self, failure: Failure) -> Json: ...  # noqa: D102


SPEECH: dict[str, Speech] = {
    "anthropic": anthropic,
    "openai-chat": chat,
    "openai-responses": responses,
    "google": gemini,
}
