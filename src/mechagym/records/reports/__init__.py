"""Reading test reports: pure functions from bytes to a `TestReport`, no I/O.

What cannot be read is `unreadable`, never a pass.
"""

from mechagym.records.reports.read import read_report
from mechagym.records.reports.structured import RUNNER_KEY
from mechagym.records.reports.values import CaseStatus, ReportSource, TestCase, TestReport

__all__ = ["RUNNER_KEY", "CaseStatus", "ReportSource", "TestCase", "TestReport", "read_report"]
