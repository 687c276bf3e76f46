"""What `make demo` shows of agents with a model: scripted or on a tape, without key and network."""

import re
import shlex
from pathlib import Path

import pytest

from mechagym.events.map import MapVerifyComplete
from mechagym.llm.tape import read_tape
from mechagym.records import Outcome
from tests.flow.conftest import PROJECT, TASKS, Host

pytestmark = pytest.mark.live

MAKEFILE = (PROJECT / "Makefile").read_text(encoding="utf-8").replace("\\\n\t", "")


def words(name: str) -> list[str]:
    """A variable of the Makefile, as the shell reads it; paths are the project's."""
    found = re.search(rf"^{name} = (.*)$", MAKEFILE, re.MULTILINE)
    assert found is not None
    value = re.sub(r"\$\((\w+)\)", lambda m: shlex.join(words(m[1])), found[1])
    return [re.sub(r"(^|[=:])(?=examples/)", rf"\1{PROJECT}/", word) for word in shlex.split(value)]


@pytest.mark.parametrize("run", ["TINY", "PLANNER"])
def test_its_paths_are_there(run: str):
    paths = [Path(re.sub(r".*[=:]", "", word)) for word in words(run) if "examples/" in word]
    assert TASKS in paths
    assert all(path.exists() for path in paths)


@pytest.mark.parametrize("agent", ["TINY", pytest.param("CLAUDE", marks=pytest.mark.slow)])
async def test_a_scripted_model_drives_an_agent_in_a_box(
    host: Host, agent: str, request: pytest.FixtureRequest
):
    argv = words(agent)
    if agent == "CLAUDE":
        request.getfixturevalue("npm")
        argv = ["claude-code@2.1.197" if word == "claude-code" else word for word in argv]
    done = await host.run(*argv, "--sandbox", "local", "--base", "host", env={})
    assert done.exit_code == 0, done.err + done.out
    (record,) = await done.records()
    assert record.outcome is Outcome.PASSED
    assert record.spend.billed_nano == 0
    assert record.spend.usage.tokens == 3_880


async def test_the_planner_solves_three_tasks_from_a_tape_and_checks_its_work(host: Host):
    budget = ("--trial-budget", "0.5")  # the tape was recorded without
    done = await host.run(
        *words("PLANNER"), *budget, "--sandbox", "local", "--base", "host", env={}
    )
    assert done.exit_code == 0, done.err + done.out
    assert "not played" not in done.err + done.out
    records = await done.records()
    assert [record.outcome for record in records] == [Outcome.PASSED] * 3
    assert {record.spend.billed_nano for record in records} == {0}
    for record in records:
        checks = [
            event
            for event in await done.events(record.key.trial_id)
            if isinstance(event, MapVerifyComplete)
        ]
        assert (checks[-1].passed, checks[-1].passing) == (True, checks[-1].total)
        careless = "regex" in record.key.task
        assert [check.passed for check in checks] == [False] * careless + [True]


def test_the_tape_knows_nothing_of_the_machine_it_was_made_on():
    path = PROJECT / "examples" / "models" / "planner.jsonl"
    _, exchanges = read_tape(path)
    assert len(exchanges) > 20
    for told in ("Working directory: ", "Resources: ", "Seconds for the task", str(PROJECT)):
        assert told not in path.read_text(encoding="utf-8")
