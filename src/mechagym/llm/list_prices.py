"""Prices in the list of a provider: OpenRouter's has them, per token and as text.

An entry whose price these words cannot say is left out, so that it stays unknown: prices that
change with the model behind it, fees per request, and zeros of what is not named free.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Literal

from mechagym.llm.price_table import Period
from mechagym.records import Json

Entry = Literal["free"] | tuple[Period, ...]
"""What a file of prices says of one model."""

_PER_TOKEN = {
    "prompt": "input_per_mtok_usd",
    "completion": "output_per_mtok_usd",
    "input_cache_read": "cache_read_per_mtok_usd",
    "input_cache_write": "cache_write_5m_per_mtok_usd",
    "internal_reasoning": "reasoning_per_mtok_usd",
}
MILLION, THOUSAND = Decimal(1_000_000), Decimal(1_000)


def openrouter_prices(entries: Sequence[Json], *, source: str) -> dict[str, Entry]:
    """The prices of a list, by the name on the wire."""
    found: dict[str, Entry] = {}
    for entry in entries:
        if isinstance(entry, dict) and isinstance(entry.get("pricing"), dict):
            name = str(entry.get("id", ""))
            if (price := _price(name, entry["pricing"], source)) is not None:
                found[name] = price
    return found


def _price(name: str, pricing: Mapping[str, Json], source: str) -> Entry | None:
    try:
        usd = {key: Decimal(str(value)) for key, value in pricing.items() if value is not None}
    except InvalidOperation:
        return None
    if not {"prompt", "completion"} <= usd.keys() or usd.get("request"):
        return None
    if any(not value.is_finite() or value < 0 for value in usd.values()):
        return None
    if not usd["prompt"] and not usd["completion"]:
        return "free" if name.endswith(":free") else None
    rates = {ours: usd[theirs] * MILLION for theirs, ours in _PER_TOKEN.items() if theirs in usd}
    if not rates.get("reasoning_per_mtok_usd"):
        rates.pop("reasoning_per_mtok_usd", None)  # a zero says: as output
    if search := usd.get("web_search"):
        rates["web_search_per_1k_usd"] = search * THOUSAND
    return (Period.model_validate({**rates, "source": source}),)
