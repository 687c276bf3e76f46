"""Reports that are data: our own runner's, CTRF (ctrf.io) and JUnit XML.

Our runner (`testgen/runner.py`) writes one line once all tests have ended: `{"runner": "mechagym",
"version": 1, "exit_code": 0, "tests": [...]}`, each test with the fields of a `TestCase`.
"""

import json
import re
from typing import Any, get_args
from xml.etree import ElementTree as ET

from mechagym.records.reports.told import UNFINISHED, Told, cut, plain
from mechagym.records.reports.values import CaseStatus, ReportSource, TestCase

RUNNER, VERSION = "mechagym", 1
MAX_TESTS = 10_000
_STATUSES: dict[object, CaseStatus] = {status: status for status in get_args(CaseStatus)}
_CTRF: dict[object, CaseStatus] = {
    "passed": "passed", "failed": "failed", "skipped": "skipped", "pending": "skipped",
}  # fmt: skip
_SUITES = ("testsuites", "testsuite")
_PLACE = re.compile(r"^(\S+?):(\d+): ", re.MULTILINE)


def read_data(text: str) -> tuple[ReportSource, Told] | None:
    """Read a report that is data; None where it is none."""
    text = text.strip()
    if text.startswith("{"):
        return _json(text)
    if text.startswith("<"):
        return _xml(text)
    return None


def _json(text: str) -> tuple[ReportSource, Told] | None:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    if document.get("runner") == RUNNER:
        return "runner", _runner(document)
    results = document.get("results")
    if isinstance(results, dict) and isinstance(results.get("tests"), list):
        return "ctrf", _ctrf(results)
    return None


def _runner(document: dict[str, Any]) -> Told:
    rows = document.get("tests")
    if document.get("version") != VERSION or not isinstance(rows, list):
        return Told(fault="a report of another version")
    cases = tuple(case for row in rows[:MAX_TESTS] if (case := _row(row, _STATUSES)))
    fault = _lost(len(rows), len(cases))
    failed = any(case.status in ("failed", "error") for case in cases)
    if fault is None and failed and document.get("exit_code") == 0:
        fault = "the runner's exit code is 0, and its tests fail"
    return Told(tests=cases, fault=fault)


def _ctrf(results: dict[str, Any]) -> Told:
    rows = results["tests"]
    cases = tuple(case for row in rows[:MAX_TESTS] if (case := _row(row, _CTRF)))
    summary = results.get("summary")
    told = summary.get("tests") if isinstance(summary, dict) else None
    fault = _lost(len(rows), len(cases))
    if isinstance(told, int) and told != len(rows):
        fault = f"the summary counts {told} tests, the report has {len(rows)}"
    return Told(tests=cases, fault=fault)


def _row(row: object, statuses: dict[object, CaseStatus]) -> TestCase | None:
    """A test of a JSON report. A status that is not known is an error: it is no pass."""
    if not isinstance(row, dict):
        return None
    status = row.get("status")
    line, duration = row.get("line"), row.get("duration_ms", row.get("duration"))
    return TestCase(
        name=_text(row.get("name")) or "(no name)",
        status=statuses.get(status, "error") if isinstance(status, str) else "error",
        file=_text(row.get("file", row.get("filePath"))),
        line=line if isinstance(line, int) else None,
        expected=_text(row.get("expected")),
        actual=_text(row.get("actual")),
        message=_text(row.get("message")) or _text(row.get("trace")),
        duration_ms=float(duration) if isinstance(duration, int | float) else None,
    )


def _text(value: object) -> str | None:
    return cut(plain(value.encode("utf-8", "replace").decode())) if isinstance(value, str) else None


def _lost(rows: int, cases: int) -> str | None:
    return f"{rows - cases} of {rows} tests could not be read" if cases < rows else None


def _xml(text: str) -> tuple[ReportSource, Told] | None:
    if "<!ENTITY" in text or "<!DOCTYPE" in text or not any(f"<{tag}" in text for tag in _SUITES):
        return None
    try:
        root = ET.fromstring(text)  # noqa: S314 - no entities, see above
    except ET.ParseError:
        return ("junit", Told(fault=UNFINISHED))
    if root.tag not in _SUITES:
        return None
    elements = list(root.iter("testcase"))
    cases = tuple(_testcase(element) for element in elements[:MAX_TESTS])
    counted = sum(_number(suite.get("tests")) for suite in _innermost(root))
    fault = _lost(len(elements), len(cases))
    if counted != len(elements):
        fault = f"the suites count {counted} tests, the report has {len(elements)}"
    return "junit", Told(tests=cases, fault=fault)


def _innermost(root: ET.Element) -> list[ET.Element]:
    """The suites that hold tests themselves; outer ones count these again."""
    suites = [root, *root.iter("testsuite")]
    return [suite for suite in dict.fromkeys(suites) if suite.find("testcase") is not None]


def _testcase(element: ET.Element) -> TestCase:
    status: CaseStatus = "passed"
    said = None
    for tag, name in (("skipped", "skipped"), ("failure", "failed"), ("error", "error")):
        if (child := element.find(tag)) is not None:
            said = child
            status = _STATUSES[name]
    if said is not None and said.get("type") == "pytest.xfail":
        status = "xfailed"
    text = (said.text or "") if said is not None else ""
    places = list(_PLACE.finditer(text))
    place = (places[-1][1], int(places[-1][2])) if places else (element.get("file"), None)
    line = _number(element.get("line")) or None
    name = element.get("name") or "(no name)"
    classname = element.get("classname")
    return TestCase(
        name=f"{classname}::{name}" if classname else name,
        status=status,
        file=place[0],
        line=place[1] or line,
        message=cut(plain(said.get("message") or text)) if said is not None else None,
        duration_ms=_milliseconds(element.get("time")),
    )


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else 0


def _milliseconds(text: str | None) -> float | None:
    try:
        return float(text) * 1000 if text else None
    except ValueError:
        return None
