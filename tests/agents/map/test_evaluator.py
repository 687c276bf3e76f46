"""What the checks say: goals and guards apart, flaky ones out, edits seen, nothing of it in the
work.
"""

import pytest

from mechagym.agents.map.evaluator import GeneratedEvaluator, look_at_untouched
from mechagym.agents.map.types import Trigger
from mechagym.events.map import MapChecksTampered
from mechagym.records.reports import TestCase, TestReport
from mechagym.sandbox.base import Box, ExecOptions
from tests.actors import open_box
from tests.agents.map.checks import FOLDER, FileChecks
from tests.agents.map.parts import open_python_box, sh

GOALS = {"there": "test -f out.txt", "right": "grep -q 42 out.txt"}
GUARDS = {"kept": "test -f given.txt"}


async def evaluator(box: Box, checks: FileChecks) -> tuple[GeneratedEvaluator, list[object]]:
    events: list[object] = []
    await sh(box, "mkdir -p /app; echo given >/app/given.txt")
    suite = await checks.lay(box)
    untouched = await look_at_untouched(box, suite)
    made = GeneratedEvaluator(checks, suite=suite, untouched=untouched, emit=events.append)
    return made, events


def at(revision: int, kind: str = "turn") -> Trigger:
    return Trigger(kind=kind, revision=revision)  # type: ignore[arg-type]


@pytest.mark.must("map-13")
async def test_goals_are_progress_and_guards_are_not(quick_box):
    judge, _ = await evaluator(quick_box, FileChecks(GOALS, GUARDS))
    said = await judge.evaluate(quick_box, at(0))
    assert (said.progress, said.tests_passing, said.tests_total, said.passed) == (0.0, 0, 2, False)
    await sh(quick_box, "echo 41 >/app/out.txt")
    said = await judge.evaluate(quick_box, at(1))
    assert (said.progress, said.tests_passing, said.passed) == (0.5, 1, False)
    assert [failure.test_name for failure in said.failures] == ["right"]
    await sh(quick_box, "echo 42 >/app/out.txt")
    said = await judge.evaluate(quick_box, at(2))
    assert (said.progress, said.passed, said.suggestion) == (1.0, True, "")
    await sh(quick_box, "rm /app/given.txt")
    said = await judge.evaluate(quick_box, at(3))
    assert (said.progress, said.passed, said.guards_broken) == (1.0, False, ("kept",))
    assert "kept" in said.suggestion


@pytest.mark.must("map-13")
async def test_a_flaky_test_is_quarantined(quick_box):
    checks = FileChecks(GOALS, statuses={"right": ["passed", "failed", "passed"]})
    judge, _ = await evaluator(quick_box, checks)
    await sh(quick_box, "echo 41 >/app/out.txt")
    first = await judge.evaluate(quick_box, at(1))
    assert (first.passed, first.flaky) == (True, ())
    again = await judge.evaluate(quick_box, at(1, "candidate"))
    assert again.flaky == ("right",)
    assert (again.tests_total, again.progress, again.passed) == (1, 1.0, True)
    later = await judge.evaluate(quick_box, at(2))
    assert later.flaky == ("right",)
    assert later.tests_total == 1


@pytest.mark.must("map-13")
async def test_a_goal_that_passes_on_the_untouched_box_after_all_is_flaky(quick_box):
    judge, _ = await evaluator(quick_box, FileChecks(GOALS, statuses={"right": ["passed"]}))
    assert (await judge.evaluate(quick_box, at(0))).flaky == ("right",)


@pytest.mark.must("map-13")
async def test_an_edited_suite_is_told_and_restored(quick_box):
    judge, events = await evaluator(quick_box, FileChecks(GOALS))
    await sh(quick_box, f"echo 41 >/app/out.txt; echo true >{FOLDER}/right.sh")
    said = await judge.evaluate(quick_box, at(1))
    assert said.tests_passing == 1
    (tampered,) = events
    assert isinstance(tampered, MapChecksTampered)
    assert tampered.expected_digest != tampered.found_digest


async def test_the_same_revision_is_not_run_again(quick_box):
    checks = FileChecks(GOALS)
    judge, _ = await evaluator(quick_box, checks)
    first = await judge.evaluate(quick_box, at(1))
    again = await judge.evaluate(quick_box, at(1, "verify_progress"))
    assert (first.cached, again.cached) == (False, True)
    assert len(checks.ran_in) == 1
    await judge.evaluate(quick_box, at(2))
    assert len(checks.ran_in) == 2


async def test_checks_leave_nothing_in_the_work(quick_box):
    checks = FileChecks({"messy": "touch /app/mess; test -f out.txt"})
    judge, _ = await evaluator(quick_box, checks)
    await judge.evaluate(quick_box, at(1))
    assert checks.ran_in != [quick_box.info.box_id], "it ran in a fork"
    assert not (await quick_box.exec(["test", "-e", "/app/mess"])).ok


@pytest.mark.live
async def test_where_a_service_of_the_work_listens_the_checks_run_beside_it():
    port = 18_473
    server = f"python3 -m http.server {port} --bind 127.0.0.1"
    ask = f"python3 -c 'import urllib.request as u; u.urlopen(\"http://127.0.0.1:{port}\")'"
    async with open_python_box() as box:
        checks = FileChecks({"answers": ask})
        judge, _ = await evaluator(box, checks)
        assert (await judge.evaluate(box, at(0))).tests_passing == 0
        await box.exec(["sh", "-c", server], ExecOptions(background=True, cwd="/app"))
        await sh(box, f"for i in 1 2 3 4 5 6 7 8 9; do {ask} && exit 0; sleep 1; done; exit 1")
        assert (await judge.evaluate(box, at(1))).tests_passing == 1
        assert checks.ran_in[-1] == box.info.box_id


async def test_the_exit_code_must_agree(quick_box):
    checks = FileChecks(GOALS, exit_code=3)
    judge, _ = await evaluator(quick_box, checks)
    await sh(quick_box, "echo 42 >/app/out.txt")
    said = await judge.evaluate(quick_box, at(1))
    assert (said.progress, said.passed) == (1.0, False)


@pytest.mark.parametrize(
    "report",
    [
        TestReport(source="unreadable", fault="nothing"),
        TestReport(source="runner", exit_code=0),
        TestReport(source="text", exit_code=0, tests=(TestCase(name="there", status="skipped"),)),
        TestReport(
            source="text",
            exit_code=0,
            fault="it stops in the middle",
            tests=tuple(TestCase(name=name, status="passed") for name in GOALS),
        ),
    ],
)
async def test_what_is_no_pass(report: TestReport):
    class Says(FileChecks):
        async def run(self, box: Box, suite: object) -> TestReport:
            return report

    async with open_box("memory") as box:
        judge, _ = await evaluator(box, Says(GOALS))
        said = await judge.evaluate(box, at(1))
        assert not said.passed
        assert said.suggestion
        assert (said.progress is None) == (report.source == "unreadable")
