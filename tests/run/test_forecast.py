"""What a job costs at worst: by its limits and prices; no figure where nothing bounds it."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechagym.budget import Budget, Meter
from mechagym.errors import BudgetExhausted
from mechagym.llm.bounds import CallRequest
from mechagym.llm.calls import Ledger
from mechagym.llm.catalogue import Catalogue, ModelInfo
from mechagym.llm.names import ModelName
from mechagym.llm.price_table import PriceTable
from mechagym.records import Usage
from mechagym.run.config import AgentChoice, JobConfig, Pace, Rules, Sources
from mechagym.run.forecast import Bound, forecast

CHEAP, DEAR, BARE = (ModelName("mine", name) for name in ("cheap", "dear", "bare"))
FILE = """
version: 1
as_of: 2026-11-20
models:
  "mine:cheap": {input_per_mtok_usd: 1, output_per_mtok_usd: 5, cache_write_1h_per_mtok_usd: 2}
  "mine:dear":
    input_per_mtok_usd: 2
    output_per_mtok_usd: 12
    web_search_per_1k_usd: 10
    above: {100000: {input_per_mtok_usd: 4, output_per_mtok_usd: 18}}
  "mine:bare": {input_per_mtok_usd: 1, output_per_mtok_usd: 1}
"""
KNOWN = Catalogue(
    models={
        name: ModelInfo(id=name, wire_name=name.name, context_window=window, max_output=out)
        for name, window, out in ((CHEAP, 200_000, 8_000), (DEAR, 400_000, 16_000))
    }
)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> PriceTable:
    path: Path = tmp_path_factory.mktemp("prices") / "pricing.yaml"
    path.write_text(FILE, encoding="utf-8")
    return PriceTable.load(path, free=["local"])


def job(*models: ModelName | str, trial: Budget = Budget(), **more: object) -> JobConfig:
    config = JobConfig(
        name="j",
        sources=Sources(sources=("x",)),
        agents=(AgentChoice(name="a"),),
        out_dir=Path(),
        models=tuple(map(str, models)),
        rules=Rules(trial_budget=trial),
        pace=Pace(retries=0),
    )
    return replace(config, **more)  # type: ignore[arg-type]


def usd(bound: Bound | None) -> float | None:
    return bound.usd if bound else None


@pytest.mark.parametrize(
    ("config", "cost", "limit"),
    [
        (job(CHEAP), None, None),
        (job(CHEAP, trial=Budget(seconds=60)), None, None),
        (job(CHEAP, budget=Budget(usd=5)), 5.0, "usd"),
        (job(CHEAP, trial=Budget(usd=0.5)), 5.0, "usd"),
        (job(CHEAP, trial=Budget(usd=0.5), pace=Pace(retries=2)), 15.0, "usd"),
        (job(CHEAP, trial=Budget(usd=0.5), budget=Budget(usd=4)), 4.0, "usd"),
        (job(CHEAP, trial=Budget(tokens=100_000)), 5.0, "tokens"),
        (job(DEAR, trial=Budget(tokens=100_000)), 12.0, "tokens"),
        (job(DEAR, trial=Budget(tokens=100_001)), 18.00018, "tokens"),
        (job(CHEAP, trial=Budget(turns=3)), 13.2, "turns"),  # 10 × 3 × (0.2 Mtok × 2 + 8 k × 5)
        (job(CHEAP, DEAR, trial=Budget(turns=3)), 13.2 + 56.64, "turns"),
        (job(CHEAP, trial=Budget(turns=3), role_models={"actor": str(DEAR)}), 56.64, "turns"),
        (job(CHEAP, DEAR, budget=Budget(turns=1)), 1.888, "turns"),
        (job(CHEAP, trial=Budget(tokens=1_000, turns=3, usd=9)), 0.05, "tokens"),
        (job(BARE, trial=Budget(turns=3)), None, None),  # nobody says how long its calls can be
        (job(CHEAP, BARE, trial=Budget(turns=3)), None, None),
        (job(BARE, trial=Budget(turns=3, tokens=1_000)), 0.01, "tokens"),
        (job("local:x"), 0.0, None),
        (job("local:x", CHEAP), None, None),
        (job("local:x", CHEAP, trial=Budget(usd=0.5)), 5.0, "usd"),
    ],
)
def test_the_lowest_bound_counts(table: PriceTable, config: JobConfig, cost, limit):
    seen = forecast(config, trials=10, prices=table, catalogue=KNOWN)
    assert usd(seen.cost) == (None if cost is None else pytest.approx(cost, abs=1e-9))
    assert (seen.cost and seen.cost.limit) == limit
    assert not seen.unpriced


def test_what_never_calls_a_model_costs_nothing(table: PriceTable):
    assert usd(forecast(job(CHEAP), trials=0, prices=table, catalogue=KNOWN).cost) == 0
    none = job(models=(None,))
    assert usd(forecast(none, trials=3, prices=table, catalogue=KNOWN).cost) == 0


def test_one_unknown_price_makes_the_whole_unknown(table: PriceTable):
    config = job(CHEAP, "mine:other", budget=Budget(usd=5))
    seen = forecast(config, trials=1, prices=table, catalogue=KNOWN)
    assert seen.cost is None
    assert [str(model.model) for model in seen.unpriced] == ["mine:other"]
    assert "pricing.yaml" in (seen.unpriced[0].unknown or "")


def test_searches_are_told_where_no_limit_counts_them(table: PriceTable):
    def on_top(model: ModelName, trial: Budget) -> bool:
        config = job(model, trial=trial)
        return forecast(config, trials=1, prices=table, catalogue=KNOWN).searches_on_top

    assert on_top(DEAR, Budget(tokens=1_000))
    assert not on_top(DEAR, Budget(usd=1))
    assert not on_top(CHEAP, Budget(tokens=1_000))


COUNTS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning")


@given(
    st.sampled_from([CHEAP, DEAR]),
    st.one_of(
        st.builds(Budget, tokens=st.integers(0, 2_000_000)),
        st.builds(Budget, turns=st.integers(0, 6)),
        st.builds(Budget, usd=st.integers(0, 300).map(lambda cents: cents / 100)),
    ),
    st.lists(st.tuples(st.integers(0, 800_000), st.sampled_from(COUNTS)), max_size=8),
)
def test_no_trial_of_a_provider_that_obeys_costs_more(
    table: PriceTable, model: ModelName, budget: Budget, calls: list[tuple[int, str]]
):
    told = forecast(job(model, trial=budget), trials=1, prices=table, catalogue=KNOWN).cost
    meter = Meter(budget=budget)
    ledger = Ledger(meter=meter, prices=table, catalogue=KNOWN, emit=lambda _: None, door="process")
    for size, kind in calls:
        try:
            call = ledger.open(CallRequest(model=model, body_bytes=size))
        except BudgetExhausted:
            continue
        held = call._hold.want.usage
        most = held.output if kind in ("output", "reasoning") else held.input
        call.answered(Usage(**{kind: most}))
    assert told is not None
    assert Decimal(meter.settled.imputed_nano) <= told.nano
