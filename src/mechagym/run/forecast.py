"""What a job can cost at worst: each of its limits, at the prices of its models.

Only a limit bounds a cost: how often an agent calls its model nobody knows before. Where a price is
unknown, or nothing that is limited has one, there is no worst case, and none is made up.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mechagym.budget import Budget, Limit
from mechagym.errors import PriceUnknown
from mechagym.llm.catalogue import Catalogue
from mechagym.llm.names import ModelName
from mechagym.llm.price_table import PriceTable
from mechagym.llm.prices import Price
from mechagym.records import now
from mechagym.run.config import JobConfig

NANO = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedModel:
    """What is known of the cost of a model's calls. `price` None: `unknown` says why."""

    model: ModelName
    price: Price | None
    unknown: str | None = None
    context_window: int | None = None
    max_output: int | None = None

    @property
    def call_nano(self) -> int | None:
        """The most that one call costs, a full window in and all out; None: a part is unknown."""
        if self.price is None:
            return None
        if self.price.is_free:
            return 0
        if self.context_window is None or self.max_output is None:
            return None
        return self.price.worst_nano(self.context_window, self.max_output)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A cost that is not passed, and the limit that sees to it; None: nothing is ever paid."""

    nano: int
    limit: Limit | None = None
    whole_job: bool = True

    @property
    def usd(self) -> float:
        """The same in dollars."""
        return self.nano / NANO

    @property
    def counts_searches(self) -> bool:
        """Whether web searches are in it: they are no tokens, and a turn may have many."""
        return self.limit in ("usd", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """The models that are called, and what all their calls come to. `cost` None: not bounded."""

    models: tuple[PricedModel, ...] = ()
    cost: Bound | None = None

    @property
    def unpriced(self) -> tuple[PricedModel, ...]:
        """The models whose price is unknown."""
        return tuple(model for model in self.models if model.price is None)

    @property
    def searches_on_top(self) -> bool:
        """Whether web searches may cost more than is told here."""
        priced = any(model.price and model.price.usd_per_1k_searches for model in self.models)
        return priced and self.cost is not None and not self.cost.counts_searches


def forecast(
    config: JobConfig, *, trials: int, prices: PriceTable, catalogue: Catalogue
) -> Forecast:
    """Say what a job costs at worst. `trials`: how many of each model's call one."""
    asked = [ModelName.of(model) for model in config.models if model]
    if not trials or not asked:
        return Forecast(cost=Bound(nano=0))
    roles = [ModelName.of(model) for model in config.role_models.values()]
    known = {name: _priced(name, prices, catalogue) for name in (*asked, *roles)}
    models = tuple(known.values())
    if any(model.price is None for model in models):
        return Forecast(models=models)
    tries = trials * (1 + config.pace.retries)
    of_tries = _of_tries(
        [
            _bound(config.rules.trial_budget, [known[name] for name in (one, *roles)])
            for one in asked
        ],
        tries,
    )
    bounds = [bound for bound in (_bound(config.budget, models), of_tries) if bound]
    return Forecast(models=models, cost=min(bounds, key=lambda b: b.nano, default=None))


def _priced(name: ModelName, prices: PriceTable, catalogue: Catalogue) -> PricedModel:
    info = catalogue.find(name)
    try:
        price, unknown = prices.find(name, now()), None
    except PriceUnknown as error:
        price, unknown = None, str(error)
    return PricedModel(
        model=name,
        price=price,
        unknown=unknown,
        context_window=info.context_window,
        max_output=info.max_output,
    )


def _of_tries(each: Sequence[Bound | None], tries: int) -> Bound | None:
    """Sum over models what each try of them may cost: every try has the whole of its budget."""
    bounds = [bound for bound in each if bound is not None]
    if len(bounds) < len(each):
        return None
    dearest = max(bounds, key=lambda bound: bound.nano)
    return Bound(
        nano=sum(bound.nano for bound in bounds) * tries, limit=dearest.limit, whole_job=False
    )


def _bound(budget: Budget, models: Sequence[PricedModel]) -> Bound | None:
    """The lowest of what a budget's limits come to, by the dearest of these models."""
    prices = [model.price for model in models if model.price is not None]
    if all(price.is_free for price in prices):
        return Bound(nano=0)
    return min(_bounds(budget, models, prices), key=lambda bound: bound.nano, default=None)


def _bounds(
    budget: Budget, models: Sequence[PricedModel], prices: Sequence[Price]
) -> Iterable[Bound]:
    if budget.usd is not None:
        yield Bound(nano=round(budget.usd * NANO), limit="usd")
    if budget.tokens is not None:
        most = max(price.dearest_nano(budget.tokens) for price in prices)
        yield Bound(nano=most, limit="tokens")
    calls = [model.call_nano for model in models]
    known = [nano for nano in calls if nano is not None]
    if budget.turns is not None and len(known) == len(calls):
        yield Bound(nano=budget.turns * max(known), limit="turns")
