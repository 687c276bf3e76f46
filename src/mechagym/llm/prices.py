"""What one model costs: rates per million tokens, exact, chosen per call.

A cost is rounded half-even to whole nano-dollars, once per call, so that sums over calls are exact.
A tier counts for all tokens of a call whose input is above its start, so cost is never computed
from summed tokens.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal

from mechagym.errors import PriceUnknown
from mechagym.llm.names import ModelName
from mechagym.records import Json, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """USD per million tokens. `tiers`: above so many input tokens this much, ascending."""

    usd: Decimal
    tiers: tuple[tuple[int, Decimal], ...] = ()

    def at(self, input_tokens: int) -> Decimal:
        """What counts for a call with that much input."""
        return next((usd for start, usd in reversed(self.tiers) if input_tokens > start), self.usd)

    def dearest(self, input_tokens: int) -> Decimal:
        """The most that can count for a call with at most that much input."""
        return max([self.usd, *(usd for start, usd in self.tiers if input_tokens > start)])


FREE = Rate(usd=Decimal(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The price of one model, at one time, in one variant. `ref` says where it is from.

    `usd_per_1k_searches` None: nobody said what its web searches cost.
    """

    model: ModelName
    ref: str
    input: Rate
    output: Rate
    cache_read: Rate
    cache_write_5m: Rate
    cache_write_1h: Rate
    reasoning: Rate
    usd_per_1k_searches: Decimal | None = None

    def cost_nano(self, usage: Usage) -> int:
        """The cost of what a call used."""
        came = usage.input + usage.cache_read + usage.cache_write_5m + usage.cache_write_1h
        usd_millionth = sum(
            (getattr(self, name).at(came) * getattr(usage, name) for name in COUNTS), Decimal(0)
        )
        searches = (self.usd_per_1k_searches or 0) * usage.web_searches
        nano = usd_millionth * 1000 + searches * 1_000_000
        return int(nano.to_integral_value(ROUND_HALF_EVEN))

    def worst_nano(self, input_tokens: int, output_tokens: int, searches: int = 0) -> int:
        """The most that a call within these bounds can cost, whatever its tokens turn out to be.

        Raises PriceUnknown where it may search and searches have no price.
        """
        if searches and self.usd_per_1k_searches is None:
            raise unknown(self.model, "its web searches have no price")
        inputs = (self.input, self.cache_read, self.cache_write_5m, self.cache_write_1h)
        dearest_input = max(rate.dearest(input_tokens) for rate in inputs)
        dearest_output = max(r.dearest(input_tokens) for r in (self.output, self.reasoning))
        tokens = dearest_input * input_tokens + dearest_output * output_tokens
        nano = tokens * 1000 + (self.usd_per_1k_searches or 0) * searches * 1_000_000
        return int(nano.to_integral_value(ROUND_CEILING))

    def dearest_nano(self, tokens: int) -> int:
        """The most that so many tokens can cost, of whatever kind and in however many calls."""
        most = max(rate.dearest(tokens) for rate in self._rates) * tokens * 1000
        return int(most.to_integral_value(ROUND_CEILING))

    @property
    def is_free(self) -> bool:
        """Whether no token ever costs anything."""
        return not any(rate.usd or rate.tiers for rate in self._rates)

    @property
    def _rates(self) -> tuple[Rate, ...]:
        return tuple(getattr(self, name) for name in COUNTS)


COUNTS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning")
_ELSE = {
    "cache_read": "input",
    "cache_write_5m": "input",
    "cache_write_1h": "cache_write_5m",
    "reasoning": "output",
}


def price_of(
    model: ModelName, ref: str, *, rates: Mapping[str, Rate], per_1k_searches: Decimal | None
) -> Price:
    """A price of the rates that are named; `input` and `output` must be.

    A read or a write without a rate of its own costs as much as input; reasoning as output.
    """
    full = dict(rates)
    for name, other in _ELSE.items():
        full.setdefault(name, full[other])
    return Price(model=model, ref=ref, usd_per_1k_searches=per_1k_searches, **full)


def free(model: ModelName, ref: str = "free") -> Price:
    """A model whose calls cost nothing."""
    rates = {"input": FREE, "output": FREE}
    return price_of(model, ref, rates=rates, per_1k_searches=Decimal(0))


def unknown(model: ModelName, why: str) -> PriceUnknown:
    """The refusal, with the line that would end it."""
    return PriceUnknown(
        f"{model}: its price is unknown ({why})",
        remedy=f'add to pricing.yaml: "{model}": {{input_per_mtok_usd: …, output_per_mtok_usd: …}}'
        " (or free), or pass --allow-unpriced with a token limit",
        reason="price_unknown",
    )


_PLAIN = {
    "speed": {"standard"},
    "service_tier": {"auto", "default", "standard", "standard_only"},
    "inference_geo": {"global"},
}


def variant_of(request: Mapping[str, Json]) -> str | None:
    """What in a request's body makes its price another one, as `speed=fast`; None: nothing does."""
    asked = {name: str(request[name]) for name in _PLAIN if request.get(name) is not None}
    parts = [f"{name}={value}" for name, value in asked.items() if value not in _PLAIN[name]]
    return "&".join(parts) or None
