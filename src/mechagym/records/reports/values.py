"""What a run of tests said, whatever wrote it: a report is a pass only where everything agrees."""

from dataclasses import dataclass
from typing import Literal

CaseStatus = Literal["passed", "failed", "error", "skipped", "xfailed", "xpassed"]
ReportSource = Literal["runner", "ctrf", "junit", "text", "unreadable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TestCase:
    """One test as it was reported. `file` and `line`: where it failed, or where it stands."""

    __test__ = False  # not a test class, whatever its name suggests to pytest

    name: str
    status: CaseStatus
    file: str | None = None
    line: int | None = None
    expected: str | None = None
    actual: str | None = None
    message: str | None = None
    duration_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TestReport:
    """All cases of a run. `exit_code` is None where the run was killed or it is not known.

    `fault` says what is wrong with the report itself (it stops in the middle, its counts do not add
    up, it cannot be read): then it is no pass, whatever its rows say.
    """

    __test__ = False

    source: ReportSource
    tests: tuple[TestCase, ...] = ()
    exit_code: int | None = None
    duration_s: float = 0.0
    fault: str | None = None

    @property
    def total(self) -> int:
        """How many count: all but the expected failures."""
        return sum(test.status != "xfailed" for test in self.tests)

    @property
    def passing(self) -> int:
        """How many passed; a skip did not, nor did what passed although it was to fail."""
        return sum(test.status == "passed" for test in self.tests)

    @property
    def passed(self) -> bool:
        """Some test ran, every one passed, the report is whole and the exit code agrees."""
        return self.fault is None and self.exit_code == 0 and 0 < self.total == self.passing
