"""Generated tests never decide what a task's own tests decide, and are pooled with nothing."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mechagym.agents.base import Agent, AgentResult, Context
from mechagym.errors import VerifierError
from mechagym.events import TestgenComplete, VerdictReached
from mechagym.records import (
    Outcome,
    StepRecord,
    TrialKey,
    TrialRecord,
    TryRecord,
    Verdict,
    is_graded,
    is_verified,
)
from mechagym.records.reports import TestReport
from mechagym.run.config import AgentChoice
from mechagym.run.grade import combine
from mechagym.sandbox.base import Box
from mechagym.tasks.model import Task
from mechagym.testgen.port import GeneratedChecks
from mechagym.testgen.running import RunOptions, laid, report_of, run_laid
from mechagym.testgen.suite import freeze
from mechagym.testgen.verdict import verdict_of
from mechagym.testing.memory import MemorySandbox
from tests.actors import make_steps, open_box
from tests.run.gym import Gym, make_task
from tests.testgen.test_loop import INSTRUCTION
from tests.testgen.test_port import Asker
from tests.testgen.test_runner import made


class SelfChecking:
    """Works by generated checks alone: it writes what they want, and not what the task asks."""

    name, version = "self-checking", "1"

    def __init__(self, file: str) -> None:
        self.file = file
        self.passed: bool | None = None

    async def prepare(self, box: Box) -> None: ...

    async def run(self, context: Context) -> AgentResult:
        asker = Asker(events=[])
        checks = GeneratedChecks()
        request = asker.request(context.box, emit=context.emit, instruction=context.instruction)
        suite = await checks.prepare(request)
        await context.box.put(b"6\n", self.file)
        self.passed = (await checks.run(context.box, suite)).passed
        await checks.remove(context.box)
        return AgentResult(claim=f"self-check passed: {self.passed}")


class OneAgentGym(Gym):
    agent: Agent

    def make_agent(self, choice: AgentChoice, task: Task) -> Agent:
        return self.agent


@pytest.mark.must("testgen-2")
@pytest.mark.parametrize(
    ("file", "suite", "outcome"),
    [("/app/sum.txt", True, Outcome.FAILED), ("/app/done.txt", False, Outcome.PASSED)],
)
async def test_the_tasks_own_tests_decide_whatever_the_suite_says(
    tmp_path: Path, file: str, suite: bool, outcome: Outcome
):
    environment = "FROM debian:bookworm-slim\nWORKDIR /app\nRUN echo 1 > /app/in.txt\n"
    files = {"instruction.md": INSTRUCTION, "environment/Dockerfile": environment}
    task = make_task(tmp_path, files=files)
    before = {p: p.read_bytes() for p in task.folder.rglob("*") if p.is_file()}
    gym = OneAgentGym(root=tmp_path, sandbox=MemorySandbox())
    gym.agent = agent = SelfChecking(file)
    record = await gym.trial(task, "self-checking")
    assert agent.passed is suite
    assert record.outcome is outcome
    events = [event.body for event in await gym.events(record.key.trial_id)]
    (reached,) = [body for body in events if isinstance(body, VerdictReached)]
    assert reached.verdict.source == "task"
    assert [body.totals.ready for body in events if isinstance(body, TestgenComplete)] == [True]
    assert {p: p.read_bytes() for p in task.folder.rglob("*") if p.is_file()} == before


def trial(verdict: Verdict) -> TrialRecord:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    outcome = Outcome.PASSED if verdict.passed else Outcome.FAILED
    made_ = TryRecord(number=1, outcome=outcome, started_at=at, ended_at=at, verdict=verdict)
    key = TrialKey(
        trial_id="t",
        trial_name="t",
        job_id="j",
        dataset="",
        task="t",
        task_digest="d",
        agent="a@1",
        model=None,
        repeat=0,
    )
    return TrialRecord(key=key, tries=(made_,))


@pytest.mark.must("testgen-2")
def test_a_generated_verdict_is_graded_with_nothing(tmp_path: Path):
    own = Verdict(rewards={"reward": 1.0})
    generated = replace(own, source="generated")
    assert (trial(own).graded, trial(own).reward) == (True, 1.0)
    assert (trial(generated).graded, trial(generated).reward) == (False, None)
    assert [is_verified(v) for v in (own, generated, None)] == [True, False, False]
    assert is_graded(Outcome.PASSED, verified=is_verified(generated)) is False
    task = make_steps(tmp_path, ("one", "two"))
    done = [
        StepRecord(name=step, outcome=Outcome.PASSED, verdict=verdict)
        for step, verdict in (("one", own), ("two", generated))
    ]
    whole = combine(task, done)
    assert whole is not None
    assert whole.source == "generated"


@pytest.mark.must("testgen-2")
async def test_the_verdict_of_a_suite_says_that_it_is_one():
    checks = ["[ -f /app/a ]", "[ -f /app/b ]", "[ -d /app ]"]
    tests = [replace(made(n, ""), code=code) for n, code in enumerate(checks, start=1)]
    tests[2] = replace(tests[2], role="guard")
    suite = freeze(tests, runner="sh", survey_digest=None, config_digest="c")
    async with open_box("memory") as box, laid(box, "/tmp/checks", suite):
        await box.put(b"", "/app/a")
        some = report_of(await run_laid(box, "/tmp/checks", suite, RunOptions()), tests)
        await box.put(b"", "/app/b")
        whole = report_of(await run_laid(box, "/tmp/checks", suite, RunOptions()), tests)
    half, full = verdict_of(suite, some), verdict_of(suite, whole)
    assert (half.source, half.passed, half.rewards["progress"]) == ("generated", False, 0.5)
    assert (full.source, full.passed, full.rewards["progress"]) == ("generated", True, 1.0)
    with pytest.raises(VerifierError) as caught:
        verdict_of(suite, TestReport(source="unreadable", fault="nothing"))
    assert caught.value.reason == "suite_unreadable"
    guards = freeze([tests[2]], runner="sh", survey_digest=None, config_digest="c")
    with pytest.raises(VerifierError) as caught:
        verdict_of(guards, whole)
    assert caught.value.reason == "suite_without_goals"
