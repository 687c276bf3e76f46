"""The ledger of model calls: each is reserved before it is sent and settled after, by either door.

Every opened call ends exactly once, by `answered`, `failed` or `abandoned`, and each end is one
event that carries what was spent; so the fold of the events is what the meter says. A call that is
left without a word is abandoned: what was sent may be billed.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import TracebackType
from typing import Literal, Self

from mechagym.budget import Hold, Meter
from mechagym.errors import BudgetError, BudgetExhausted, PriceUnknown
from mechagym.events import (
    Emit,
    EventBody,
    ModelAnswered,
    ModelFailed,
    ModelRefused,
    ModelRequested,
    ReserveExceeded,
)
from mechagym.llm.bounds import CallRequest, InputBounds
from mechagym.llm.catalogue import Catalogue
from mechagym.llm.faults import Fault, fault_of
from mechagym.llm.price_table import PriceTable
from mechagym.llm.prices import Price
from mechagym.records import Spend, Usage, new_id, now

Door = Literal["process", "gateway"]
"""Who makes a call: an agent of ours, or a tool in a box through the gateway."""

OUTPUT_FLOOR = 2_048
"""No output limit is lowered below this: a reply shorter than that is worth nothing."""

OUTPUT_UNKNOWN = 32_000
"""The output limit where neither the request nor the catalogue has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Who pays for the calls of one caller, at which prices.

    `billed` False: a subscription or a replay, so that calls cost nothing and only their list
    price is kept. `allow_unpriced` lets a model without price through where a token limit binds.
    `turns`: how many turns one call is.
    """

    meter: Meter
    prices: PriceTable
    catalogue: Catalogue
    emit: Emit
    door: Door
    billed: bool = True
    allow_unpriced: bool = False
    turns: int = 1
    bounds: InputBounds = field(default_factory=InputBounds)
    clock: Callable[[], float] = time.monotonic
    today: Callable[[], datetime] = now

    def open(self, request: CallRequest) -> "Call":
        """Reserve the worst case of a call, with a lower output limit where money is short.

        Raises PriceUnknown or BudgetExhausted; then nothing may be sent.
        """
        try:
            return self.tried(request)
        except BudgetError as error:
            self.emit(
                ModelRefused(model=str(request.model), reason=error.reason, message=error.message)
            )
            raise

    def tried(self, request: CallRequest) -> "Call":
        """The same, but a refusal is nobody's to know yet: it is not the last word."""
        price = self._price(request)
        limit, held = self._bounded(request, price)
        hold = self.meter.reserve(held, turns=self.turns)
        call = Call(self, request=request, price=price, hold=hold, output_limit=limit)
        self.emit(
            ModelRequested(
                call_id=call.call_id,
                model=str(request.model),
                door=self.door,
                held=held,
                output_limit=limit,
                asked_limit=request.asked_limit,
                edits=call.edits,
            )
        )
        return call

    def affords(self, request: CallRequest) -> bool:
        """Whether there is money for this, at least with a lower output limit."""
        try:
            _, held = self._bounded(request, self._price(request))
        except PriceUnknown:
            return True  # which is told when it is opened
        return self.meter.fits(held, turns=self.turns)

    def spend(self, usage: Usage, price: Price | None) -> Spend:
        """What a usage costs in both ledgers; without a price only its tokens are known."""
        if price is None:
            return Spend(usage=usage, unpriced_calls=1)
        return self._at(price.cost_nano(usage), usage)

    def _at(self, nano: int, usage: Usage) -> Spend:
        return Spend(usage=usage, billed_nano=nano if self.billed else 0, imputed_nano=nano)

    def _price(self, request: CallRequest) -> Price | None:
        try:
            return self.prices.find(request.model, self.today(), variant=request.variant)
        except PriceUnknown:
            if self.allow_unpriced and self.meter.left("tokens") is not None:
                return None
            raise

    def _bound(self, request: CallRequest) -> int:
        return self.bounds.bound(request, self.catalogue.find(request.model).context_window)

    def _bounded(self, request: CallRequest, price: Price | None) -> tuple[int, Spend]:
        """The output limit, and the worst case with it."""
        bound = self._bound(request)
        limit = self._output_limit(request, price, bound=bound)
        return limit, self._worst(request, price, bound=bound, limit=limit)

    def _worst(self, request: CallRequest, price: Price | None, *, bound: int, limit: int) -> Spend:
        usage = Usage(input=bound, output=limit, web_searches=request.searches)
        if price is None:
            return Spend(usage=usage, unpriced_calls=1)
        return self._at(price.worst_nano(bound, limit, request.searches), usage)

    def _output_limit(self, request: CallRequest, price: Price | None, *, bound: int) -> int:
        """The limit that was asked for, or the largest that can be paid, down to the floor."""

        def can_pay(limit: int) -> bool:
            worst = self._worst(request, price, bound=bound, limit=limit)
            return self.meter.fits(worst, turns=self.turns)

        wanted = request.asked_limit
        if wanted is None:
            wanted = self.catalogue.find(request.model).max_output or OUTPUT_UNKNOWN
        low, high = max(OUTPUT_FLOOR, request.thinking_budget + 1), wanted
        if low >= high or can_pay(high):
            return high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if can_pay(middle) else (low, middle)
        return low


class Call:
    """One try of a model call, from its hold to its end. `output_limit` is what may be sent.

    The first end counts; a later one, also one after its meter was closed and counted the hold in
    full, changes nothing. As a context it ends with its body at the latest: failed where the model
    library says how it failed, else abandoned.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        request: CallRequest,
        price: Price | None,
        hold: Hold,
        output_limit: int,
    ) -> None:
        self.call_id = new_id()
        self.output_limit = output_limit
        self.price = price
        self._ledger = ledger
        self._request = request
        self._hold = hold
        self._began = ledger.clock()
        self._first_output_ms: float | None = None

    @property
    def limits_output(self) -> bool:
        """Whether the provider must be told a limit that the request does not carry."""
        if self._request.asked_limit is not None:
            return self.output_limit != self._request.asked_limit
        own = self._ledger.catalogue.find(self._request.model).max_output
        return self.output_limit != own

    @property
    def edits(self) -> tuple[str, ...]:
        """All that is changed in the request before it is sent."""
        limit = (f"output limit {self.output_limit}",) if self.limits_output else ()
        return self._request.edits + limit

    @property
    def open(self) -> bool:
        """Whether it has not ended."""
        return self._hold.open

    def output_began(self) -> None:
        """The first output is here: from now on a failure of this try may be billed."""
        self._first_output_ms = (self._ledger.clock() - self._began) * 1000

    def answered(
        self,
        usage: Usage | None,
        *,
        finish: str | None = None,
        request_id: str | None = None,
    ) -> Spend:
        """Settle an answer. Without a usage, or with an empty one, at what was held."""
        if not self.open:
            return self._hold.want
        measured = usage is not None and usage.tokens > 0
        spent = self._spent(usage if measured else None)
        self._settle(
            spent,
            ModelAnswered(
                call_id=self.call_id,
                model=str(self._request.model),
                spend=spent,
                price_ref=self.price.ref if self.price else "unknown",
                total_ms=(self._ledger.clock() - self._began) * 1000,
                first_output_ms=self._first_output_ms,
                finish=finish,
                measured=measured,
                request_id=request_id,
            ),
        )
        return spent

    def failed(
        self,
        fault: Fault,
        *,
        released: bool,
        usage: Usage | None = None,
        wait_s: float | None = None,
    ) -> Spend:
        """End a try that failed: give the hold back, or settle it at what was reported or held."""
        if not self.open:
            return self._hold.want
        spent = Spend() if released else self._spent(usage)
        event = ModelFailed(
            call_id=self.call_id,
            model=str(self._request.model),
            error=fault.error or fault.kind,
            message=fault.message,
            status=fault.status,
            wait_s=wait_s,
            spend=spent,
        )
        if released:
            self._hold.meter.release(self._hold)
            self._ledger.emit(event)
        else:
            self._settle(spent, event)
        return spent

    def abandoned(self) -> Spend:
        """Settle a call that nobody waits for any more at what was held: it may be billed."""
        return self.failed(
            Fault(kind="lost", error="Abandoned", message="nobody waited for the answer"),
            released=False,
        )

    def _spent(self, usage: Usage | None) -> Spend:
        return self._ledger.spend(usage, self.price) if usage is not None else self._hold.want

    def _settle(self, spent: Spend, event: EventBody) -> None:
        held = self._hold.want
        self._hold.meter.settle(self._hold, spent)
        self._ledger.emit(event)
        if spent.usage.tokens > held.usage.tokens or spent.imputed_nano > held.imputed_nano:
            self._ledger.emit(
                ReserveExceeded(
                    call_id=self.call_id, model=str(self._request.model), held=held, spent=spent
                )
            )
        used = spent.usage
        came = used.input + used.cache_read + used.cache_write_5m + used.cache_write_1h
        if came > held.usage.input:
            self._ledger.bounds.exceeded(self._request.model, held.usage.input, came)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self.open:
            return
        if error is not None and (fault := fault_of(error)):
            before = self._first_output_ms is None
            self.failed(fault, released=fault.released and before, wait_s=fault.retry_after_s)
        else:
            self.abandoned()


async def open_counted(
    ledger: Ledger, request: CallRequest, count: Callable[[], Awaitable[int | None]]
) -> Call:
    """Open a call; where our own bound would refuse it, ask the provider once for the true input.

    Raises as `Ledger.open` does.
    """
    try:
        return ledger.tried(request)
    except PriceUnknown:
        pass
    except BudgetExhausted:
        if request.counted is None:
            request = replace(request, counted=await count())
    return ledger.open(request)
