"""The scripted agent does what its script says, with the events and the money of a real one."""

from pathlib import Path

import anyio
import pytest

from mechagym.agents.base import AgentResult, Context
from mechagym.agents.scripted import (
    Action,
    Claim,
    Exec,
    Fail,
    Hang,
    Pay,
    Say,
    ScriptedAgent,
    Sleep,
    Write,
    read_script,
)
from mechagym.budget import Budget, Meter
from mechagym.errors import AgentError, BudgetExhausted, ConfigError
from mechagym.events import AgentSpent, EventBody, MessageSaid, ToolCalled, ToolReturned
from mechagym.sandbox.base import Box
from tests.actors import make_task, read


async def act(
    box: Box, *script: Action, meter: Meter | None = None, step: str = "main"
) -> tuple[AgentResult, list[EventBody]]:
    events: list[EventBody] = []
    context = Context(
        instruction="Do it.", box=box, meter=meter or Meter(), emit=events.append, step=step
    )
    agent = ScriptedAgent(script=script)
    await agent.prepare(box)
    return await agent.run(context), events


async def test_a_whole_script(quick_box: Box):
    meter = Meter()
    result, events = await act(
        quick_box,
        Say(text="I begin"),
        Exec(command="echo hi > a.txt; echo out; echo err >&2; exit 3"),
        Write(path="/app/deep/b.txt", text="{x} $(y) ü\n"),
        Sleep(seconds=0),
        Pay(input=10, output=5, cost_usd=0.25),
        Claim(text="all done"),
        meter=meter,
    )
    assert (result.claim, result.turns) == ("all done", 2)
    assert [type(event) for event in events] == [
        *(MessageSaid, ToolCalled, ToolReturned, ToolCalled, ToolReturned, AgentSpent)
    ]
    shown = events[2]
    assert isinstance(shown, ToolReturned)
    assert (shown.output, shown.is_error) == ("out\nerr\n", True)
    assert await read(quick_box, "/app/a.txt") == "hi\n"
    assert await read(quick_box, "/app/deep/b.txt") == "{x} $(y) ü\n"
    assert (meter.settled.cost_usd, meter.settled.usage.tokens, meter.turns) == (0.25, 15, 1)


async def test_the_actions_of_another_step_wait(quick_box: Box):
    script = (Say(text="always"), Say(text="first", step="one"), Say(text="then", step="two"))
    _, events = await act(quick_box, *script, step="two")
    assert [event.text for event in events if isinstance(event, MessageSaid)] == [
        "always",
        "then",
    ]


async def test_it_fails_when_told_to(quick_box: Box):
    with pytest.raises(AgentError, match="enough"):
        await act(quick_box, Fail(message="enough"), Say(text="never"))


async def test_it_hangs_until_it_is_ended(quick_box: Box):
    with anyio.move_on_after(0.05) as scope:
        await act(quick_box, Hang())
    assert scope.cancelled_caught


async def test_money_runs_out_as_for_any_agent(quick_box: Box):
    meter = Meter(budget=Budget(usd=0.5))
    with pytest.raises(BudgetExhausted):
        await act(quick_box, *[Pay(cost_usd=0.2)] * 3, meter=meter)
    assert meter.settled.cost_usd == pytest.approx(0.4)


async def test_what_it_starts_in_the_background_goes_on(quick_box: Box):
    _, events = await act(
        quick_box, Exec(command="sleep 0.2; echo up > /app/up.txt", background=True)
    )
    assert isinstance(events[1], ToolReturned)
    assert not events[1].is_error
    with anyio.fail_after(10):
        while not (await quick_box.exec(["test", "-s", "/app/up.txt"])).ok:
            await anyio.sleep(0.05)


FILE = """
- {kind: say, text: hello}
- kind: exec
  command: |
    echo "a: b"
  step: one
- {kind: spend, input: 3, cost_usd: 0.5}
- {kind: hang}
"""


def test_a_script_file(tmp_path: Path):
    path = tmp_path / "script.yaml"
    path.write_text(FILE)
    assert read_script(path) == (
        Say(text="hello"),
        Exec(command='echo "a: b"\n', step="one"),
        Pay(input=3, cost_usd=0.5),
        Hang(),
    )
    agent = ScriptedAgent(task=make_task(tmp_path, {}), options={"script": str(path)})
    assert agent.name == "scripted"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- {kind: sing}", "'sing'"),
        ("- {kind: say}", "0.say.text"),
        ("- {kind: say, text: a, loud: true}", "0.say.loud"),
        ("- {kind: write, path: here, text: a}", "0.write.path"),
        ("- {kind: sleep, seconds: -1}", "0.sleep.seconds"),
        ("kind: say", "script"),
        ("", "script"),
        ("- [", "cannot read"),
    ],
)
def test_a_bad_script_names_file_and_place(tmp_path: Path, text: str, says: str):
    path = tmp_path / "script.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_script(path)
    assert caught.value.message.startswith(f"{path}: ")
    assert says in caught.value.message


def test_a_script_that_is_not_there(tmp_path: Path):
    with pytest.raises(ConfigError, match="cannot read the script"):
        ScriptedAgent(options={"script": str(tmp_path / "none.yaml")})


@pytest.mark.parametrize(
    ("name", "remedy"), [("scrip", "did you mean script?"), ("zzz", "it knows: script")]
)
def test_an_unknown_option_is_told_the_known(name: str, remedy: str):
    with pytest.raises(ConfigError) as caught:
        ScriptedAgent(options={name: "x"})
    assert caught.value.remedy == remedy
