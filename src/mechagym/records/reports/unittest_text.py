"""What unittest prints, verbose or as dots."""

import re
from collections.abc import Iterator, Mapping

from mechagym.records.reports.told import Detail, Told, reconciled
from mechagym.records.reports.values import CaseStatus

_STATUS: dict[str, CaseStatus] = {
    "ok": "passed", "FAIL": "failed", "ERROR": "error", "skipped": "skipped",
    "expected failure": "xfailed", "unexpected success": "xpassed",
}  # fmt: skip
_COUNTED: dict[str, CaseStatus] = {
    "failures": "failed", "errors": "error", "skipped": "skipped",
    "expected failures": "xfailed", "unexpected successes": "xpassed",
}  # fmt: skip
_HOW = r"(ok|FAIL|ERROR|skipped .*|expected failure|unexpected success)$"
_ROW = re.compile(r"^(\w+) \(([\w.]+)\)(?: \.\.\. ?(.*))?$")
_ENDED = re.compile(rf"(?:^|\.\.\. ){_HOW}")
_RAN = re.compile(r"^Ran (\d+) tests? in [\d.]+s$", re.MULTILINE)
_END = re.compile(r"^(?:OK|FAILED|NO TESTS RAN)(?: \((.*)\))?$", re.MULTILINE)
_SECTION = re.compile(r"^(FAIL|ERROR): (\w+) \(([\w.]+)\)")
_FRAME = re.compile(r'^  File "(.+?)", line (\d+)')
_RAISED = re.compile(r"^(?:[\w.]*(?:Error|Exception|Exit|Interrupt|Warning|Failure)\b.*)$")
_UNEQUAL = re.compile(r"^AssertionError: (.+?) != (.+?)$")


def read_unittest(text: str) -> Told | None:
    """Read it; None where it is not unittest's."""
    lines = text.splitlines()
    rows = dict(_rows(lines))
    ran = list(_RAN.finditer(text))
    if not ran and not rows:
        return None
    details = _details(lines)
    rows |= {name: status for name, (status, _) in details.items()}
    cases = [
        details.get(name, (status, Detail()))[1].of(name, status) for name, status in rows.items()
    ]
    end = _END.search(text, ran[-1].end()) if ran else None
    return reconciled(cases, _counts(int(ran[-1][1]), end[1] or "") if end else None)


def _counts(ran: int, told: str) -> Mapping[CaseStatus, int]:
    counts = dict.fromkeys(_STATUS.values(), 0)
    for part in told.split(", ") if told else ():
        word, _, number = part.partition("=")
        if word in _COUNTED and number.isdecimal():
            counts[_COUNTED[word]] = int(number)
    return counts | {"passed": max(0, ran - sum(counts.values()))}


def _rows(lines: list[str]) -> Iterator[tuple[str, CaseStatus]]:
    """Names with their statuses; what a test prints, or its description, may stand between."""
    name = ""
    for line in lines:
        if line.startswith("====="):
            return
        if match := _ROW.match(line):
            name = _name(match[1], match[2])
        if name and (ended := _ENDED.search(line)):
            yield name, _STATUS["skipped" if ended[1].startswith("skipped") else ended[1]]
            name = ""
    if name:
        yield name, "error"  # it began and never ended


def _name(method: str, place: str) -> str:
    return place if place.endswith(f".{method}") else f"{place}.{method}"


def _details(lines: list[str]) -> dict[str, tuple[CaseStatus, Detail]]:
    details: dict[str, tuple[CaseStatus, Detail]] = {}
    here = Detail()
    for line in lines:
        if match := _SECTION.match(line):
            here = Detail()
            details[_name(match[2], match[3])] = (_STATUS[match[1]], here)
        elif match := _FRAME.match(line):
            here.file, here.line = match[1], int(match[2])
        elif here.message is None and _RAISED.match(line):
            here.message = line
            if unequal := _UNEQUAL.match(line):
                here.actual, here.expected = unequal[1], unequal[2]
    return details
