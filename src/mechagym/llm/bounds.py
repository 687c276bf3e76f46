"""How large a call can be, seen before it is sent; and what was learned where that was wrong."""

from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil

from mechagym.llm.names import ModelName

WINDOW_UNKNOWN = 1_000_000
"""What a request that leans on the provider's state may read, where its window is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRequest:
    """What bounds the cost of a call. `images` counts images and pages of documents.

    `counted` is the provider's own count of the input, where it was asked. `stateful`: it leans on
    state kept by the provider. `edits` are what the door changed already, for the event.
    """

    model: ModelName
    body_bytes: int
    images: int = 0
    asked_limit: int | None = None
    thinking_budget: int = 0
    searches: int = 0
    stateful: bool = False
    variant: str | None = None
    counted: int | None = None
    edits: tuple[str, ...] = ()


@dataclass(slots=True)
class InputBounds:
    """By how much the inputs of models went over our bounds; one for all callers of a job."""

    _over: dict[ModelName, Fraction] = field(default_factory=dict)
    _most: dict[ModelName, int] = field(default_factory=dict)

    def bound(self, request: CallRequest, window: int | None) -> int:
        """The most input tokens that this request can be."""
        if request.stateful:
            bound = window or WINDOW_UNKNOWN
        elif request.counted is not None:
            bound = request.counted * 21 // 20 + 100  # a count may be off by a little
        else:
            bound = ceil(request.body_bytes / 2) + 1_000 + 8_000 * request.images
        raised = ceil(bound * self._over.get(request.model, 1))
        most = self._most.get(request.model, 0)
        return min(raised, max(window, most)) if window else raised

    def exceeded(self, model: ModelName, bound: int, actual: int) -> None:
        """Learn that an input was larger than its bound: all later bounds of the model rise."""
        self._over[model] = self._over.get(model, Fraction(1)) * Fraction(actual, max(bound, 1))
        self._most[model] = max(actual, self._most.get(model, 0))
