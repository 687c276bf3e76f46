"""Calibration looks at sealed trials, in forks, and writes nothing to them; counts are right."""

import hashlib
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from mechagym.agents.scripted import Exec
from mechagym.records.reports import TestCase, TestReport
from mechagym.records.testgen import Category, GeneratedTest
from mechagym.run.config import AgentChoice
from mechagym.sandbox.base import Box
from mechagym.store import Store
from mechagym.testgen.calibration import Sealed, agreement, calibration, look_at
from mechagym.testgen.metrics import EndState
from mechagym.testgen.running import laid, run_suite
from mechagym.testgen.suite import freeze
from mechagym.testgen.types import TestSuite
from mechagym.testing.memory import MemorySandbox
from mechagym.wiring.testgen import Ground, sealed_trials
from tests.actors import open_box
from tests.run.gym import Gym, make_task
from tests.testgen.event_examples import TEST

pytestmark = pytest.mark.must("testgen-18")
FOLDER = "/tmp/mechagym-testgen"


@pytest.fixture
def gym(tmp_path: Path) -> Gym:
    """A gym in memory."""
    return Gym(root=tmp_path, sandbox=MemorySandbox())


def a_test(number: int, code: str, category: Category = "correctness") -> GeneratedTest:
    return replace(
        TEST,
        test_id=f"T{number:03d}",
        function=f"test_T{number:03d}_x",
        category=category,
        code=code,
        status="valid",
        reject_rule=None,
    )


def a_suite(*tests: GeneratedTest) -> TestSuite:
    return freeze(tests, runner="sh", survey_digest=None, config_digest="c1", ready=True)


DONE = a_suite(
    a_test(1, "[ -s /app/done.txt ]", "existence"),
    a_test(2, "grep -q solved /app/done.txt; s=$?; echo spoiled > /app/done.txt; exit $s"),
)


async def run(suite: TestSuite, box: Box) -> TestReport:
    async with laid(box, FOLDER, suite):
        return await run_suite(suite, box, FOLDER, total_s=60)


def tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


async def test_only_sealed_graded_trials_are_looked_at_and_nothing_is_written(gym: Gym):
    task = make_task(gym.root)
    config = gym.config("oracle")
    gym.script = (Exec(command="echo half > /app/done.txt"),)
    agents = (AgentChoice(name="oracle"), AgentChoice(name="nop"), AgentChoice(name="scripted"))
    report = await gym.run([task], replace(config, agents=agents))
    folder = gym.root / "jobs"
    kept = tree(folder)
    async with Store.open(gym.url) as store:
        job = await store.find_job("job")
        assert job is not None
        rows = await store.trials(job.job_id)
        events = {row.key.trial_id: await store.events(row.key.trial_id) for row in rows}
        await store.reopen_trials([rows[-1].key.trial_id])  # as if it were still to be done
        rows_now = await store.trials(job.job_id)
        sealed, left_out = sealed_trials(job, rows_now, [task], Ground.of(gym.sandbox))
        assert [one.trial_id for one in sealed] == [row.key.trial_id for row in rows[:-1]]
        assert left_out == [f"{rows[-1].key.trial_name}: it is not sealed"]
        seen = [await look_at(one, DONE, run) for one in sealed]
        found = calibration(seen, {task.task_id: DONE})
        assert [one.state.suite_passed for one in seen] == [
            trial.outcome == "passed" for trial in report.trials[:-1]
        ]
        assert (found.false_fail["all"].count, found.false_fail["all"].trials) == (0, 1)
        assert await store.trials(job.job_id) == rows_now
        assert {key: await store.events(key) for key in events} == events
    assert tree(folder) == kept


async def test_a_changed_task_or_a_state_that_was_not_kept_is_left_out_and_told(gym: Gym):
    task = make_task(gym.root)
    await gym.run([task], gym.config("oracle"))
    async with Store.open(gym.url) as store:
        job = await store.find_job("job")
        assert job is not None
        rows = await store.trials(job.job_id)
        ground = Ground.of(gym.sandbox)
        _, gone = sealed_trials(job, rows, [], ground)
        assert "its task is gone or has changed" in gone[0]
        for path in (gym.root / "jobs").rglob("workspace/done.txt"):
            path.unlink()
        _, lost = sealed_trials(job, rows, [task], ground)
        assert "too much to be kept whole" in lost[0]
        for path in (gym.root / "jobs").rglob("workspace.json"):
            path.unlink()
        _, never = sealed_trials(job, rows, [task], ground)
        assert "was not kept" in never[0]


async def test_the_suite_runs_in_a_fork_so_that_the_state_stays_as_it_was():
    forks: list[str] = []

    @asynccontextmanager
    async def state() -> AsyncIterator[Box]:
        async with open_box("memory") as box:
            await box.put(b"solved\n", "/app/done.txt")
            original = box.fork

            def fork() -> AbstractAsyncContextManager[Box]:
                forks.append("fork")
                return original()

            box.fork = fork  # type: ignore[method-assign]
            yield box
            assert (await box.exec(["cat", "/app/done.txt"])).stdout == b"solved\n"
            assert not (await box.exec(["test", "-e", FOLDER])).ok

    sealed = Sealed(trial_id="t", task_id="k", verdict_passed=True, open_end_state=state)
    seen = await look_at(sealed, DONE, run)
    assert seen.state.results == {"test_T001_x": True, "test_T002_x": True}
    assert forks == ["fork"]


async def test_counts_are_of_all_tests_and_of_each_category():
    def report(passing: Iterable[str]) -> TestReport:
        names = [test.function for test in DONE.tests]
        cases = [TestCase(name=n, status="passed" if n in passing else "failed") for n in names]
        return TestReport(source="runner", tests=tuple(cases))

    both = ("test_T001_x", "test_T002_x")
    table: list[tuple[bool, tuple[str, ...]]] = [
        (True, both),
        (True, ("test_T001_x",)),  # right work that the suite fails
        (True, both),
        (False, ()),
        (False, both),  # wrong work that the suite passes
    ]
    seen = []
    for passed, passing in table:

        async def ran(_suite: TestSuite, _box: Box, _p: tuple[str, ...] = passing) -> TestReport:
            return report(_p)

        sealed = Sealed(
            trial_id="t",
            task_id="k",
            verdict_passed=passed,
            open_end_state=lambda: open_box("memory"),
        )
        seen.append(await look_at(sealed, DONE, ran))
    found = calibration(seen, {"k": DONE})
    assert {k: (r.count, r.trials) for k, r in found.false_fail.items()} == {
        "all": (1, 3),
        "correctness": (1, 3),
        "existence": (0, 3),
    }
    assert {k: (r.count, r.trials) for k, r in found.false_pass.items()} == {
        "all": (1, 2),
        "correctness": (1, 2),
        "existence": (1, 2),
    }
    assert (found.toxic.count, found.toxic.trials) == (0, 2)
    told = found.event("c1", "j1")
    assert ("false_fail", "all", 1, 3) in {
        (c.metric, c.category, c.successes, c.trials) for c in told.counts
    }
    assert "test_T" not in str(told), "counts alone"
    assert agreement([one.state for one in seen]) == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_agreement_of_one_side_is_that_sides_and_of_none_unknown():
    right = EndState(verdict_passed=True, results={"a": True})
    assert agreement([right]) == 1.0
    assert agreement([]) is None
