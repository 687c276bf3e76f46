"""The planner on every wire: the same code, the real SDKs, a provider on loopback, a tape."""

from pathlib import Path
from typing import Any

import pytest

from mechagym.agents.base import Context
from mechagym.agents.map.agent import MapAgent
from mechagym.agents.map.config import MapConfig
from mechagym.agents.map.status import VARYING
from mechagym.budget import Budget, Meter
from mechagym.events import EventBody, ModelAnswered, ModelRefused, ModelRequested
from mechagym.events.map import MapRunComplete
from mechagym.llm.names import ModelName
from mechagym.llm.tape import TapeWriter
from mechagym.records import Spend, Usage
from mechagym.records.map import MapResult
from mechagym.sandbox.base import Box
from mechagym.testing.provider import ToolCall, Turn
from tests.actors import read
from tests.agents.map.play import TASK
from tests.llm.parts import WIRES, Bench, bench

FM = ModelName("fm", "local")
SCRIPT = [
    Turn(
        text="I write it.",
        calls=(
            ToolCall(id="a", name="write_file", arguments={"path": "out.txt", "content": "done\n"}),
            ToolCall(id="b", name="run_command", arguments={"command": "cat out.txt"}),
        ),
    ),
    Turn(calls=(ToolCall(id="a", name="task_complete", arguments={"summary": "so"}),)),
    Turn(
        calls=(
            ToolCall(id="a", name="task_complete", arguments={"summary": "so", "confirm": True}),
        )
    ),
]


async def worked(
    b: Bench, name: ModelName, box: Box, *, seconds_left: float | None = None
) -> list[EventBody]:
    """A run whose models the stack opens, as `run` does."""
    events: list[EventBody] = b.events

    def open_model(_role: str, meter: Meter | None) -> Any:
        return b.models.open_model(name, meter=meter or b.meter, emit=events.append)

    agent = MapAgent(config=MapConfig())
    await agent.run(
        Context(
            instruction=TASK,
            box=box,
            meter=b.meter,
            emit=events.append,
            model=str(name),
            open_model=open_model,
            seconds_left=seconds_left,
        )
    )
    return events


def ended(events: list[EventBody]) -> MapResult:
    (last,) = [event for event in events if isinstance(event, MapRunComplete)]
    return last.result


@pytest.mark.must("map-27")
@pytest.mark.parametrize("name", [*WIRES.values(), FM], ids=str)
async def test_it_works_on_every_wire(mini: Box, name: ModelName):
    async with bench(SCRIPT) as b:
        events = await worked(b, name, mini)
        assert ended(events).stop_reason == "completed"
        assert ended(events).turns == 3
        assert await read(mini, "/app/out.txt") == "done\n"
        assert b.is_even()
        asked = b.double.works[-1].body.decode()
        assert "done" in asked
        assert "additionalProperties" in asked


@pytest.mark.must("map-27")
async def test_a_recorded_run_is_played_again_without_a_network(mini: Box, tmp_path: Path):
    path = tmp_path / "run.tape"
    tape = TapeWriter(path, lambda text: (text, 0), normalise=VARYING)
    async with bench(SCRIPT, tape=tape) as b:
        await worked(b, WIRES["anthropic"], mini, seconds_left=900.0)
    tape.close()
    await mini.exec(["rm", "/app/out.txt"])
    async with bench([]) as b:
        replay = ModelName("replay", f"{path}?strict")
        events = await worked(b, replay, mini, seconds_left=700.0)
        assert ended(events).stop_reason == "completed"
        assert await read(mini, "/app/out.txt") == "done\n"
        assert b.double.works == []


@pytest.mark.must("map-21")
async def test_no_call_is_made_without_a_reservation_and_the_last_refusal_ends_it(mini: Box):
    dear = [
        Turn(
            calls=(ToolCall(id="a", name="run_command", arguments={"command": f"echo {n}"}),),
            usage=Usage(input=9_000, output=2_000),
        )
        for n in range(40)
    ]
    async with bench(dear, budget=Budget(usd=0.2)) as b:
        events = await worked(b, WIRES["anthropic"], mini)
        assert ended(events).stop_reason == "budget"
        assert b.meter.used("usd") <= 0.2
        assert b.is_even()
        asked = [e for e in events if isinstance(e, ModelRequested)]
        assert len(asked) == len(b.double.works) == len(b.answered) > 2
        assert isinstance(next(e for e in events if isinstance(e, ModelRefused)), ModelRefused)
        spent = sum((e.spend for e in events if isinstance(e, ModelAnswered)), Spend())
        assert ended(events).usage == spent.usage
        assert ended(events).cost_usd == pytest.approx(spent.cost_usd)
