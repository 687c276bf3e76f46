"""One suggestion made from what checks report: statuses and differences, nothing else."""

import re
from collections.abc import Sequence

from mechagym.records.reports import TestCase, TestReport

_MISSING = re.compile(
    r"No such file|FileNotFound|does not exist|not found|No module named", re.IGNORECASE
)
_LATE = re.compile(r"timed? ?out|did not end within|over its limit|TimeoutExpired", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
SHOWN = 80


def advice(report: TestReport, goals: Sequence[TestCase], guards: Sequence[TestCase]) -> str:
    """What to do next; empty where everything passes. `goals` fail, `guards` were broken."""
    if report.source == "unreadable" or report.fault:
        return f"The checks did not run to their end: {report.fault or 'no report'}."
    if guards:
        return f"Something that worked before is broken: mend {guards[0].name} first."
    if not goals:
        return ""
    told = [f"{row.message or ''} {row.actual or ''}" for row in goals]
    if all(_MISSING.search(text) for text in told):
        return "Something that the checks look for is not there: check names and places first."
    if late := [row for row, text in zip(goals, told, strict=True) if _LATE.search(text)]:
        return f"{late[0].name} takes too long: look for an endless wait, or for slow work."
    if len(goals) > 1 and len(set(told)) == 1:
        return "All of them fail in the same way: there is one cause."
    return next(filter(None, map(_difference, goals)), f"Begin with {goals[0].name}.")


def _difference(row: TestCase) -> str:
    """How an expected and an actual value differ, where that is telling."""
    expected, actual = row.expected, row.actual
    if not expected or not actual or expected == actual:
        return ""
    if (how := _how(_bare(expected), _bare(actual))) is None:
        return f"{row.name}: expected {_short(expected)}, got {_short(actual)}."
    return f"{row.name}: the right value, but {how}."


def _how(expected: str, actual: str) -> str | None:
    if expected.replace(r"\n", "").rstrip() == actual.replace(r"\n", "").rstrip():
        return "it differs in line ends"
    if "".join(expected.split()) == "".join(actual.split()):
        return "it differs in white space"
    if expected.casefold() == actual.casefold():
        return "it differs in upper and lower case"
    if sorted(re.findall(r"[\w.]+", expected)) == sorted(re.findall(r"[\w.]+", actual)):
        return "it differs in order"
    if _NUMBER.fullmatch(expected) and _NUMBER.fullmatch(actual):
        wanted, got = float(expected), float(actual)
        if abs(wanted - got) <= 0.01 * abs(wanted):
            return "it differs in rounding"
    return None


def _bare(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
