"""A program that hangs, forks, floods or lies: each has its own clear end, and is over in time."""

import pytest

from mechagym.agents.base import AgentResult, Context
from mechagym.agents.installed.command import CommandAgent
from mechagym.agents.installed.commandline import MAX_LINES
from mechagym.budget import Meter
from mechagym.errors import AgentError
from mechagym.events import EventBody, MessageSaid
from mechagym.sandbox.base import Box

pytestmark = pytest.mark.live


async def ran(box: Box, command: str, **options: str) -> tuple[AgentResult, list[EventBody]]:
    told: list[EventBody] = []
    await box.exec(["mkdir", "-p", "/logs/agent"])
    agent = CommandAgent(task=None, options={"run": command, **options})
    await agent.prepare(box)
    context = Context(instruction="Do {it} `now`; $(x) ü", box=box, meter=Meter(), emit=told.append)
    return await agent.run(context), told


async def test_it_finds_its_instruction_and_its_words_are_kept(local_box: Box):
    result, told = await ran(local_box, 'cat; echo; cat "$INSTRUCTION_FILE"; echo; echo over >&2')
    assert [b.text for b in told if isinstance(b, MessageSaid)] == ["Do {it} `now`; $(x) ü"] * 2
    assert result.claim == "\n".join(["Do {it} `now`; $(x) ü"] * 2)
    kept = (await local_box.exec(["cat", "/logs/agent/command.txt"])).text
    assert kept.split("\n")[0] == "Do {it} `now`; $(x) ü"


async def test_a_bad_exit_is_its_own_error_with_its_last_words(local_box: Box):
    with pytest.raises(AgentError, match=r"exit code 3: no such key") as caught:
        await ran(local_box, "echo no such key >&2; exit 3")
    assert caught.value.reason == "agent_exit"


async def test_silence_is_ended_and_leaves_no_process(local_box: Box):
    with pytest.raises(AgentError, match="said nothing for 2 s") as caught:
        await ran(local_box, "echo begun; (setsid sleep 4321 &); sleep 4321", silence_s="2")
    assert caught.value.reason == "agent_silent"
    left = await local_box.exec(["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"])
    assert "sleep 4321" not in left.text


async def test_what_holds_its_output_open_holds_nothing_up(local_box: Box):
    result, _ = await ran(local_box, "sleep 4321 & echo served", silence_s="60")
    assert result.claim == "served"


async def test_a_flood_is_read_in_part_and_its_end_is_known(local_box: Box):
    result, told = await ran(local_box, "yes | head -c 40000000; echo; echo the end")
    assert len(told) == MAX_LINES
    assert result.metadata["read_whole"] is False
    assert (result.claim or "").endswith("the end")


async def test_a_set_up_that_fails_says_why(local_box: Box):
    with pytest.raises(AgentError, match="its setup ended with 1\nno network here"):
        await ran(local_box, "true", setup="echo no network here; exit 1")
