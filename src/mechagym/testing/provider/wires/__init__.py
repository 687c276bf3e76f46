"""One module per wire; each knows how a turn and a failure look on it, plain and streamed.

Each has `plain(turn, asked)` for the JSON of a whole answer, `events(turn, asked)` for the bytes of
each event of a stream, and `failure(failure)` for the JSON of an error.
"""

from collections.abc import Iterator
from typing import Protocol

from mechagym.records import Json
from mechagym.testing.provider.asked import Asked, Wire
from mechagym.testing.provider.turns import Failure, Turn
from mechagym.testing.provider.wires import anthropic, chat, gemini, responses


class Speech(Protocol):
    """What a module here gives."""

    def plain(self, turn: Turn, asked: Asked) -> Json: ...  # noqa: D102

    def events(self, turn: Turn, asked: Asked) -> Iterator[bytes]: ...  # noqa: D102

    def failure(self, failure: Failure) -> Json: ...  # noqa: D102


SPEECH: dict[Wire, Speech] = {
    "anthropic": anthropic,
    "openai-chat": chat,
    "openai-responses": responses,
    "google": gemini,
}
