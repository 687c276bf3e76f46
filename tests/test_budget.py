"""A limit holds, whatever is reserved, settled, released or left open, however deep they nest."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechagym.budget import LIMITS, Budget, Hold, Limit, Meter
from mechagym.errors import BudgetError, BudgetExhausted
from mechagym.events import BudgetRaised, BudgetWarned, EventBody
from mechagym.records import Spend, Usage


def cost(usd: float = 0.0, tokens: int = 0) -> Spend:
    nano = round(usd * 1e9)
    return Spend(usage=Usage(input=tokens), billed_nano=nano, imputed_nano=2 * nano)


def warned(events: list[EventBody]) -> list[tuple[Limit, int]]:
    return [(e.limit, e.percent) for e in events if isinstance(e, BudgetWarned)]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


limits = st.none() | st.integers(0, 40)
budgets = st.builds(
    Budget,
    usd=limits,
    tokens=limits,
    turns=limits,
    usd_basis=st.sampled_from(["billed", "imputed"]),
)
asks = st.builds(cost, usd=st.integers(0, 15), tokens=st.integers(0, 15))
moves = st.tuples(
    st.sampled_from(["reserve", "settle", "release"]),
    st.integers(0, 2),  # which meter of the chain
    asks,
    st.integers(0, 3),  # turns
    st.floats(0.0, 1.0),  # which share of a hold was really spent
)


def share(want: Spend, part: float) -> Spend:
    return Spend(
        usage=Usage(input=int(want.usage.input * part)),
        billed_nano=int(want.billed_nano * part),
        imputed_nano=int(want.imputed_nano * part),
    )


@given(st.lists(budgets, min_size=3, max_size=3), st.lists(moves, max_size=40))
def test_settled_and_held_never_exceed_a_limit(three: list[Budget], steps: list[Any]):
    top = Meter(budget=three[0])
    with top.spend(three[1]) as middle, middle.spend(three[2]) as low:
        chain_of = (low, middle, top)
        holds: list[tuple[Hold, Meter]] = []
        for move, which, want, turns, part in steps:
            meter = chain_of[which]
            before = [(m.settled, m.held, m.turns) for m in chain_of]
            if move == "reserve":
                try:
                    holds.append((meter.reserve(want, turns=turns), meter))
                except BudgetExhausted:
                    assert before == [(m.settled, m.held, m.turns) for m in chain_of], "in none"
            elif move == "settle" and holds:
                hold, owner = holds.pop()
                owner.settle(hold, share(hold.want, part))
            elif move == "release" and holds:
                hold, owner = holds.pop()
                owner.release(hold)
            for m in chain_of:
                for name in ("usd", "tokens", "turns"):
                    limit = m.budget.limit(name)
                    assert limit is None or m.used(name) <= limit
                assert m.parent is None or m.held.billed_nano <= m.parent.held.billed_nano
        open_holds = [hold.want for hold, _ in holds]
        settled = top.settled
    if all(owner is not top for _, owner in holds):
        assert top.settled == sum(open_holds, settled), "an open hold counts as spent"
        assert top.held == Spend()


@pytest.mark.parametrize(
    ("budget", "want", "turns", "name"),
    [
        (Budget(usd=1.0), cost(usd=1.000000001), 0, "usd"),
        (Budget(usd=1.0, usd_basis="imputed"), cost(usd=0.6), 0, "usd"),
        (Budget(tokens=10), cost(tokens=11), 0, "tokens"),
        (Budget(turns=2), cost(), 3, "turns"),
        (Budget(seconds=0), cost(), 0, "seconds"),
    ],
)
def test_the_refusal_names_the_limit(budget: Budget, want: Spend, turns: int, name: Limit):
    meter = Meter(budget=budget, clock=Clock())
    with pytest.raises(BudgetExhausted, match=f"{name} limit") as caught:
        meter.reserve(want, turns=turns)
    assert caught.value.reason == f"budget_{name}"
    assert caught.value.remedy


def test_ten_dimes_make_a_dollar():
    meter = Meter(budget=Budget(usd=1.0))
    for _ in range(10):
        meter.settle(meter.reserve(cost(usd=0.1)), cost(usd=0.1))
    assert meter.left("usd") == 0.0
    with pytest.raises(BudgetExhausted):
        meter.reserve(Spend(billed_nano=1))


def test_a_parent_refuses_for_its_child_and_nothing_is_held():
    top = Meter(budget=Budget(usd=1.0))
    with top.spend(Budget(usd=5.0)) as child:
        with pytest.raises(BudgetExhausted):
            child.reserve(cost(usd=2.0))
        assert child.held == top.held == Spend()
        assert child.left("usd") == 1.0


def test_two_children_share_what_their_parent_has():
    top = Meter(budget=Budget(tokens=10))
    with top.spend(Budget()) as one, top.spend(Budget()) as two:
        first = one.reserve(cost(tokens=6))
        with pytest.raises(BudgetExhausted):
            two.reserve(cost(tokens=5))
        one.release(first)
        two.reserve(cost(tokens=5))
    assert top.settled == cost(tokens=5)


def test_every_open_hold_is_settled_when_its_meter_ends():
    top = Meter()
    with top.spend(Budget()) as child:
        for _ in range(5):
            child.reserve(cost(usd=0.5), turns=1)
    assert (top.settled, top.turns, top.held) == (cost(usd=2.5), 5, Spend())


def test_an_error_in_the_body_settles_too():
    top = Meter()
    with pytest.raises(BudgetExhausted), top.spend(Budget(tokens=10)) as child:
        child.reserve(child.reserve(cost(tokens=7)).want)
    assert top.settled == cost(tokens=7)


def test_a_bill_above_the_hold_is_counted_and_stops_the_next_call():
    meter = Meter(budget=Budget(usd=1.0))
    meter.settle(meter.reserve(cost(usd=0.9)), cost(usd=1.2))
    assert meter.used("usd") == 1.2
    with pytest.raises(BudgetExhausted):
        meter.reserve(cost(usd=0.01))


def test_a_hold_is_closed_once_and_by_its_own_meter():
    top = Meter()
    with top.spend(Budget()) as child:
        hold = child.reserve(cost(tokens=1))
        with pytest.raises(BudgetError, match="the meter that gave it"):
            top.settle(hold, cost(tokens=1))
        child.settle(hold, cost(tokens=1))
        with pytest.raises(BudgetError, match="before"):
            child.settle(hold, cost())
        with pytest.raises(BudgetError, match="before"):
            child.release(hold)
    assert top.settled == cost(tokens=1)


@pytest.mark.must("llm-23")
def test_warnings_come_at_75_and_90_percent_once():
    events: list[EventBody] = []
    meter = Meter(budget=Budget(usd=1.0, tokens=1000), emit=events.append)
    for _ in range(10):
        meter.settle(meter.reserve(cost(usd=0.1, tokens=10)), cost(usd=0.1, tokens=10))
    assert warned(events) == [("usd", 75), ("usd", 90)]
    assert isinstance(events[0], BudgetWarned)
    assert (events[0].spent, events[0].of) == (0.8, 1.0)


def test_a_parent_warns_of_what_its_children_spend():
    told: tuple[list[EventBody], list[EventBody]] = ([], [])
    top = Meter(budget=Budget(turns=4), emit=told[0].append)
    with top.spend(Budget(turns=100), emit=told[1].append) as child:
        child.settle(child.reserve(cost(), turns=4), cost())
    assert warned(told[0]) == [("turns", 75), ("turns", 90)]
    assert warned(told[1]) == []


def test_seconds_run_by_the_clock():
    clock = Clock()
    meter = Meter(budget=Budget(seconds=10), clock=clock)
    meter.reserve(cost(tokens=1))
    clock.now += 9.5
    assert meter.left("seconds") == 0.5
    meter.reserve(cost(tokens=1))
    clock.now += 0.5
    with pytest.raises(BudgetExhausted, match="seconds"):
        meter.reserve(cost(tokens=1))


def test_a_restart_counts_what_was_spent_and_does_not_warn_again():
    events: list[EventBody] = []
    clock = Clock()
    top = Meter(budget=Budget(usd=1.0, seconds=60, turns=10), emit=events.append, clock=clock)
    top.adopt(cost(usd=0.8), turns=2, seconds=50)
    assert [top.left(name) for name in LIMITS] == [pytest.approx(0.2), None, 10, 8]
    top.settle(top.reserve(cost(usd=0.01)), cost(usd=0.01))
    assert warned(events) == []
    top.settle(top.reserve(cost(usd=0.1)), cost(usd=0.1))
    assert warned(events) == [("usd", 90)]


def test_without_a_limit_nothing_binds():
    meter = Meter()
    assert [meter.left(name) for name in LIMITS] == [None] * 4
    meter.reserve(cost(usd=1e6, tokens=10**12), turns=10**6)


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_is_a_number(name: Limit, value: Any):
    with pytest.raises(BudgetError, match=name):
        Budget(**{name: value})


def test_what_fits_is_what_can_be_reserved():
    top = Meter(budget=Budget(usd=1.0))
    with top.spend(Budget(turns=2)) as child:
        assert child.fits(cost(usd=1.0), turns=2)
        assert not child.fits(cost(usd=1.000000001))
        assert not child.fits(cost(), turns=3)
        assert child.held == Spend(), "asking holds nothing"
        child.reserve(cost(usd=0.6))
        assert not child.fits(cost(usd=0.5))


@pytest.mark.must("llm-23")
def test_a_raised_limit_acts_at_once_also_for_who_was_just_refused():
    events: list[EventBody] = []
    job = Meter(budget=Budget(usd=1.0), emit=events.append)
    with job.spend(Budget()) as trial:
        trial.settle(trial.reserve(cost(usd=0.95)), cost(usd=0.95))
        with pytest.raises(BudgetExhausted):
            trial.reserve(cost(usd=0.5))
        job.set_limit("usd", 2.0)
        trial.settle(trial.reserve(cost(usd=0.5)), cost(usd=0.5))
    raised = [event for event in events if isinstance(event, BudgetRaised)]
    assert [(e.limit, e.before, e.after) for e in raised] == [("usd", 1.0, 2.0)]
    assert warned(events) == [("usd", 75), ("usd", 90)]
    job.settle(job.reserve(cost(usd=0.1)), cost(usd=0.1))
    assert warned(events)[2:] == [("usd", 75)], "the new limit warns anew"


def test_a_slightly_raised_limit_does_not_warn_of_what_was_told():
    events: list[EventBody] = []
    meter = Meter(budget=Budget(tokens=1_000), emit=events.append)
    meter.settle(meter.reserve(cost(tokens=950)), cost(tokens=950))
    meter.set_limit("tokens", 1_010)
    assert warned(events) == [("tokens", 75), ("tokens", 90)]


def test_a_lowered_limit_warns_and_stops_and_takes_nothing_back():
    events: list[EventBody] = []
    meter = Meter(budget=Budget(usd=10.0, turns=5), emit=events.append)
    hold = meter.reserve(cost(usd=3.0))
    meter.settle(meter.reserve(cost(usd=1.0)), cost(usd=1.0))
    meter.set_limit("usd", 1.2)
    assert warned(events) == [("usd", 75)]
    assert meter.held == cost(usd=3.0)
    with pytest.raises(BudgetExhausted):
        meter.reserve(cost(usd=0.001))
    meter.settle(hold, cost(usd=0.1))
    meter.reserve(cost(usd=0.1))
    meter.set_limit("usd", None)
    meter.reserve(cost(usd=1e6))
    assert meter.budget.turns == 5


@pytest.mark.parametrize("value", [-1, float("nan")])
def test_a_limit_is_changed_to_a_number_only(value: float):
    meter = Meter(budget=Budget(usd=1.0))
    with pytest.raises(BudgetError):
        meter.set_limit("usd", value)
    assert meter.budget.usd == 1.0
