"""One try of a call through the model library: its time, its first event, and how it is settled."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from mechagym.llm.calls import Call
from mechagym.llm.faults import Fault, TryFailed
from mechagym.llm.usage import from_library
from mechagym.llm.weighing import says_something

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelResponse, ModelResponseStreamEvent
    from pydantic_ai.models import StreamedResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class TryLimits:
    """How long a try may take in all, and until its first output. `left_s`: the caller's time.

    The library's own `request_timeout` is set around a whole call; here each try has its own.
    """

    timeout_s: float
    first_output_s: float
    left_s: Callable[[], float]

    @contextmanager
    def within(self, most_s: float) -> Iterator[None]:
        """Give up after so long, or when the caller's time is over; the try is lost then."""
        limit_s = min(self.timeout_s, most_s, self.left_s())
        with anyio.move_on_after(limit_s) as scope:
            yield
        if scope.cancelled_caught:
            message = f"no answer within {limit_s:.3g} s"
            raise TryFailed(Fault(kind="lost", error="Timeout", message=message))


@contextmanager
def reading(answer: str) -> Iterator[None]:
    """Take what the library stumbles over in an answer for what it is: one nobody can read."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        message = f"{answer} could not be read: {error}"
        fault = Fault(kind="undecodable", error=type(error).__name__, message=message)
        raise TryFailed(fault) from error


async def begin(stream: "StreamedResponse") -> bool:
    """Wait for the first event of a stream, which stays at hand; False where there is none."""
    events = aiter(stream)
    try:
        with reading("the stream"):
            first = await anext(events)
    except StopAsyncIteration:
        return False
    stream._event_iterator = _Begun(first, events)  # what `aiter(stream)` gives from now on
    return True


def settle(call: Call, reply: "ModelResponse") -> None:
    """Settle a reply as reported. Raises TryFailed where there is nothing in it."""
    usage = from_library(reply.usage)
    if reply.finish_reason != "length" and not any(map(says_something, reply.parts)):
        fault = Fault(kind="empty", error="EmptyReply", message="the reply was empty")
        call.failed(fault, released=False, usage=usage)
        raise TryFailed(fault)
    call.answered(usage, finish=reply.finish_reason, request_id=reply.provider_response_id)


class _Begun:
    """An iterator that has begun: its first event, then the rest."""

    def __init__(
        self,
        first: "ModelResponseStreamEvent",
        rest: "AsyncIterator[ModelResponseStreamEvent]",
    ) -> None:
        self._first: ModelResponseStreamEvent | None = first
        self._rest = rest

    def __aiter__(self) -> "_Begun":
        return self

    async def __anext__(self) -> "ModelResponseStreamEvent":
        if (first := self._first) is not None:
            self._first = None
            return first
        with reading("the stream"):
            return await anext(self._rest)

    async def aclose(self) -> None:
        """Close what it reads from, where that can be closed."""
        if close := getattr(self._rest, "aclose", None):
            await close()
