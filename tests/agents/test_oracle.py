"""The oracle runs what stands in the solution folder as real solutions are written."""

from pathlib import Path

import pytest

from mechagym.agents.base import Context
from mechagym.agents.calls import SHOWN_BYTES
from mechagym.agents.nop import NopAgent
from mechagym.agents.oracle import OracleAgent
from mechagym.budget import Meter
from mechagym.errors import AgentSetupError, ConfigError
from mechagym.events import EventBody, ToolCalled, ToolReturned
from mechagym.sandbox.base import Box
from tests.actors import make_steps, make_task, open_box, read


def context(box: Box, events: list[EventBody], step: str = "main") -> Context:
    return Context(instruction="Do it.", box=box, meter=Meter(), emit=events.append, step=step)


async def test_a_solution_without_shebang_and_x_bit_runs_in_the_workdir(box: Box, tmp_path: Path):
    solve = "\n# a comment first\nsource /solution/lib/answer.sh\necho $ANSWER-$SECRET > out.txt\n"
    task = make_task(
        tmp_path,
        {"solution/solve.sh": solve, "solution/lib/answer.sh": "ANSWER=42\n"},
        env={"SECRET": "a b$c"},
    )
    events: list[EventBody] = []
    agent = OracleAgent(task=task, options={})
    await agent.prepare(box)
    result = await agent.run(context(box, events))
    assert result.exit_code == 0
    assert await read(box, "/app/out.txt") == "42-a b$c\n"


async def test_a_bad_exit_is_data(box: Box, tmp_path: Path):
    task = make_task(tmp_path, {"solution/solve.sh": "echo out; echo err >&2; exit 127\n"})
    events: list[EventBody] = []
    result = await OracleAgent(task=task, options={}).run(context(box, events))
    assert result.exit_code == 127
    called, returned = events
    assert isinstance(called, ToolCalled)
    assert isinstance(returned, ToolReturned)
    assert called.call_id == returned.call_id
    assert (returned.output, returned.is_error) == ("out\nerr\n", True)


async def test_long_output_keeps_head_and_tail(box: Box, tmp_path: Path):
    loop = "echo first; i=0; while [ $i -lt 9000 ]; do echo 1234567890; i=$((i+1)); done; echo last"
    task = make_task(tmp_path, {"solution/solve.sh": loop})
    events: list[EventBody] = []
    await OracleAgent(task=task, options={}).run(context(box, events))
    output = events[1].output if isinstance(events[1], ToolReturned) else ""
    assert output.startswith("first\n")
    assert output.endswith("last\n")
    assert len(output) <= SHOWN_BYTES + 200


async def test_each_step_has_its_own_solution_and_nothing_of_the_last(box: Box, tmp_path: Path):
    for name, line in {"one": "echo 1 > one.txt", "two": "ls /solution > two.txt"}.items():
        folder = tmp_path / "steps" / name / "solution"
        folder.mkdir(parents=True)
        (folder / "solve.sh").write_text(line)
    (tmp_path / "steps" / "one" / "solution" / "only-one.txt").write_text("")
    agent = OracleAgent(task=make_steps(tmp_path, ("one", "two")), options={})
    await agent.prepare(box)
    await agent.run(context(box, [], "one"))
    await agent.run(context(box, [], "two"))
    assert await read(box, "/app/two.txt") == "solve.sh\n"


async def test_a_step_without_a_solution_takes_the_shared_one(box: Box, tmp_path: Path):
    (tmp_path / "solution").mkdir()
    (tmp_path / "solution" / "solve.sh").write_text("echo shared > out.txt\n")
    agent = OracleAgent(task=make_steps(tmp_path, ("one",)), options={})
    await agent.run(context(box, [], "one"))
    assert await read(box, "/app/out.txt") == "shared\n"


@pytest.mark.live
async def test_a_shebang_is_obeyed(tmp_path: Path):
    task = make_task(tmp_path, {"solution/solve.sh": "#!/usr/bin/perl\nopen F, '>out'; print F 7"})
    async with open_box("docker") as box:
        await OracleAgent(task=task, options={}).run(context(box, []))
        assert await read(box, "/app/out") == "7"


@pytest.mark.live
async def test_without_bash_it_is_sh(tmp_path: Path):
    task = make_task(tmp_path, {"solution/solve.sh": "echo ${BASH_VERSION-none} > out\n"})
    async with open_box("docker") as box:
        assert (await box.exec(["rm", "/bin/bash"])).ok
        await OracleAgent(task=task, options={}).run(context(box, []))
        assert await read(box, "/app/out") == "none\n"


async def test_what_a_hostile_image_left_at_solution_is_not_followed(box: Box, tmp_path: Path):
    await box.exec(["sh", "-c", "mkdir -p /victim && echo mine > /victim/solve.sh"])
    await box.exec(["ln", "-s", "/victim", "/solution"])
    task = make_task(tmp_path, {"solution/solve.sh": "echo done > out.txt\n"})
    await OracleAgent(task=task, options={}).run(context(box, []))
    assert await read(box, "/victim/solve.sh") == "mine\n"
    assert await read(box, "/app/out.txt") == "done\n"


async def test_no_solution_is_said_before_anything_runs(box: Box, tmp_path: Path):
    agent = OracleAgent(task=make_task(tmp_path, {"tests/test.sh": ""}), options={})
    with pytest.raises(AgentSetupError, match=r"solution/solve\.sh: no such file") as caught:
        await agent.prepare(box)
    assert (caught.value.reason, caught.value.graded) == ("solution_missing", False)


async def test_nop_does_nothing(box: Box, tmp_path: Path):
    events: list[EventBody] = []
    agent = NopAgent(task=make_task(tmp_path, {}), options={})
    await agent.prepare(box)
    result = await agent.run(context(box, events))
    assert (events, result.exit_code, result.turns) == ([], None, 0)


@pytest.mark.parametrize("agent", [OracleAgent, NopAgent])
def test_an_option_that_is_none(agent: type[OracleAgent | NopAgent], tmp_path: Path):
    with pytest.raises(ConfigError, match="no option 'x'") as caught:
        agent(task=make_task(tmp_path, {}), options={"x": "1"})
    assert caught.value.remedy == "it takes none"
