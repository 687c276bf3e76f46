"""Reading test reports: pure functions from bytes to a `TestReport`, no I/O.

What cannot be read is `unreadable`, never a pass.
"""

from mechagym.records.reports.read import read_report
from mechagym.records.reports.values import CaseStatus, ReportSource, TestCase, TestReport

__all__ = ["CaseStatus", "ReportSource", "TestCase", "TestReport", "read_report"]
