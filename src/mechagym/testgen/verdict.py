"""What a generated suite says of an end state, as a verdict of its own kind.

It serves referee checks and instructions that have no tests. It carries `source="generated"`, so it
is pooled with nothing, and it never takes the place of a task's own tests.
"""

from mechagym.errors import VerifierError
from mechagym.records import TestResult, Verdict
from mechagym.records.reports import CaseStatus, TestReport
from mechagym.records.testgen import GeneratedTest
from mechagym.testgen.suite import counted
from mechagym.testgen.types import TestSuite

_STATUS: dict[CaseStatus, str] = {"passed": "passed", "failed": "failed", "skipped": "skipped"}


def verdict_of(suite: TestSuite, report: TestReport) -> Verdict:
    """The reward is 1 where every test passed; `progress` is the share of goals that did.

    Raises VerifierError (`suite_unreadable`, `suite_without_goals`): no silent 0.
    """
    if report.source == "unreadable":
        raise VerifierError(
            f"the generated suite gave no report: {report.fault}", reason="suite_unreadable"
        )
    goals = [test for test in counted(suite) if test.role == "goal"]
    if not goals:
        raise VerifierError("the generated suite has no goal", reason="suite_without_goals")
    return Verdict(
        rewards={"reward": float(report.passed), "progress": progress_of(goals, report)},
        tests=tuple(
            TestResult(
                name=case.name,
                status=_STATUS.get(case.status, "other"),  # type: ignore[arg-type]
                duration_ms=case.duration_ms,
                message=case.message,
            )
            for case in report.tests
        ),
        source="generated",
        exit_code=report.exit_code,
        duration_s=report.duration_s,
    )


def progress_of(goals: list[GeneratedTest], report: TestReport) -> float:
    """The share of goals that passed."""
    passed = {case.name for case in report.tests if case.status == "passed"}
    return sum(goal.function in passed for goal in goals) / len(goals)
