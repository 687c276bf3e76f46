"""What the checks of the work say, as one value: how far it is, what fails, what was broken.

They run inside the box, in a fork of it where it can fork, so that a check changes nothing of the
work; in the box itself where the work has a service listening, which a fork would not have. What
they say is never the verdict.
"""

import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from mechagym.agents.map.advice import advice
from mechagym.agents.map.base import Checks
from mechagym.agents.map.services import listening
from mechagym.agents.map.types import CheckFailure, EvaluatorResult, Trigger
from mechagym.errors import BoxDied, SandboxError
from mechagym.events import Emit
from mechagym.events.map import MapChecksTampered
from mechagym.records.checks import CheckSuite
from mechagym.records.reports import CaseStatus, TestCase, TestReport
from mechagym.sandbox.base import Box, ExecOptions

_WORST: tuple[CaseStatus, ...] = ("error", "failed", "xpassed", "skipped", "passed", "xfailed")
_ABSENT = "it did not run"

# The folder's files with their contents; what Python compiles beside them is no edit.
_FINGERPRINT = r"""
cd -- "$1" 2>/dev/null || { echo gone; exit 0; }
find . -name __pycache__ -prune -o -type f -exec sha256sum {} + | sort | sha256sum
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Untouched:
    """How the box was before any work: what the suite's folder held, and what listened."""

    fingerprint: str
    listeners: frozenset[str]


async def look_at_untouched(box: Box, suite: CheckSuite) -> Untouched:
    """Look, right after the checks were prepared. Raises SandboxError."""
    return Untouched(
        fingerprint=await _fingerprint(box, suite.folder), listeners=await listening(box)
    )


class GeneratedEvaluator:
    """Runs one suite on the trial's box and on forks of it; remembers what each revision gave.

    Goals failed and guards passed on the untouched box, which is revision 0. A test that says
    something else of a revision than before is flaky: from then on it does not count.
    """

    def __init__(
        self, checks: Checks, *, suite: CheckSuite, untouched: Untouched, emit: Emit
    ) -> None:
        self._checks = checks
        self._suite, self._untouched = suite, untouched
        self._emit = emit
        self._cannot_fork = False
        self._said: dict[int, EvaluatorResult] = {}
        first = dict.fromkeys(suite.goals, False) | dict.fromkeys(suite.guards, True)
        self._passed: dict[int, dict[str, bool]] = {0: first}
        self._flaky: dict[str, None] = {}

    async def evaluate(self, box: Box, trigger: Trigger) -> EvaluatorResult:
        """Run the checks; of a revision that was asked for before, say it again, marked `cached`.

        As a candidate a revision is run anew: so it shows which tests are flaky. A revision below 0
        is none of the trial's. Raises SandboxError.
        """
        ours = trigger.revision >= 0
        said = self._said.get(trigger.revision) if ours else None
        if said is not None and trigger.kind != "candidate":
            return replace(said, cached=True)
        began = time.monotonic()
        await self._watch_for_edits(box)
        async with self._aside(box) as place:
            report = await self._checks.run(place, self._suite)
        report = replace(report, duration_s=time.monotonic() - began)  # a fork takes its time, too
        if ours:
            self._compare(trigger.revision, _by_name(report.tests))
        said = self._counted(report)
        if ours:
            self._said = {trigger.revision: said}
        return said

    async def _watch_for_edits(self, box: Box) -> None:
        found = await _fingerprint(box, self._suite.folder)
        expected = self._untouched.fingerprint
        if found != expected:
            self._emit(MapChecksTampered(expected_digest=expected, found_digest=found))

    @asynccontextmanager
    async def _aside(self, box: Box) -> AsyncIterator[Box]:
        async with AsyncExitStack() as stack:
            if self._cannot_fork or await listening(box) - self._untouched.listeners:
                yield box
                return
            try:
                place = await stack.enter_async_context(box.fork())
            except BoxDied:
                raise
            except SandboxError:
                self._cannot_fork, place = True, box
            yield place

    def _compare(self, revision: int, rows: Mapping[str, TestCase]) -> None:
        """Find the flaky ones: the same revision, another result."""
        passed = {name: row.status == "passed" for name, row in rows.items()}
        before = self._passed.get(revision, {})
        self._flaky |= dict.fromkeys(n for n in before if n in passed and before[n] != passed[n])
        self._passed[revision] = before | passed

    def _counted(self, report: TestReport) -> EvaluatorResult:
        rows = _by_name(report.tests)
        goals = [_row(rows, name) for name in self._suite.goals if name not in self._flaky]
        guards = [_row(rows, name) for name in self._suite.guards if name not in self._flaky]
        counted = [row for row in goals if row.status != "xfailed"]
        open_goals = [row for row in counted if row.status != "passed"]
        broken = [row for row in guards if row.status not in ("passed", "skipped", "xfailed")]
        readable = report.source != "unreadable" and bool(counted)
        passing = len(counted) - len(open_goals)
        whole = report.fault is None and _agrees(report)
        return EvaluatorResult(
            passed=readable and whole and not open_goals and not broken,
            progress=passing / len(counted) if readable else None,
            tests_passing=passing if readable else 0,
            tests_total=len(counted),
            failures=tuple(map(_failure, open_goals)) if readable else (),
            suggestion=advice(report, open_goals, broken),
            guards_broken=tuple(row.name for row in broken) if readable else (),
            flaky=tuple(self._flaky),
            source=report.source,
            duration_s=report.duration_s,
        )


def _by_name(tests: Iterable[TestCase]) -> dict[str, TestCase]:
    """Each test once; of several rows the worst."""
    rows: dict[str, TestCase] = {}
    for test in tests:
        known = rows.get(test.name)
        if known is None or _WORST.index(test.status) < _WORST.index(known.status):
            rows[test.name] = test
    return rows


def _row(rows: Mapping[str, TestCase], name: str) -> TestCase:
    return rows.get(name) or TestCase(name=name, status="error", message=_ABSENT)


def _agrees(report: TestReport) -> bool:
    """Whether the exit code says what the rows say."""
    clean = all(test.status not in ("failed", "error") for test in report.tests)
    return report.exit_code is not None and (report.exit_code == 0) == clean


def _failure(row: TestCase) -> CheckFailure:
    return CheckFailure(
        test_name=row.name,
        file=row.file or "",
        line=row.line,
        expected=row.expected or "",
        actual=row.actual or "",
        message=row.message or row.status,
    )


async def _fingerprint(box: Box, folder: str) -> str:
    options = ExecOptions(cwd="/", timeout_s=30.0)
    result = await box.exec(("sh", "-c", _FINGERPRINT, "sh", folder), options)
    return result.text.split(" ", 1)[0].strip()
