"""What a model says in one turn, and how a service says no: data, the same on every wire."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, Protocol

from mechagym.records import Json, Usage

Finish = Literal["end", "tools", "length", "refusal"]


class Question(Protocol):
    """What an answer must know of the request. `number` makes its ids."""

    @property
    def number(self) -> int: ...  # noqa: D102

    @property
    def model(self) -> str: ...  # noqa: D102

    @property
    def json(self) -> Json: ...  # noqa: D102

    @property
    def tells_usage(self) -> bool:
        """False for a stream of chat completions that did not ask for its usage."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """One call of a tool; `id` is sent as it is, on the wires that have ids."""

    id: str
    name: str
    arguments: dict[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One answer of the model. `usage` None: the provider says nothing of it."""

    text: str = ""
    thinking: str = ""
    calls: tuple[ToolCall, ...] = ()
    usage: Usage | None = field(default_factory=lambda: Usage(input=10, output=5))
    finish: Finish | None = None  # None: `tools` when there are calls, else `end`
    delta_chars: int = 12  # how much text an event of a stream carries

    @property
    def ends(self) -> Finish:
        """Why the model stopped."""
        return self.finish or ("tools" if self.calls else "end")

    def deltas(self, text: str) -> Iterator[str]:
        """A text as it comes in a stream."""
        for start in range(0, len(text), self.delta_chars):
            yield text[start : start + self.delta_chars]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error status in the shape of the dialect."""

    status: int
    message: str = "scripted failure"
    code: str | None = None  # the dialect's own word; None: what usually goes with the status
