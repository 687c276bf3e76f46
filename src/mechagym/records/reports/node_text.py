"""What node's test runners print: TAP (also anybody else's), jest and vitest.

Jest and vitest show an expected failure as a pass; it stays one here.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from mechagym.records.reports.told import UNFINISHED, Detail, Told, reconciled
from mechagym.records.reports.values import CaseStatus, TestCase

_TAP_VERSION = re.compile(r"^TAP version \d+$", re.MULTILINE)
_TAP_PLAN = re.compile(r"^1\.\.(\d+)", re.MULTILINE)
_TAP_ROW = re.compile(
    r"^( *)(not ok|ok)\b(?: (\d+))?(?: -)? ?(.*?)(?: +# *(SKIP|TODO)\b ?(.*))?$", re.IGNORECASE
)
_TAP_SUBTEST = re.compile(r"^( *)# Subtest: (.*)$")
_TAP_VALUE = re.compile(r"^ +(location|error|expected|actual|type|message): (.*)$")
_TAP_PLACE = re.compile(r"^'?(.+?):(\d+)(?::\d+)?'?$")
_FILE = re.compile(r"(?:/|\w:\\).*\.[cm]?[jt]sx?$")


def read_tap(text: str) -> Told | None:
    """Read it; None where it is not TAP."""
    lines = text.splitlines()
    plan = _TAP_PLAN.search(text)
    top = [m for line in lines if (m := _TAP_ROW.match(line)) and not m[1]]
    if not _TAP_VERSION.search(text) and not (plan and top):
        return None
    rows = _tap_rows(lines)
    cases = [row.case() for row in rows if not row.suite]
    empty = [row.name for row in rows if row.ok and not row.suite and _FILE.match(row.name)]
    fault = None
    if plan is None or int(plan[1]) != len(top):
        fault = UNFINISHED
    elif empty:
        fault = f"{empty[0]} ended without telling of a test"
    elif bail := re.search(r"^Bail out!.*$", text, re.MULTILINE):
        fault = bail[0]
    return Told(tests=tuple(cases), fault=fault)


@dataclass(slots=True)
class _TapRow:
    name: str
    ok: bool
    directive: str
    detail: Detail
    suite: bool = False

    def case(self) -> TestCase:
        status: CaseStatus = "passed" if self.ok else "failed"
        if self.directive == "SKIP":
            status = "skipped"
        elif self.directive == "TODO":
            status = "xpassed" if self.ok else "xfailed"
        return self.detail.of(self.name, status)


def _tap_rows(lines: list[str]) -> list[_TapRow]:
    rows: list[_TapRow] = []
    above: dict[int, str] = {}
    for line in lines:
        if match := _TAP_SUBTEST.match(line):
            above = {depth: name for depth, name in above.items() if depth < len(match[1])}
            above[len(match[1])] = match[2]
        elif match := _TAP_ROW.match(line):
            outer = [name for depth, name in sorted(above.items()) if depth < len(match[1])]
            name = " > ".join([*outer, match[4] or f"test {match[3]}"])
            rows.append(_TapRow(name, match[2] == "ok", (match[5] or "").upper(), Detail()))
        elif rows and (match := _TAP_VALUE.match(line)):
            _tap_detail(rows[-1], match[1], match[2].strip("'\""))
        elif rows and rows[-1].detail.message == "|-" and line.strip():
            rows[-1].detail.message = line.strip()
    return rows


def _tap_detail(row: _TapRow, key: str, value: str) -> None:
    match key:
        case "type":
            row.suite = row.suite or value == "suite"
        case "location":
            if place := _TAP_PLACE.match(value):
                row.detail.file, row.detail.line = place[1], int(place[2])
        case "expected":
            row.detail.expected = value
        case "actual":
            row.detail.actual = value
        case _:
            row.detail.message = row.detail.message or value


_MARKS: dict[str, CaseStatus] = {
    "✓": "passed", "✕": "failed", "×": "failed", "○": "skipped", "✎": "skipped", "↓": "skipped",
    "□": "skipped",
}  # fmt: skip
_WORDS: dict[str, CaseStatus] = {
    "passed": "passed", "failed": "failed", "skipped": "skipped", "todo": "skipped",
    "expected fail": "passed",
}  # fmt: skip
_TAKEN = r"(?: \(?\d+(?:\.\d+)? ?m?s\)?)?$"
_COUNT = re.compile(r"(\d+) (passed|failed|skipped|todo|expected fail)\b")
_JEST = re.compile(r"^ ?(?:PASS|FAIL) +\S|^Test Suites: |^ +●  process\.exit called", re.MULTILINE)
_JEST_ROW = re.compile(rf"^( +)([✓✕○✎]) (?:skipped |todo )?(.+?){_TAKEN}")
_JEST_GROUP = re.compile(r"^( +)(\S.*)$")
_JEST_SECTION = re.compile(r"^ +● (?!Console)(.+)$")
_JEST_SIDE = re.compile(r"^ +(Expected|Received): (.+)$")
_JEST_PLACE = re.compile(r"^ +at .*?\(?([^\s()]+):(\d+):\d+\)?$")
_JEST_END = re.compile(r"^Tests: +(.*)$", re.MULTILINE)


def _counts(told: str) -> Mapping[CaseStatus, int]:
    counts: Counter[CaseStatus] = Counter()
    for number, word in _COUNT.findall(told):
        counts[_WORDS[word]] += int(number)
    return {status: counts[status] for status in ("passed", "failed", "skipped")}


def read_jest(text: str) -> Told | None:
    """Read it; None where it is not jest's."""
    if not _JEST.search(text):
        return None
    ends = _JEST_END.findall(text)
    lines = text.splitlines()
    details = _jest_details(lines)
    cases = [details.get(name, Detail()).of(name, status) for name, status in _jest_rows(lines)]
    if "Test suite failed to run" in details:
        cases.append(details["Test suite failed to run"].of("(test suite)", "error"))
    return reconciled(cases, _counts(ends[-1]) if ends else None)


def _jest_rows(lines: list[str]) -> list[tuple[str, CaseStatus]]:
    rows: list[tuple[str, CaseStatus]] = []
    above: dict[int, str] = {}
    for line in lines:
        if match := _JEST_ROW.match(line):
            outer = [name for depth, name in sorted(above.items()) if depth < len(match[1])]
            rows.append((" › ".join([*outer, match[3]]), _MARKS[match[2]]))
        elif line.lstrip().startswith(("PASS ", "FAIL ", "●")) or not line.strip():
            above = {}
        elif match := _JEST_GROUP.match(line):
            above = {depth: name for depth, name in above.items() if depth < len(match[1])}
            above[len(match[1])] = match[2]
    return rows


def _jest_details(lines: list[str]) -> dict[str, Detail]:
    details: dict[str, Detail] = {}
    here = Detail()
    for line in lines:
        if match := _JEST_SECTION.match(line):
            here = details.setdefault(match[1].strip(), Detail())
        elif match := _JEST_SIDE.match(line):
            if match[1] == "Expected":
                here.expected = match[2]
            else:
                here.actual = match[2]
        elif match := _JEST_PLACE.match(line):
            if here.file is None and "node_modules" not in match[1]:
                here.file, here.line = match[1], int(match[2])
        elif here.message is None and line.strip():
            here.message = line.strip()
    return details


_VITEST = re.compile(r"^ *RUN +v\d+\.\d+", re.MULTILINE)
_VITEST_ROW = re.compile(rf"^ *([✓×↓□]) (\S.* > .+?){_TAKEN}")
_VITEST_END = re.compile(r"^ +Tests +(.*)$", re.MULTILINE)
_VITEST_SECTION = re.compile(r"^ *FAIL +(.+?)(?: \[ .* \])?$")
_VITEST_PLACE = re.compile(r"^ ❯ (?:.* \()?(\S+?):(\d+):\d+\)?$")
_VITEST_SIDE = re.compile(r"^([-+]) (?!Expected|Received)(.+)$")


def read_vitest(text: str) -> Told | None:
    """Read it; None where it is not vitest's."""
    if not _VITEST.search(text):
        return None
    lines = text.splitlines()
    details = _vitest_details(lines)
    rows = [(m[2], _MARKS[m[1]]) for line in lines if (m := _VITEST_ROW.match(line))]
    cases = [details.get(name, Detail()).of(name, status) for name, status in rows]
    named = {name for name, _ in rows}
    cases += [
        detail.of(name, "error")
        for name, detail in details.items()
        if name not in named and " > " not in name
    ]
    ends = _VITEST_END.findall(text)
    fault = "errors outside of tests" if "Unhandled Error" in text else None
    return reconciled(cases, _counts(ends[-1]) if ends else None, fault=fault)


def _vitest_details(lines: list[str]) -> dict[str, Detail]:
    details: dict[str, Detail] = {}
    here = Detail()
    for line in lines:
        if match := _VITEST_SECTION.match(line):
            here = details.setdefault(match[1], Detail())
        elif (match := _VITEST_PLACE.match(line)) and here.file is None:
            here.file, here.line = match[1], int(match[2])
        elif match := _VITEST_SIDE.match(line):
            if match[1] == "-":
                here.expected = here.expected or match[2]
            else:
                here.actual = here.actual or match[2]
        elif here.message is None and re.match(r"^\w*Error: ", line):
            here.message = line.strip()
    return details
