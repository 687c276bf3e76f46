"""What calls cost: exact, by tier and date, and never a guess."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from genai_prices.types import ClauseEquals, ModelInfo, ModelPrice
from hypothesis import given
from hypothesis import strategies as st

from mechagym.errors import ConfigError, PriceUnknown
from mechagym.llm import price_library
from mechagym.llm.names import ModelName
from mechagym.llm.price_library import LISTED, _names
from mechagym.llm.price_table import PriceTable
from mechagym.llm.prices import Price, Rate, free, price_of, variant_of
from mechagym.records import Usage

NOW = datetime(2026, 11, 20, tzinfo=UTC)
TABLE = PriceTable.load(free=["ollama", "vllm", "fm", "replay", "scripted"])
HAIKU = ModelName("anthropic", "claude-haiku-4-5")


def cost(name: str, usage: Usage, at: datetime = NOW) -> Decimal:
    return Decimal(TABLE.find(ModelName(*name.split(":", 1)), at).cost_nano(usage)) / 10**9


@pytest.mark.must("llm-14")
@pytest.mark.parametrize(
    ("model", "usage", "usd"),
    [
        (
            "anthropic:claude-haiku-4-5",
            Usage(
                input=3, cache_read=50, cache_write_5m=60, cache_write_1h=40, output=7, reasoning=5
            ),
            "0.000223",
        ),
        (
            "anthropic:claude-opus-4-6",
            Usage(input=10_000, cache_read=80_000, cache_write_5m=10_000, output=5_000),
            "0.2775",
        ),
        (
            "openai:gpt-4o",
            Usage(input=70_000, cache_read=30_000, output=10_000, reasoning=40_000),
            "0.7125",
        ),
        ("openai:gpt-4o", Usage(input=500, cache_write_5m=500), "0.0025"),
        ("google:gemini-3.1-pro-preview", Usage(input=200_000, output=1_000), "0.412"),
        ("google:gemini-3.1-pro-preview", Usage(input=200_001, output=1_000), "0.818004"),
        (
            "anthropic:claude-haiku-4-5",
            Usage(input=1_000, output=10, web_searches=3),
            "0.03105",
        ),
    ],
)
def test_golden(model: str, usage: Usage, usd: str):
    assert cost(model, usage) == Decimal(usd)


@pytest.mark.must("llm-14")
def test_two_calls_below_a_tier_are_not_one_above_it():
    half = Usage(input=150_000, output=1_000)
    apart = 2 * cost("google:gemini-3.1-pro-preview", half)
    assert apart == Decimal("0.624")
    assert cost("google:gemini-3.1-pro-preview", half + half) > apart


@pytest.mark.must("llm-14")
def test_a_period_counts_from_its_day():
    """Opus 4.6 had a tier above 200,000 tokens until 2026-03-13."""
    long = Usage(input=300_000)
    name = "anthropic:claude-opus-4-6"
    assert cost(name, long, datetime(2026, 3, 12, 23, tzinfo=UTC)) == Decimal("3.0")
    assert cost(name, long, datetime(2026, 3, 13, tzinfo=UTC)) == Decimal("1.5")


rates = st.builds(
    lambda usd, tier: Rate(usd=usd, tiers=((200_000, tier),) if tier else ()),
    st.decimals(0, 100, places=4),
    st.none() | st.decimals(0, 100, places=4),
)
prices = st.builds(
    lambda given, searches: price_of(HAIKU, "test", rates=given, per_1k_searches=searches),
    st.fixed_dictionaries(
        {"input": rates, "output": rates},
        optional={"cache_read": rates, "cache_write_5m": rates, "reasoning": rates},
    ),
    st.decimals(0, 50, places=2),
)
tokens = st.integers(0, 400_000)


@given(prices, tokens, tokens, st.integers(0, 5), st.lists(st.integers(0, 100), min_size=7))
def test_no_call_within_its_bounds_costs_more_than_its_worst_case(
    price: Price, came: int, went: int, searches: int, cuts: list[int]
):
    def share(total: int, *parts: int) -> list[int]:
        return [total * part // max(sum(parts), 1) for part in parts]

    inputs, outputs = share(came, *cuts[:4]), share(went, *cuts[4:6])
    usage = Usage(
        input=inputs[0],
        cache_read=inputs[1],
        cache_write_5m=inputs[2],
        cache_write_1h=inputs[3],
        output=outputs[0],
        reasoning=outputs[1],
        web_searches=min(searches, cuts[6]),
    )
    assert 0 <= price.cost_nano(usage) <= price.worst_nano(came, went, searches)


@pytest.mark.must("llm-15")
@pytest.mark.parametrize(
    "name",
    [
        ModelName("anthropic", "claude-opus-4-6-fast"),  # a longer name, found by prefix
        ModelName("anthropic", "claude-haiku-4-5-and-more"),
        ModelName("openai", "gpt-4o-2024-11-20-ft"),
        ModelName("openai", "text-moderation-latest"),
        ModelName("groq", "llama-3.3-70b-versatile"),  # a provider we did not vet
        ModelName("mine", "gpt-4o"),
    ],
    ids=str,
)
def test_what_is_not_listed_exactly_is_unknown(name: ModelName):
    with pytest.raises(PriceUnknown) as caught:
        TABLE.find(name, NOW)
    assert caught.value.reason == "price_unknown"
    assert f'"{name}": {{input_per_mtok_usd' in (caught.value.remedy or "")


@pytest.mark.must("llm-15")
def test_an_entry_without_prices_is_unknown_and_not_free():
    empty = [
        ModelName(provider, name)
        for provider, listed in LISTED.items()
        for name, info in _names(listed).items()
        if not isinstance(info.prices, list)
        and not any(info.prices.__dict__.values())
        and not name.endswith(":free")
    ]
    assert empty, "the library has such entries; else this test shows nothing"
    for name in empty:
        with pytest.raises(PriceUnknown):
            TABLE.find(name, NOW)


@pytest.mark.must("llm-15")
def test_zeros_in_the_list_are_no_price_either(monkeypatch: pytest.MonkeyPatch):
    zero = ModelPrice(input_mtok=Decimal(0), output_mtok=Decimal(0))
    odd = ModelInfo(id="odd", match=ClauseEquals(equals="odd"), prices=zero)
    monkeypatch.setattr(price_library, "_names", lambda _provider: {"odd": odd})
    with pytest.raises(PriceUnknown):
        TABLE.find(ModelName("openai", "odd"), NOW)


@pytest.mark.must("llm-15")
def test_local_is_free_and_says_so():
    for provider in ("ollama", "vllm", "fm", "replay", "scripted"):
        price = TABLE.find(ModelName(provider, "anything"), NOW)
        assert price.cost_nano(Usage(input=10**9, output=10**9)) == 0
        assert price.worst_nano(10**9, 10**9, 5) == 0
        assert price.ref == "free"
    told_free = ModelName("openrouter", "meta-llama/llama-3.3-70b-instruct:free")
    assert TABLE.find(told_free, NOW).cost_nano(Usage(input=10**9)) == 0


@pytest.mark.must("llm-15")
def test_a_variant_has_its_own_price_or_none():
    plain = TABLE.find(ModelName("anthropic", "claude-opus-4-8"), NOW)
    fast = TABLE.find(ModelName("anthropic", "claude-opus-4-8"), NOW, variant="speed=fast")
    assert fast.input.usd == 2 * plain.input.usd
    for variant in ("speed=fast", "inference_geo=us", "service_tier=priority&speed=fast"):
        with pytest.raises(PriceUnknown, match=variant):
            TABLE.find(HAIKU, NOW, variant=variant)


def test_a_request_says_its_variant():
    assert variant_of({}) is None
    assert variant_of({"service_tier": "auto", "speed": None}) is None
    assert variant_of({"speed": "standard", "service_tier": "standard_only"}) is None
    assert variant_of({"speed": "fast"}) == "speed=fast"
    both = {"service_tier": "priority", "speed": "fast"}
    assert variant_of(both) == "speed=fast&service_tier=priority"
    assert variant_of({"speed": ["odd"]}) == "speed=['odd']"


@pytest.mark.parametrize(
    "name",
    [
        "claude-haiku-4-5-20251001",
        "claude-haiku-4.5",
        "CLAUDE-HAIKU-4-5",
        "claude-haiku-4-5@20251001",
    ],
)
def test_an_alias_and_a_date_are_the_same_model(name: str):
    usage = Usage(input=1000, output=1000)
    assert cost(f"anthropic:{name}", usage) == cost("anthropic:claude-haiku-4-5", usage)


def test_the_reference_is_the_package_version():
    assert TABLE.find(HAIKU, NOW).ref.startswith("genai-prices 0.")


YAML = """
version: 1
as_of: 2026-11-20
models:
  "anthropic:claude-haiku-4-5":
    - {from: 2025-10-15, input_per_mtok_usd: 1.00, output_per_mtok_usd: 5.00,
       above: {200000: {input_per_mtok_usd: 3}}, variants: {"speed=fast": {input_per_mtok_usd: 6}},
       source: "https://example.org"}
    - {from: 2027-01-01, input_per_mtok_usd: 0.5, output_per_mtok_usd: 2}
  "vllm:*": free
  "vllm:big-*": {input_per_mtok_usd: 0.1, output_per_mtok_usd: 0.1}
compute: {usd_per_box_hour: 0.12}
"""


@pytest.fixture
def table(tmp_path: Path) -> PriceTable:
    path = tmp_path / "pricing.yaml"
    path.write_text(YAML)
    return PriceTable.load(tmp_path / "absent.yaml", path)


@pytest.mark.must("llm-14")
def test_a_file_goes_first(table: PriceTable):
    price = table.find(HAIKU, NOW)
    assert price.ref.startswith("pricing.yaml@")
    assert price.cost_nano(Usage(input=1_000_000, cache_read=1)) == 3_000_003_000
    assert price.cache_read == price.input == price.cache_write_1h, "no rate of its own"
    assert table.find(HAIKU, datetime(2027, 1, 1, tzinfo=UTC)).input.usd == Decimal("0.5")
    fast = table.find(HAIKU, NOW, variant="speed=fast")
    assert (fast.input.usd, fast.output.usd) == (Decimal(6), Decimal(5))
    with pytest.raises(PriceUnknown, match="2025-01-01"):
        table.find(HAIKU, datetime(2025, 1, 1, tzinfo=UTC))
    with pytest.raises(PriceUnknown, match="speed=slow"):
        table.find(HAIKU, NOW, variant="speed=slow")
    assert table.usd_per_box_hour == Decimal("0.12")


def test_the_longest_pattern_counts(table: PriceTable):
    assert table.find(ModelName("vllm", "small"), NOW) == free(
        ModelName("vllm", "small"), table.find(HAIKU, NOW).ref
    )
    assert table.find(ModelName("vllm", "big-one"), NOW).input.usd == Decimal("0.1")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("models: {}", "version"),
        ("version: 1\nas_of: 2026-01-01\nmodels: {a: {input_per_mtok_usd: 1}}", "output_per_mtok"),
        ("version: 1\nas_of: 2026-01-01\nmodel: {}", "model"),
        (
            "version: 1\nas_of: 2026-01-01\nmodels: {a: [{input_per_mtok_usd: -1}]}",
            "input_per_mtok_usd",
        ),
        (": : :", "YAML"),
    ],
)
def test_a_broken_file_is_named_with_the_place(tmp_path: Path, text: str, place: str):
    path = tmp_path / "pricing.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=place) as caught:
        PriceTable.load(path)
    assert str(path) in str(caught.value)


def test_a_search_without_price_is_refused():
    price = price_of(
        HAIKU,
        "t",
        rates={"input": Rate(usd=Decimal(1)), "output": Rate(usd=Decimal(1))},
        per_1k_searches=None,
    )
    assert price.worst_nano(10, 10) == 20_000
    with pytest.raises(PriceUnknown, match="searches"):
        price.worst_nano(10, 10, 1)


@pytest.mark.must("llm-14")
@pytest.mark.parametrize(("tokens", "nano"), [(1, 0), (2, 1), (3, 2), (5, 2), (7, 4)])
def test_half_a_nano_dollar_goes_to_the_even_one(tokens: int, nano: int):
    half = Rate(usd=Decimal("0.0005"))
    price = price_of(HAIKU, "t", rates={"input": half, "output": half}, per_1k_searches=None)
    assert price.cost_nano(Usage(input=tokens)) == nano
    assert price.worst_nano(tokens, 0) == -(-tokens // 2), "a worst case is never rounded down"
