"""The library's own agents work over the stack: tools, streams, many at once, an end to money."""

from typing import Any

import anyio
import pytest
from pydantic_ai import Agent

from mechagym.budget import Budget
from mechagym.errors import BudgetExhausted, ModelError
from mechagym.llm.settings import RetryLimits
from mechagym.records import Spend
from mechagym.testing.provider import Asked, Failure, ToolCall, Trouble, Turn
from tests.llm.parts import WIRES, ask_streamed, bench

pytestmark = pytest.mark.anyio


def works(asked: Asked) -> Turn:
    """A call of a tool at first, then the answer."""
    if "of the tool" in asked.body.decode():
        return Turn(text="done")
    return Turn(calls=(ToolCall(id="c1", name="look", arguments={"path": "a"}),))


def agent_of(model: Any) -> Agent[None, str]:
    agent = Agent(model)

    @agent.tool_plain
    def look(path: str) -> str:
        return f"{path} of the tool"

    return agent


@pytest.mark.parametrize("wire", WIRES)
async def test_an_agent_works_and_its_connections_outlive_it(wire: Any):
    async with bench(works) as b:
        agent = agent_of(b.open(WIRES[wire]))
        for _ in range(2):
            assert (await agent.run("go")).output == "done"
        async with agent.run_stream("go") as streamed:
            assert await streamed.get_output() == "done"
        assert len(b.answered) == 6
        assert b.is_even()


@pytest.mark.must("llm-3", "llm-19")
async def test_many_at_once_are_all_accounted_for():
    async with bench(works, budget=Budget(usd=1.0)) as b:
        agent = agent_of(b.open(WIRES["anthropic"]))
        ended: list[str] = []

        async def one() -> None:
            try:
                ended.append((await agent.run("go")).output)
            except BudgetExhausted:
                ended.append("refused")
            used = b.meter.used("usd")
            assert used <= 1.0

        async with anyio.create_task_group() as tasks:
            for _ in range(30):
                tasks.start_soon(one)
        assert len(ended) == 30
        assert "done" in ended
        assert b.is_even()


async def test_money_ends_an_agent_with_its_own_error():
    async with bench(works, budget=Budget(usd=0.01)) as b:  # less than the least output
        with pytest.raises(BudgetExhausted):
            await agent_of(b.open(WIRES["anthropic"])).run("go")
        assert b.double.asked
        assert all(asked.route.endswith("count_tokens") for asked in b.double.asked)
        assert b.meter.settled == Spend()


async def test_turns_are_calls():
    async with bench(works, budget=Budget(turns=3)) as b:
        agent = agent_of(b.open(WIRES["anthropic"]))
        await agent.run("go")
        with pytest.raises(BudgetExhausted):
            await agent.run("go")
        assert (len(b.answered), b.meter.turns) == (3, 3)


@pytest.mark.parametrize("wire", WIRES)
async def test_a_stream_is_tried_again_before_its_first_event_alone(wire: Any):
    cut = Turn(text="x" * 6_000, trouble=Trouble(end_after_bytes=3_000))
    async with bench([cut, Turn(text="again")], retry=RetryLimits(base_s=0.001)) as b:
        with pytest.raises(ModelError) as caught:
            await ask_streamed(b.open(WIRES[wire]))
        assert caught.value.reason in ("lost", "undecodable")
        assert len(b.double.works) == 1
        assert b.meter.settled == b.requested[0].held
    async with bench([Failure(status=529), Turn(text="again")]) as b:
        assert (await ask_streamed(b.open(WIRES[wire]))).text == "again"
        assert b.is_even()
