"""List prices from the bundled snapshot of `genai-prices`, taken with four grains of salt.

An entry without prices is unknown, not free. A model is found by its exact id, a listed alias, or
one of these with a date behind it, never by prefix: a longer name may cost more. Only the providers
whose prices the library lists are looked up. Its snapshot carries the time of loading, so what is
kept with a price is the version of the package.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING

from mechagym.llm.names import ModelName
from mechagym.llm.prices import Price, Rate, free, price_of

if TYPE_CHECKING:
    from genai_prices.types import MatchLogic, ModelInfo, TieredPrices

LISTED = {
    "anthropic": "anthropic",
    "openai": "openai",
    "openai-chat": "openai",
    "google": "google",
    "openrouter": "openrouter",
}
"""Our providers, by their id in the library."""

_RATES = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write_5m": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "reasoning": "output_reasoning_mtok",
}
_DATE = re.compile(r"[-@](20\d{6}|20\d\d-\d\d-\d\d)$")


def listed_price(model: ModelName, at: datetime, *, variant: str | None = None) -> Price | None:
    """The list price at a time; None where the library has none for exactly this."""
    provider = LISTED.get(model.provider)
    if provider is None:
        return None
    name = model.name.lower()
    if provider == "openrouter" and name.endswith(":free"):
        return free(model, _ref())
    named = _names(provider)
    info = named.get(name) or named.get(_DATE.sub("", name))
    return _price(model, info, at, variant) if info is not None else None


def context_window(model: ModelName) -> int | None:
    """How much a model reads, as the library lists it."""
    named = _names(LISTED.get(model.provider, ""))
    name = model.name.lower()
    info = named.get(name) or named.get(_DATE.sub("", name))
    return info.context_window if info is not None else None


def listed_ids(provider: str) -> list[str]:
    """The ids that the library lists for a provider of ours."""
    return sorted({info.id for info in _names(LISTED.get(provider, "")).values()})


def _price(model: ModelName, info: "ModelInfo", at: datetime, variant: str | None) -> Price | None:
    context = dict(part.split("=", 1) for part in variant.split("&")) if variant else {}
    if any(not _is_priced(info, at, item, context) for item in context.items()):
        return None
    prices = info.get_prices(at, context)
    found = {name: getattr(prices, key) for name, key in _RATES.items()}
    rates = {name: _rate(value) for name, value in found.items() if value is not None}
    if "input" not in rates or "output" not in rates or not any(r.usd for r in rates.values()):
        return None
    searches = prices.web_searches_kcount
    per_1k = searches if isinstance(searches, Decimal) else None
    return price_of(model, _ref(), rates=rates, per_1k_searches=per_1k)


def _is_priced(
    info: "ModelInfo", at: datetime, asked: tuple[str, str], context: Mapping[str, str]
) -> bool:
    """Whether the library names this part of a variant at that time."""
    return any(
        asked in variant.when.items()
        and variant.when.items() <= context.items()
        and (variant.constraint is None or variant.constraint.active(at))
        for variant in info.price_variants or ()
    )


def _rate(value: "Decimal | TieredPrices") -> Rate:
    if isinstance(value, Decimal):
        return Rate(usd=value)
    return Rate(usd=value.base, tiers=tuple((tier.start, tier.price) for tier in value.tiers))


@cache
def _names(provider: str) -> Mapping[str, "ModelInfo"]:
    """Every id and listed alias of a provider, in small letters. An id goes before an alias."""
    from genai_prices.data import providers

    models = [info for p in providers if p.id == provider for info in p.models]
    aliases = {name.lower(): info for info in models for name in _aliases(info.match)}
    return aliases | {info.id.lower(): info for info in models}


def _aliases(match: "MatchLogic") -> Iterator[str]:
    from genai_prices.types import ClauseEquals, ClauseOr, ClauseStartsWith

    match match:
        case ClauseEquals(equals=name) | ClauseStartsWith(starts_with=name):
            yield name
        case ClauseOr(or_=parts):
            for part in parts:
                yield from _aliases(part)
        case _:
            pass  # a pattern is no name


@cache
def _ref() -> str:
    from importlib.metadata import version

    return f"genai-prices {version('genai-prices')}"
