"""What a reader of one format makes of an output, before the exit code is known."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mechagym.records.reports.values import CaseStatus, TestCase

MAX_TEXT = 2_000
UNFINISHED = "the output ends before its summary"
_ENDLESS = re.compile(r"^(.{4000}).+$", re.MULTILINE)
_ANSI = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][0-9A-B]|[@-Z\\-_])"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The cases, and what is wrong with the output."""

    tests: tuple[TestCase, ...] = ()
    fault: str | None = None


@dataclass(slots=True, kw_only=True)
class Detail:
    """What an output says of one failure, gathered line by line."""

    file: str | None = None
    line: int | None = None
    expected: str | None = None
    actual: str | None = None
    message: str | None = None

    def of(self, name: str, status: CaseStatus) -> TestCase:
        """The case that it belongs to."""
        return TestCase(
            name=name,
            status=status,
            file=self.file,
            line=self.line,
            expected=cut(self.expected),
            actual=cut(self.actual),
            message=cut(self.message),
        )


def plain(text: str) -> str:
    """Text without colours, with line ends of one kind, and without the rest of endless lines."""
    text = _ANSI.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _ENDLESS.sub(r"\1", text)


def cut(text: str | None) -> str | None:
    """A text short enough to keep; None where there is none."""
    text = (text or "").strip()
    if not text:
        return None
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}… [{len(text)} characters]"


def reconciled(
    cases: Iterable[TestCase], counts: Mapping[CaseStatus, int] | None, *, fault: str | None = None
) -> Told:
    """Hold the rows against the counts of the summary (None: there is none, the run died).

    What was counted and not named gets a row without a name; more rows than were counted are a
    fault: then somebody else wrote into the output.
    """
    rows = list(cases)
    if counts is None:
        return Told(tests=tuple(rows), fault=fault or UNFINISHED)
    seen = Counter(row.status for row in rows)
    for status, number in counts.items():
        rows += [
            TestCase(name=f"({status} without a name, {i + 1})", status=status)
            for i in range(min(number - seen[status], 10_000))
        ]
        if number < seen[status] and fault is None:
            fault = f"the summary counts {number} {status}, the output shows {seen[status]}"
    return Told(tests=tuple(rows), fault=fault)
