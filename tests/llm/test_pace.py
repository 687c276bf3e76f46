"""The pace of a key: halved when told to slow, grown by success, one for both doors."""

import asyncio
import math

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechagym.errors import ModelError
from mechagym.llm.credentials import Credential
from mechagym.llm.pace import Pace, Paces
from mechagym.llm.providers import SHIPPED
from mechagym.llm.secret import Secret

pytestmark = [pytest.mark.must("llm-18"), pytest.mark.anyio]


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_it_halves_on_a_refusal_once_in_five_seconds_down_to_one():
    clock = Clock()
    pace = Pace(name="p", clock=clock)
    assert pace.limit == 8
    for expected, later in [(4, 0.0), (4, 4.9), (2, 0.1), (1, 5.0), (1, 5.0)]:
        clock.now += later
        pace.slow_down()
        assert pace.limit == expected


def test_a_full_round_of_successes_adds_one_up_to_the_cap():
    pace = Pace(name="p", cap=10)
    grown = []
    for _ in range(8 + 9 + 50):
        pace.went_well()
        grown.append(pace.limit)
    assert (grown[6], grown[7], grown[15], grown[16], grown[-1]) == (8, 9, 9, 10, 10)


def test_a_refusal_begins_the_round_anew():
    pace = Pace(name="p")
    for _ in range(7):
        pace.went_well()
    pace.slow_down()
    for _ in range(3):
        pace.went_well()
    assert pace.limit == 4
    pace.went_well()
    assert pace.limit == 5


async def test_no_more_are_under_way_than_the_limit_and_they_go_in_order():
    pace = Pace(name="p", cap=2)
    began: list[int] = []
    most = 0

    async def call(number: int) -> None:
        nonlocal most
        async with pace.turn():
            began.append(number)
            most = max(most, pace.in_flight)
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(call, number)
    assert (most, began, pace.in_flight) == (2, list(range(10)), 0)


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.booleans()), max_size=30))
def test_whoever_leaves_whenever_no_turn_is_lost(calls: list[tuple[int, bool, bool]]):
    async def run() -> None:
        pace = Pace(name="p", cap=3)

        async def call(steps: int, fails: bool, leaves: bool) -> None:
            with anyio.CancelScope() as scope:
                if leaves:
                    scope.cancel()
                try:
                    async with pace.turn():
                        assert pace.in_flight <= 3
                        for _ in range(steps):
                            await anyio.lowlevel.checkpoint()
                        if fails:
                            raise ValueError
                except ValueError:
                    pace.slow_down()

        async with anyio.create_task_group() as tasks:
            for one in calls:
                tasks.start_soon(call, *one)
        assert pace.in_flight == 0
        with anyio.fail_after(1):
            async with pace.turn():
                pass

    anyio.run(run)


async def test_a_turn_is_not_lost_with_a_waiter_that_leaves():
    pace = Pace(name="p", cap=1)
    done = []

    async def wait(scope: anyio.CancelScope) -> None:
        with scope:
            async with pace.turn():
                done.append(scope)

    first, second = anyio.CancelScope(), anyio.CancelScope()
    async with anyio.create_task_group() as tasks, pace.turn():
        tasks.start_soon(wait, first)
        tasks.start_soon(wait, second)
        await anyio.wait_all_tasks_blocked()
        first.cancel()
        await anyio.wait_all_tasks_blocked()
    assert done == [second]
    assert pace.in_flight == 0


async def test_a_turn_is_passed_on_by_a_task_that_is_killed_as_it_gets_it():
    pace = Pace(name="p", cap=1)
    async with pace.turn():
        killed = asyncio.ensure_future(pace._take())
        await anyio.wait_all_tasks_blocked()
    killed.cancel()  # the turn is given to it, and it did not run yet
    with pytest.raises(asyncio.CancelledError):
        await killed
    assert pace.in_flight == 0


async def test_who_waits_too_long_is_told():
    pace = Pace(name="anthropic", cap=1)
    async with pace.turn():
        with pytest.raises(ModelError, match="anthropic: no turn") as caught:
            async with pace.turn(0.01):
                pytest.fail("there is no turn")
    assert caught.value.reason == "no_turn"
    assert pace.in_flight == 0


async def test_while_a_provider_wants_silence_nobody_begins(monkeypatch: pytest.MonkeyPatch):
    clock = Clock()
    pace = Pace(name="p", clock=clock)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.now += seconds
        if len(slept) == 1:
            pace.slow_down(10)  # another call of the same key was refused meanwhile
            pace.slow_down(2)  # and one was told less: the longer silence holds

    monkeypatch.setattr(anyio, "sleep", sleep)
    pace.slow_down(30)
    async with pace.turn():
        assert math.isclose(sum(slept), 40)
    assert slept == [30, 10]


async def test_a_timeout_within_the_silence_gives_the_turn_back():
    pace = Pace(name="p")
    pace.slow_down(1_000)
    with pytest.raises(ModelError):
        async with pace.turn(0.01):
            pytest.fail("the provider wants silence")
    assert pace.in_flight == 0


def test_there_is_one_pace_for_each_provider_and_key():
    paces = Paces()

    def key(value: str) -> Credential:
        return Credential(secret=Secret(value, "x"), source="env")

    anthropic, openai = SHIPPED["anthropic"], SHIPPED["openai"]
    of_gateway = paces.of(anthropic, key("a-long-enough-key-1234"))
    assert paces.of(anthropic, key("a-long-enough-key-1234")) is of_gateway
    assert paces.of(anthropic, key("another-long-key-1234")) is not of_gateway
    assert paces.of(openai, key("a-long-enough-key-1234")) is not of_gateway
    assert paces.of(SHIPPED["fm"], None).limit == 1
    assert paces.of(SHIPPED["ollama"], None).limit == 4
    assert paces.of(SHIPPED["vllm"], None).cap == 64
