"""`run_command` in real boxes: its folder persists, its time ends it whole, its services stay."""

import time

import anyio
import pytest

from mechagym.sandbox.base import Box
from mechagym.sandbox.processes import stop_agent
from tests.agents.map.test_tools import action, toolbox


@pytest.mark.must("map-5")
async def test_the_folder_persists_and_variables_do_not(box: Box):
    async with toolbox(box) as tools:
        workdir = "/app"
        for command, shown in (
            ("mkdir -p 'a b' && cd 'a b' && X=1; pwd", "/app/a b\n[exit code 0]"),
            ('pwd; echo "<$X>"', "/app/a b\n<>\n[exit code 0]"),
            ("cd / ; exit 3", "[exit code 3]"),
            ("pwd", "/\n[exit code 0]"),
            ("echo out; echo err >&2; false", "out\nerr\n[exit code 1]"),
            ('read line; echo "got <$line> $?"', "got <> 1\n[exit code 0]"),
            ("echo $CI $TERM $PAGER $GIT_TERMINAL_PROMPT", "1 dumb cat 0\n[exit code 0]"),
        ):
            done = await tools.do(action("run_command", command=command), workdir)
            assert done.result.output == shown, command
            workdir = done.workdir


@pytest.mark.must("map-5")
async def test_standard_input_is_closed(box: Box):
    async with toolbox(box) as tools:
        command = "cat; read x || echo nothing comes"
        with anyio.fail_after(20):
            done = await tools.do(action("run_command", command=command), "/app")
    assert done.result.output == "nothing comes\n[exit code 0]"


@pytest.mark.must("map-5")
async def test_a_time_out_kills_all_and_gives_what_came(box: Box):
    async with toolbox(box) as tools:
        command = "echo begun; (sleep 300; echo late > /app/late) & sleep 301"
        began = time.monotonic()
        done = await tools.do(action("run_command", command=command, timeout_s=1), "/app")
        took_s = time.monotonic() - began
        result = done.result
        assert (result.timed_out, result.ok, result.exit_code) == (True, False, None)
        assert result.output.startswith("[ended after 1 s")
        assert "begun" in result.output
        assert took_s < 30
        left = await box.exec(["sh", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '"])
        assert "sleep 30" not in left.text
        assert done.workdir == "/app"


@pytest.mark.must("map-5")
@pytest.mark.live
@pytest.mark.parametrize("kind", ["local", "docker"])
async def test_a_service_in_the_background_survives_to_the_verdict(kind: str):
    from tests.actors import open_box

    async with open_box(kind) as box, toolbox(box) as tools:
        listen = "IO::Socket::INET->new(LocalPort => 8123, Listen => 1) or die; sleep 300"
        serve = f"exec perl -MIO::Socket::INET -e '$s = {listen}'"
        done = await tools.do(action("run_command", command=serve, background=True), "/app")
        assert done.result.output.startswith("started with pid ")
        assert "/tmp/.map-test/outputs/background-1.log" in done.result.output
        with anyio.fail_after(20):
            while not await _listens(box):
                await anyio.sleep(0.05)
        report = await stop_agent(box)
        assert [line for line in report.kept if " perl:" in line], report
        assert await _listens(box)


async def _listens(box: Box) -> bool:
    return (await box.exec(["grep", "-q", ":1FBB", "/proc/net/tcp"])).ok


async def test_a_time_out_never_reaches_past_the_end_of_the_trial(mini: Box):
    from mechagym.agents.base import ModelFacts
    from mechagym.agents.map.clock import Clock
    from mechagym.agents.map.tools.toolbox import Toolbox
    from tests.agents.map.test_tools import PLACE

    tools = Toolbox(mini, PLACE, clock=Clock(3.0), facts=ModelFacts())
    await tools.open()
    began = time.monotonic()
    done = await tools.do(action("run_command", command="sleep 60", timeout_s=600), "/app")
    assert done.result.timed_out
    assert time.monotonic() - began < 20
