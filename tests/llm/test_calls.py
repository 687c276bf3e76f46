"""The promise of the ledger: money stops inside a run, whoever calls and however a call ends."""

import math
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mechagym.budget import Budget, Meter
from mechagym.errors import BudgetExhausted, PriceUnknown
from mechagym.events import (
    EventBody,
    ModelAnswered,
    ModelFailed,
    ModelRefused,
    ModelRequested,
    ReserveExceeded,
)
from mechagym.llm.bounds import CallRequest, InputBounds
from mechagym.llm.calls import Call, Ledger, open_counted
from mechagym.llm.catalogue import Catalogue, ModelInfo
from mechagym.llm.faults import RULES, Fault, TryFailed
from mechagym.llm.names import ModelName
from mechagym.llm.price_table import PriceFile, PriceTable
from mechagym.records import Spend, Usage

NAME = ModelName("scripted", "priced")
FILE = PriceFile.model_validate(
    {
        "version": 1,
        "as_of": "2026-11-20",
        "models": {
            "scripted:priced": {
                "input_per_mtok_usd": Decimal(1),
                "output_per_mtok_usd": Decimal(5),
                "cache_write_1h_per_mtok_usd": Decimal(2),
            }
        },
    }
)
PRICES = PriceTable(sources=(("test", FILE),))
CATALOGUE = Catalogue(
    models={NAME: ModelInfo(id=NAME, wire_name="priced", context_window=100_000, max_output=50_000)}
)
ASK = CallRequest(model=NAME, body_bytes=2_000, asked_limit=4_000)


@dataclass
class Desk:
    """A ledger and what it told."""

    meter: Meter
    more: dict[str, Any] = field(default_factory=dict)
    events: list[EventBody] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ledger = Ledger(
            meter=self.meter,
            **{
                "prices": PRICES,
                "catalogue": CATALOGUE,
                "emit": self.events.append,
                "door": "process",
                **self.more,
            },
        )

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def folded(self) -> Spend:
        ended = self.of(ModelAnswered) + self.of(ModelFailed)
        return sum((event.spend for event in ended), Spend())


def desk(budget: Budget = Budget(), **more: Any) -> Desk:
    return Desk(Meter(budget=budget), more)


def test_a_call_is_held_and_settled():
    d = desk()
    call = d.ledger.open(ASK)
    worst = 2_000 * 2_000 + 4_000 * 5_000  # nano: 2,000 in at the dearest rate, 4,000 out
    assert d.meter.held.billed_nano == worst
    assert d.of(ModelRequested)[0].held == d.meter.held
    assert d.of(ModelRequested)[0].output_limit == call.output_limit == 4_000
    call.answered(Usage(input=500, output=100), finish="stop", request_id="r")
    assert (d.meter.held, d.meter.settled.billed_nano) == (Spend(), 1_000_000)
    answered = d.of(ModelAnswered)[0]
    assert (answered.spend, answered.measured) == (d.meter.settled, True)
    assert (answered.finish, answered.request_id, answered.price_ref) == ("stop", "r", "test")
    assert d.meter.turns == 1


@pytest.mark.parametrize("usage", [None, Usage()])
def test_an_answer_without_usage_costs_what_was_held(usage: Usage | None):
    d = desk()
    call = d.ledger.open(ASK)
    held = d.meter.held
    call.answered(usage)
    assert d.meter.settled == held
    assert not d.of(ModelAnswered)[0].measured


@pytest.mark.parametrize("kind", RULES)
def test_a_failed_try_keeps_or_gives_back_its_hold_by_the_table(kind: Any):
    d = desk()
    fault = Fault(kind=kind, message="no", status=500)
    with pytest.raises(TryFailed), d.ledger.open(ASK):
        raise TryFailed(fault)
    held = d.of(ModelRequested)[0].held
    assert d.meter.held == Spend()
    assert d.meter.settled == d.folded() == (Spend() if RULES[kind].released else held)
    assert d.of(ModelFailed)[0].status == 500


def test_after_the_first_output_no_hold_is_given_back():
    d = desk()
    call = d.ledger.open(ASK)
    call.output_began()
    with pytest.raises(TryFailed), call:
        raise TryFailed(Fault(kind="unavailable", message="overloaded in the stream"))
    assert d.meter.settled == d.of(ModelRequested)[0].held


def test_what_is_left_without_a_word_counts_in_full():
    d = desk()
    with pytest.raises(ZeroDivisionError), d.ledger.open(ASK):
        raise ZeroDivisionError
    with d.ledger.open(ASK):
        pass
    assert d.meter.settled == d.folded() == sum((e.held for e in d.of(ModelRequested)), Spend())


@pytest.mark.must("llm-3")
def test_the_first_end_counts():
    d = desk()
    call = d.ledger.open(ASK)
    spent = call.answered(Usage(input=1, output=1))
    call.abandoned()
    call.failed(Fault(kind="server", message="late"), released=True)
    call.answered(Usage(input=9, output=9))
    assert (d.meter.settled, len(d.events)) == (spent, 2)


def test_an_answer_after_the_end_of_its_meter_changes_nothing():
    """The meter counted the hold in full; so does whoever folds the events."""
    job = Meter()
    with job.spend(Budget()) as trial:
        d = Desk(trial)
        call = d.ledger.open(ASK)
    call.answered(Usage(input=1, output=1))
    assert job.settled == d.of(ModelRequested)[0].held
    assert not d.of(ModelAnswered)


@pytest.mark.must("llm-3")
@pytest.mark.anyio
async def test_a_cancelled_call_ends_and_counts():
    d = desk()
    async with anyio.create_task_group() as tasks:

        async def call() -> None:
            with d.ledger.open(ASK):
                await anyio.sleep_forever()

        tasks.start_soon(call)
        await anyio.wait_all_tasks_blocked()
        assert d.meter.held != Spend()
        tasks.cancel_scope.cancel()
    assert d.meter.held == Spend()
    assert d.meter.settled == d.folded() == d.of(ModelRequested)[0].held


ends = st.sampled_from(["answered", "unmeasured", "released", "failed", "abandoned", "raised"])


@pytest.mark.must("llm-3")
@given(st.lists(st.tuples(ends, st.integers(0, 3_000), st.integers(0, 60_000)), max_size=25))
def test_every_try_has_one_hold_and_one_end(steps: list[tuple[str, int, int]]):
    d = desk(Budget(usd=0.3))
    still: list[Call] = []
    for end, used, size in steps:
        try:
            call = d.ledger.open(replace(ASK, body_bytes=size))
        except BudgetExhausted:
            continue
        still.append(call)
        if len(still) > 2:
            finish(still.pop(0), end, used)
    for call in still:
        finish(call, "answered", 10)
    asked = [event.call_id for event in d.of(ModelRequested)]
    ended = [event.call_id for event in d.of(ModelAnswered) + d.of(ModelFailed)]
    assert sorted(asked) == sorted(ended)
    assert len(asked) + len(d.of(ModelRefused)) == len(steps)
    assert d.meter.held == Spend()
    assert d.folded() == d.meter.settled


def finish(call: Call, end: str, used: int) -> None:
    fault = Fault(kind="server", message="broken")
    match end:
        case "answered":
            call.answered(Usage(input=used, output=used // 2))
        case "unmeasured":
            call.answered(None)
        case "released" | "failed":
            call.failed(fault, released=end == "released", usage=Usage(input=used))
        case "abandoned":
            call.abandoned()
        case _:
            with pytest.raises(TryFailed), call:
                raise TryFailed(fault)


@pytest.mark.must("llm-19")
@settings(max_examples=25)
@given(
    st.tuples(st.floats(0.01, 0.5), st.floats(0.01, 0.5), st.integers(1_000, 200_000)),
    st.lists(
        st.tuples(st.integers(0, 9_000), st.integers(100, 6_000), st.floats(0, 1)),
        min_size=50,
        max_size=50,
    ),
)
def test_with_true_usage_no_limit_is_ever_passed(
    limits: tuple[float, float, int], calls: list[tuple[int, int, float]]
):
    """Fifty tasks at once, in two trials of a job, each within what was held for it."""
    job = Meter(budget=Budget(usd=limits[0]))
    watched = [job]

    def hold_within() -> None:
        for meter in watched:
            for name in ("usd", "tokens"):
                limit = meter.budget.limit(name)
                assert limit is None or meter.used(name) <= limit

    async def one(d: Desk, size: int, asked: int, part: float) -> None:
        try:
            call = d.ledger.open(CallRequest(model=NAME, body_bytes=size, asked_limit=asked))
        except BudgetExhausted:
            return
        hold_within()
        await anyio.lowlevel.checkpoint()
        came = int((size / 2 + 1_000) * part)
        call.answered(Usage(input=came, output=int(call.output_limit * part)))
        hold_within()

    async def all_of_them() -> None:
        with (
            job.spend(Budget(usd=limits[1])) as first,
            job.spend(Budget(tokens=limits[2])) as second,
        ):
            watched.extend([first, second])
            desks = [Desk(first), Desk(second)]
            async with anyio.create_task_group() as tasks:
                for number, call in enumerate(calls):
                    tasks.start_soon(one, desks[number % 2], *call)
            hold_within()
            assert sum((d.folded() for d in desks), Spend()) == job.settled
        assert job.held == Spend()

    anyio.run(all_of_them)


@pytest.mark.must("llm-20")
@given(
    st.lists(
        st.tuples(st.integers(0, 20_000), st.integers(0, 40_000), st.integers(0, 9_000)),
        min_size=1,
        max_size=30,
    ),
    st.integers(1, 5),
)
def test_when_usage_lies_the_overshoot_is_what_the_calls_in_flight_lied(
    calls: list[tuple[int, int, int]], at_once: int
):
    d = desk(Budget(usd=0.1))
    flying: list[tuple[Call, int, int]] = []
    lied = 0

    def land() -> None:
        nonlocal lied
        call, came, went = flying.pop(0)
        held = call._hold.want
        told = len(d.of(ReserveExceeded))
        spent = call.answered(Usage(input=came, output=went))
        over = max(0, spent.billed_nano - held.billed_nano)
        lied += over
        exceeded = over > 0 or spent.usage.tokens > held.usage.tokens
        assert len(d.of(ReserveExceeded)) - told == exceeded

    for size, came, went in calls:
        try:
            flying.append((d.ledger.open(replace(ASK, body_bytes=size)), came, went))
        except BudgetExhausted:
            pass
        else:
            in_all = d.meter.settled + d.meter.held
            assert in_all.billed_nano <= 100_000_000, "a new call needs room for all that is there"
        if len(flying) >= at_once:
            land()
        assert (d.meter.settled + d.meter.held).billed_nano <= 100_000_000 + lied
    while flying:
        land()
    assert d.meter.settled.billed_nano <= 100_000_000 + lied


@pytest.mark.must("llm-20")
def test_after_an_overshoot_the_bound_of_that_model_is_raised_for_all_of_the_job():
    bounds = InputBounds()
    first, second = desk(bounds=bounds), desk(bounds=bounds)
    first.ledger.open(ASK).answered(Usage(input=6_000, output=10))
    exceeded = first.of(ReserveExceeded)
    assert [(e.held.usage.input, e.spent.usage.input) for e in exceeded] == [(2_000, 6_000)]
    second.ledger.open(ASK)
    assert second.meter.held.usage.input == 6_000
    other = replace(ASK, model=ModelName("scripted", "other"))
    assert bounds.bound(other, None) == 2_000


def test_the_input_bound_by_bytes_pictures_state_and_count():
    bounds = InputBounds()
    big = replace(ASK, body_bytes=10**6)
    assert bounds.bound(replace(ASK, body_bytes=3), None) == 1_002
    assert bounds.bound(replace(ASK, images=2), None) == 18_000
    assert bounds.bound(big, 100_000) == 100_000, "at most the window"
    assert bounds.bound(replace(ASK, stateful=True), 100_000) == 100_000
    assert bounds.bound(replace(ASK, counted=1_000), 100_000) == 1_150
    bounds.exceeded(NAME, 100_000, 150_000)
    assert bounds.bound(big, 100_000) == 150_000, "the window was not true"


@pytest.mark.must("llm-21")
def test_the_output_limit_is_lowered_to_what_can_be_paid_and_then_refused():
    d = desk(Budget(usd=0.03))  # 2,000 in at 2 are 0.004; 5,200 out are 0.026
    call = d.ledger.open(replace(ASK, asked_limit=20_000))
    assert call.output_limit == 5_200
    assert call.edits == ("output limit 5200",)
    assert d.of(ModelRequested)[0].edits == call.edits
    assert d.meter.left("usd") == 0.0
    call.answered(Usage(input=1_000, output=3_000))
    with pytest.raises(BudgetExhausted):
        d.ledger.open(ASK)
    assert d.of(ModelRefused)[0].reason == "budget_usd"


@pytest.mark.parametrize(("thinking", "floor"), [(0, 2_048), (3_000, 3_001)])
def test_no_limit_is_lowered_below_its_floor(thinking: int, floor: int):
    request = replace(ASK, asked_limit=20_000, thinking_budget=thinking)
    enough = 2_000 * 2e-6 + floor * 5e-6
    assert desk(Budget(usd=enough)).ledger.open(request).output_limit == floor
    with pytest.raises(BudgetExhausted):
        desk(Budget(usd=enough - 1e-9)).ledger.open(request)


def test_a_small_limit_is_never_raised():
    call = desk().ledger.open(replace(ASK, asked_limit=1))
    assert (call.output_limit, call.limits_output) == (1, False)


def test_without_a_limit_the_models_own_counts():
    call = desk().ledger.open(replace(ASK, asked_limit=None))
    assert (call.output_limit, call.limits_output) == (50_000, False)
    unknown = replace(ASK, asked_limit=None, model=ModelName("scripted", "x"))
    free = PriceTable(free=frozenset({"scripted"}))
    call = desk(prices=free).ledger.open(unknown)
    assert (call.output_limit, call.limits_output) == (32_000, True), "it must be told"


@pytest.mark.must("llm-15")
def test_an_unknown_price_refuses_before_anything_is_held():
    d = desk(Budget(tokens=10**6))
    with pytest.raises(PriceUnknown):
        d.ledger.open(replace(ASK, model=ModelName("mine", "x")))
    assert [event.reason for event in d.of(ModelRefused)] == ["price_unknown"]
    assert d.meter.held == d.meter.settled == Spend()


@pytest.mark.must("llm-15")
def test_an_unpriced_model_needs_a_token_limit():
    request = replace(ASK, model=ModelName("mine", "x"))
    with pytest.raises(PriceUnknown):
        desk(Budget(usd=1), allow_unpriced=True).ledger.open(request)
    d = desk(Budget(tokens=10_000), allow_unpriced=True)
    d.ledger.open(request).answered(Usage(input=10, output=10))
    assert d.meter.settled == Spend(usage=Usage(input=10, output=10), unpriced_calls=1)
    assert d.of(ModelAnswered)[0].price_ref == "unknown"
    with pytest.raises(BudgetExhausted):
        d.ledger.open(replace(request, body_bytes=10**5))


@pytest.mark.must("llm-16")
def test_on_a_subscription_calls_have_a_list_price_and_cost_nothing():
    d = desk(Budget(usd=0.000001), billed=False)
    d.ledger.open(ASK).answered(Usage(input=1_000, output=1_000))
    assert d.meter.settled.billed_nano == 0
    assert d.meter.settled.imputed_nano == 6_000_000
    imputed = desk(Budget(usd=0.000001, usd_basis="imputed"), billed=False)
    with pytest.raises(BudgetExhausted):
        imputed.ledger.open(ASK)


@pytest.mark.anyio
async def test_the_providers_count_is_asked_once_where_our_bound_would_refuse():
    asked: list[int] = []

    async def count() -> int:
        asked.append(1)
        return 1_000

    d = desk(Budget(usd=0.02))
    big = replace(ASK, body_bytes=20_000, asked_limit=2_048)
    call = await open_counted(d.ledger, big, count)
    assert (len(asked), d.meter.held.usage.input) == (1, 1_150)
    call.answered(Usage(input=1_000, output=1))
    (await open_counted(d.ledger, replace(ASK, asked_limit=100), count)).abandoned()
    assert len(asked) == 1, "what fits by our own bound is not counted"


@pytest.mark.anyio
async def test_where_the_provider_counts_nothing_our_bound_refuses():
    async def nothing() -> None:
        return None

    with pytest.raises(BudgetExhausted):
        await open_counted(desk(Budget(usd=0.001)).ledger, ASK, nothing)


def test_times_are_told():
    d = desk(clock=iter([0.0, 0.25, 1.0]).__next__)
    call = d.ledger.open(ASK)
    call.output_began()
    call.answered(Usage(input=1))
    assert math.isclose(d.of(ModelAnswered)[0].first_output_ms, 250)
    assert math.isclose(d.of(ModelAnswered)[0].total_ms, 1000)
