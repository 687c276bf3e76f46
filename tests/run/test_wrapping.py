"""A wrapped task: the agent is told more, what it was given to help is gone before the verdict."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechagym.agents.scripted import Action, Exec, Say, Write
from mechagym.events import AgentStarted, Event, ProtocolReported
from mechagym.records import Outcome
from mechagym.run.config import AgentChoice
from mechagym.run.plan import label
from mechagym.sandbox.base import Sandbox
from mechagym.tasks.model import Task
from mechagym.testgen.protocol.text import FOLDER, MAX_ADDED_CHARS, wrap
from tests.run.conftest import live_sandbox
from tests.run.gym import Gym, make_task
from tests.testgen.protocol_runs import MATRIX

INSTRUCTION = (
    "Copy /app/users.csv and /app/orders.csv to users.out and orders.out. Mind “quotes”.\n"
)
TEST_SH = f"""#!/bin/sh
score=1
[ -e {FOLDER} ] && score=0
[ -s /app/users.out ] && [ -s /app/orders.out ] || score=0
echo $score > /logs/verifier/reward.txt
"""
FILLED = """
def test_E1xC1_users():
    assert open("/app/users.out").read() == open("/app/users.csv").read()

def test_E2xC1_orders():
    assert open("/app/orders.out").read() == open("/app/orders.csv").read()
"""
RUN = f"python3 {FOLDER}/expand_tests.py {FOLDER}/matrix.json"
ANSWER = '{"thorough_enough": true, "gaps": [], "suggestions": []}'
WORK: tuple[Action, ...] = (
    Exec(command="head users.csv orders.csv"),
    Write(path=f"{FOLDER}/matrix.json", text=json.dumps(MATRIX)),
    Exec(command=RUN),
    Exec(command=f"{RUN} --summary && echo '{ANSWER}' > {FOLDER}/a.json"),
    Exec(command=f"{RUN} --review {FOLDER}/a.json"),
    Write(path=f"{FOLDER}/test_matrix.py", text=FILLED),
    Exec(command=f"{RUN} --stubs && {RUN} --run"),
    Exec(command="cp users.csv users.out; cp orders.csv orders.out"),
    Exec(command=f"{RUN} --run"),
    Say(text="All green."),
)


def a_task(root: Path, image: str = "python:3.13-slim-bookworm") -> Task:
    files = {
        "instruction.md": INSTRUCTION,
        "environment/Dockerfile": f"FROM {image}\nWORKDIR /app\nCOPY *.csv /app/\n",
        "environment/users.csv": "id,name\n1,a\n",
        "environment/orders.csv": "id,user\n7,1\n",
        "tests/test.sh": TEST_SH,
    }
    return make_task(root, files=files)


@pytest.fixture(params=[pytest.param(n, marks=pytest.mark.live) for n in ("docker", "local")])
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    return live_sandbox(request.param)


def report_in(events: list[Event]) -> ProtocolReported:
    [report] = [e.body for e in events if isinstance(e.body, ProtocolReported)]
    return report


def started(events: list[Event]) -> AgentStarted:
    return next(e.body for e in events if isinstance(e.body, AgentStarted))


@pytest.mark.must("testgen-26", "testgen-27")
async def test_an_agent_that_follows_is_seen_to_and_leaves_no_helper(
    sandbox: Sandbox, tmp_path: Path
):
    gym = Gym(root=tmp_path, sandbox=sandbox, script=WORK, protocol="testgen-v2")
    record = await gym.trial(a_task(tmp_path), "scripted")
    assert record.outcome is Outcome.PASSED, record
    assert record.key.agent == "scripted+testgen-v2@1"
    events = await gym.events(record.key.trial_id)
    report = report_in(events)
    assert [(s.name, s.state, s.detail) for s in report.steps if s.state != "held"] == []
    assert report.followed
    assert (report.tests_claimed, report.tests_run, report.tests_passed) == (2, 2, 2)
    told = started(events).instruction
    assert told.startswith(INSTRUCTION)
    assert "They are: /app/users.csv, /app/orders.csv." in told
    kinds = [event.body.kind for event in events]
    assert kinds.index("agent_stopped") < kinds.index("protocol_report")
    assert kinds.index("protocol_report") < kinds.index("verdict_reached")
    kept = list((tmp_path / "jobs").rglob("protocol/test_matrix.py"))
    assert [path.read_text() for path in kept] == [FILLED]


@pytest.mark.must("testgen-26")
async def test_a_claim_over_stubs_is_refuted_by_our_own_run_and_the_verdict_stands(
    sandbox: Sandbox, tmp_path: Path
):
    claim = (*WORK[:5], *WORK[7:8], Exec(command=f"echo pytest {FOLDER}: 2 passed"))
    gym = Gym(root=tmp_path, sandbox=sandbox, script=claim, protocol="testgen-v2")
    record = await gym.trial(a_task(tmp_path), "scripted")
    assert record.outcome is Outcome.PASSED
    report = report_in(await gym.events(record.key.trial_id))
    assert not report.followed
    assert {s.name for s in report.steps if s.state == "missing"} == {"IMPLEMENT"}
    assert (report.tests_claimed, report.tests_run, report.tests_passed) == (2, 2, 0)
    assert report.stubs == 2


@pytest.mark.must("testgen-27")
async def test_an_agent_that_does_nothing_leaves_no_helper_either(sandbox: Sandbox, tmp_path: Path):
    gym = Gym(root=tmp_path, sandbox=sandbox, script=WORK[7:8], protocol="testgen-v2")
    record = await gym.trial(a_task(tmp_path), "scripted")
    assert record.outcome is Outcome.PASSED
    report = report_in(await gym.events(record.key.trial_id))
    assert [s.state for s in report.steps].count("missing") >= 5


@pytest.mark.must("testgen-27")
async def test_a_box_without_python_is_told_before_the_agent_starts(memory_gym: Gym):
    memory_gym.protocol = "testgen-v2"
    record = await memory_gym.trial(make_task(memory_gym.root), "oracle")
    assert record.tries[0].error is not None
    assert (record.tries[0].error.type, record.tries[0].error.reason) == (
        "ConfigError",
        "no_python",
    )
    assert len(record.tries) == 1
    events = await memory_gym.events(record.key.trial_id)
    assert not any(isinstance(event.body, AgentStarted) for event in events)


@pytest.mark.must("testgen-27")
async def test_without_a_protocol_the_agent_is_told_the_instruction_alone(memory_gym: Gym):
    task = make_task(memory_gym.root)
    record = await memory_gym.trial(task, "oracle")
    events = await memory_gym.events(record.key.trial_id)
    assert started(events).instruction == task.steps[0].instruction
    assert not any(isinstance(event.body, ProtocolReported) for event in events)


@pytest.mark.must("testgen-27")
def test_a_wrapped_agent_has_another_name_and_its_job_another_digest(memory_gym: Gym):
    plain = memory_gym.config("oracle")
    memory_gym.protocol = "testgen-v2"
    wrapped = memory_gym.config("oracle")
    assert plain.digest != wrapped.digest
    choice = AgentChoice(name="claude-code", options={"effort": "low"})
    assert label(choice, "1.2", "testgen-v2") == "claude-code+testgen-v2@1.2[effort=low]"
    assert label(choice, "1.2") == "claude-code@1.2[effort=low]"


@pytest.mark.must("testgen-27")
@given(st.text(), st.lists(st.text(min_size=1, max_size=300), max_size=60))
def test_the_wrapper_adds_at_most_3500_characters_and_keeps_the_instruction(
    instruction: str, inputs: list[str]
):
    told = wrap(instruction, inputs)
    assert told.startswith(instruction)
    assert len(told) - len(instruction) <= MAX_ADDED_CHARS
    assert "/tests" in told[len(instruction) :]
