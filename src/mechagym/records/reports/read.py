"""From bytes to a `TestReport`: the best source that can be read decides."""

from collections.abc import Callable
from dataclasses import replace

from mechagym.records.reports.compiled_text import read_cargo, read_go
from mechagym.records.reports.node_text import read_jest, read_tap, read_vitest
from mechagym.records.reports.pytest_text import read_pytest
from mechagym.records.reports.structured import read_data
from mechagym.records.reports.told import Told, plain
from mechagym.records.reports.unittest_text import read_unittest
from mechagym.records.reports.values import ReportSource, TestReport

BEST: tuple[ReportSource, ...] = ("runner", "ctrf", "junit", "text", "unreadable")
MAX_BYTES = 16 * 1024 * 1024
_TEXTS: tuple[Callable[[str], Told | None], ...] = (
    read_pytest, read_go, read_cargo, read_tap, read_vitest, read_jest, read_unittest,
)  # fmt: skip


def read_report(
    *sources: bytes, exit_code: int | None = None, duration_s: float = 0.0
) -> TestReport:
    """Read what one run left: its report files and its output, in any order.

    The best source counts: our runner's report, CTRF, JUnit, then text. `exit_code` is that of the
    run, None where it was killed. What cannot be read is `unreadable`.
    """
    reports = [_one(source[:MAX_BYTES].decode("utf-8", "replace")) for source in sources]
    fallback = TestReport(source="unreadable", fault="no report that can be read")
    best = min(reports, key=lambda report: BEST.index(report.source), default=fallback)
    return replace(best, exit_code=exit_code, duration_s=duration_s)


def _one(text: str) -> TestReport:
    if data := read_data(text):
        source, told = data
        return TestReport(source=source, tests=told.tests, fault=told.fault)
    text = plain(text)
    for reader in _TEXTS:
        if told_or_none := reader(text):
            return TestReport(source="text", tests=told_or_none.tests, fault=told_or_none.fault)
    return TestReport(source="unreadable", fault="no report that can be read")
