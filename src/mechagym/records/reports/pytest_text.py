"""What pytest prints: plain, quiet, verbose, or side by side."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

from mechagym.records.reports.told import Detail, Told, reconciled
from mechagym.records.reports.values import CaseStatus, TestCase

_WORDS: dict[str, CaseStatus] = {
    "PASSED": "passed", "FAILED": "failed", "ERROR": "error", "SKIPPED": "skipped",
    "XFAIL": "xfailed", "XPASS": "xpassed",
}  # fmt: skip
_COUNTED: dict[str, CaseStatus] = {
    "passed": "passed", "failed": "failed", "error": "error", "errors": "error",
    "skipped": "skipped", "xfailed": "xfailed", "xpassed": "xpassed",
}  # fmt: skip
_BEGIN = re.compile(r"^=+ test session starts =+$", re.MULTILINE)
_END = re.compile(
    r"^(?:=+ )?((?:\d+ [a-z]+(?:, )?)+|no tests ran) in [\d.]+s(?: \([\d:]+\))?(?: =+)?$",
    re.MULTILINE,
)
_COUNT = re.compile(r"(\d+) ([a-z]+)")
_HOW = "PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS"
_ROW = re.compile(rf"^(\S+?::.+?) ({_HOW})(?: \(.*\))?(?: +\[ *\d+%\])?$")
_WORKER_ROW = re.compile(rf"^\[gw\d+\] \[ *\d+%\] ({_HOW}) (\S+::.+?) *$")
_SUMMARY = re.compile(r"^(PASSED|FAILED|ERROR|XFAIL|XPASS) (\S+::.+?|\S+)(?: - (.*))?$")
_SECTION = re.compile(r"^_{3,} (?:ERROR (?:at (?:setup|teardown) of|collecting) )?(.+?) _{3,}$")
_PLACE = re.compile(r"^(\S+?):(\d+): ")
_COMPARED = re.compile(r"^(?:\w*Error: )?assert (.+?) == (.+?)$")


def read_pytest(text: str) -> Told | None:
    """Read it; None where it is not pytest's."""
    ends = list(_END.finditer(text))
    if not ends and not _BEGIN.search(text):
        return None
    lines = text.splitlines()
    details = _details(lines)
    rows: dict[tuple[str, CaseStatus], TestCase] = {}
    for name, status, message in _rows(lines):
        detail = Detail()
        if status in ("failed", "error"):
            detail = details.get(name.rsplit("::", 1)[-1], detail)
        case = detail.of(name, status)
        known = rows.get((name, status))
        said = case.message or (known.message if known else None) or message or None
        file = case.file or name.partition("::")[0]
        rows[name, status] = replace(case, message=said, file=file)
    return reconciled(rows.values(), _counts(ends[-1][1]) if ends else None)


def _counts(text: str) -> Mapping[CaseStatus, int]:
    counts: Counter[CaseStatus] = Counter()
    for number, word in _COUNT.findall(text):
        if word in _COUNTED:  # not so: warnings, deselected
            counts[_COUNTED[word]] += int(number)
    return {status: counts[status] for status in _WORDS.values()}


def _rows(lines: list[str]) -> Iterator[tuple[str, CaseStatus, str]]:
    """Name, status and message, first of the progress, then of the short summary."""
    in_summary = False
    for line in lines:
        if line.startswith("===") and line.endswith("==="):
            in_summary = "short test summary info" in line
        elif in_summary:
            if match := _SUMMARY.match(line):
                yield match[2], _WORDS[match[1]], match[3] or ""
        elif match := _ROW.match(line):
            yield match[1], _WORDS[match[2]], ""
        elif match := _WORKER_ROW.match(line):
            yield match[2], _WORDS[match[1]], ""


def _details(lines: list[str]) -> dict[str, Detail]:
    """What the sections of failures say, by the last part of a test's name."""
    details: dict[str, Detail] = {}
    here = Detail()
    for line in lines:
        if match := _SECTION.match(line):
            here = Detail()  # of `TestIt.test_a`, `test_a`, or a file that cannot be collected
            details |= {match[1]: here, match[1].rsplit(".", 1)[-1]: here}
        elif line.startswith("E   ") and here.message is None:
            here.message = line[4:].strip()
            if compared := _COMPARED.match(here.message):
                here.actual, here.expected = compared[1], compared[2]
        elif match := _PLACE.match(line):
            here.file, here.line = match[1], int(match[2])
    return details
