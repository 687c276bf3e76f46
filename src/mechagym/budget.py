"""Budgets and meters: a limit holds because money is reserved before a call and settled after it.

The invariant, at every moment and for every meter up the chain: settled + held + wanted ≤ limit. A
meter is used by one event loop; a hold that is never settled stays counted, because what was sent
may have been billed.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from mechagym.errors import BudgetError, BudgetExhausted
from mechagym.events import BudgetRaised, BudgetWarned, Emit
from mechagym.records import Spend

Limit = Literal["usd", "tokens", "seconds", "turns"]
LIMITS: tuple[Limit, ...] = ("usd", "tokens", "seconds", "turns")
WARN_AT = (75, 90)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Limits of one meter; an absent one does not bind.

    `tokens` is the sum of all six counts, cache reads too. `usd_basis` says which ledger `usd`
    limits.
    """

    usd: float | None = None
    tokens: int | None = None
    seconds: float | None = None
    turns: int | None = None
    usd_basis: Literal["billed", "imputed"] = "billed"

    def __post_init__(self) -> None:
        for name in LIMITS:
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise BudgetError(f"budget: {name} must be a number ≥ 0, not {value}")

    def limit(self, name: Limit) -> float | None:
        """The limit by name."""
        value: float | None = getattr(self, name)
        return value

    def with_limit(self, name: Limit, value: float | None) -> "Budget":
        """The same with another limit; None: it does not bind."""
        changed: dict[str, Any] = {name: value}
        return replace(self, **changed)


@dataclass(slots=True, eq=False)
class Hold:
    """A reservation: the worst case of one call. Its meter settles or releases it exactly once."""

    meter: "Meter"
    want: Spend
    turns: int = 0
    open: bool = True


@dataclass(slots=True, eq=False)
class Meter:
    """The ledger of one budget under its parent's. Make children with `spend`, never by hand."""

    budget: Budget = Budget()
    parent: "Meter | None" = None
    emit: Emit | None = None
    clock: Callable[[], float] = time.monotonic
    settled: Spend = field(default_factory=Spend)
    turns: int = 0
    _holds: dict[Hold, None] = field(default_factory=dict, init=False)
    _held: Spend | None = field(default=None, init=False)
    _warned: set[tuple[Limit, int]] = field(default_factory=set, init=False)
    _began: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._began = self.clock()

    @contextmanager
    def spend(self, budget: Budget, *, emit: Emit | None = None) -> "Iterator[Meter]":
        """Open a child meter: what it spends counts here too; both bind what it may spend.

        A hold that is still open at its end counts as spent: it may have been billed.
        """
        child = Meter(budget=budget, parent=self, emit=emit or self.emit, clock=self.clock)
        try:
            yield child
        finally:
            for hold in tuple(child._holds):
                hold.meter.settle(hold, hold.want)

    def reserve(self, want: Spend, *, turns: int = 0) -> Hold:
        """Hold the worst case of a call here and in every parent, or in none.

        Raises BudgetExhausted, naming the limit that would break.
        """
        for meter in self._chain():
            if refusal := meter._refusal(want, turns):
                raise refusal
        hold = Hold(meter=self, want=want, turns=turns)
        for meter in self._chain():
            meter._holds[hold] = None
            meter._held = None
        return hold

    def fits(self, want: Spend, *, turns: int = 0) -> bool:
        """Whether `reserve` would hold this now."""
        return not any(meter._refusal(want, turns) for meter in self._chain())

    def settle(self, hold: Hold, spent: Spend) -> None:
        """Replace a hold by what was really spent, be it more than was held: a bill is a fact."""
        self._close(hold)
        for meter in self._chain():
            meter.settled += spent
            meter.turns += hold.turns
            meter._warn()

    def release(self, hold: Hold) -> None:
        """Give a hold back: nothing was sent, or the provider refused before working."""
        self._close(hold)

    def adopt(self, spent: Spend, *, turns: int = 0, seconds: float = 0.0) -> None:
        """Count what was spent before a restart, refolded from events; it warned then."""
        for meter in self._chain():
            meter.settled += spent
            meter.turns += turns
            meter._began -= seconds
            meter._warned.update((w.limit, w.percent) for w in meter._due())

    def set_limit(self, name: Limit, value: float | None) -> None:
        """Raise, lower or lift a limit at once. What is held stays held, also above a lower one.

        A new limit warns anew, but for what was passed and warned of before.
        """
        before = self.budget.limit(name)
        self.budget = self.budget.with_limit(name, value)
        if self.emit is not None and value != before:
            self.emit(BudgetRaised(limit=name, before=before, after=value))
        warned, self._warned = self._warned, {w for w in self._warned if w[0] != name}
        self._warned |= warned & {(w.limit, w.percent) for w in self._due()}
        self._warn()

    @property
    def held(self) -> Spend:
        """The sum of all open holds."""
        if self._held is None:
            self._held = sum((hold.want for hold in self._holds), Spend())
        return self._held

    def used(self, name: Limit) -> float:
        """Settled plus held, in the unit of the limit (usd by this budget's basis)."""
        return self._amount(name, self.settled + self.held, self._all_turns())

    def left(self, name: Limit) -> float | None:
        """What may still be reserved under this meter and all above; None where nothing binds."""
        rooms = [
            limit - meter.used(name)
            for meter in self._chain()
            if (limit := meter.budget.limit(name)) is not None
        ]
        return min(rooms, default=None)

    def _chain(self) -> "Iterator[Meter]":
        meter: Meter | None = self
        while meter is not None:
            yield meter
            meter = meter.parent

    def _refusal(self, want: Spend, turns: int) -> BudgetExhausted | None:
        for name in LIMITS:
            limit = self.budget.limit(name)
            if limit is None:
                continue
            # one sum in whole nano-dollars, so that ten times 0.1 fits into 1
            total = self._amount(name, self.settled + self.held + want, self._all_turns() + turns)
            if total > limit or (name == "seconds" and total == limit):
                used = self.used(name)
                return BudgetExhausted(
                    f"budget: {name} limit of {limit:g} reached"
                    f" ({used:g} used or held, {total - used:g} more asked)",
                    remedy=f"raise the limit for {name}, or ask for less",
                    reason=f"budget_{name}",
                )
        return None

    def _amount(self, name: Limit, spend: Spend, turns: int) -> float:
        match name:
            case "usd":
                billed = self.budget.usd_basis == "billed"
                return (spend.billed_nano if billed else spend.imputed_nano) / 1e9
            case "tokens":
                return spend.usage.tokens
            case "turns":
                return turns
            case "seconds":
                return self.clock() - self._began

    def _all_turns(self) -> int:
        return self.turns + sum(hold.turns for hold in self._holds)

    def _close(self, hold: Hold) -> None:
        if hold.meter is not self:
            raise BudgetError("budget: a hold is settled or released by the meter that gave it")
        if not hold.open:
            raise BudgetError("budget: this hold was settled or released before")
        hold.open = False
        for meter in self._chain():
            del meter._holds[hold]
            meter._held = None

    def _warn(self) -> None:
        for warning in self._due():
            self._warned.add((warning.limit, warning.percent))
            if self.emit is not None:
                self.emit(warning)

    def _due(self) -> list[BudgetWarned]:
        """What was passed and not yet warned of."""
        limits = [(name, limit) for name in LIMITS if (limit := self.budget.limit(name))]
        spent = {name: self._amount(name, self.settled, self.turns) for name, _ in limits}
        return [
            BudgetWarned(limit=name, percent=percent, spent=spent[name], of=limit)
            for name, limit in limits
            for percent in WARN_AT
            if spent[name] * 100 >= limit * percent and (name, percent) not in self._warned
        ]
