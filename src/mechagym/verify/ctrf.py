"""The per-test table of a CTRF report (ctrf.io). It never decides the reward: nothing is an error.

What cannot be read is left out and said in `faults`; texts and rows are capped, since a report is
written in a box.
"""

import json
import math
from dataclasses import dataclass
from typing import Any, get_args

from mechagym.records import TestResult, TestStatus

MAX_BYTES = 16 * 1024 * 1024
MAX_TESTS = 10_000
MAX_TEXT = 8_000
STATUSES: dict[object, TestStatus] = {status: status for status in get_args(TestStatus)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The rows of a report, and what was wrong with it."""

    tests: tuple[TestResult, ...] = ()
    faults: tuple[str, ...] = ()


def parse_ctrf(data: bytes) -> Report:
    """Read a report, however broken."""
    try:
        document: Any = json.loads(data)
    except (ValueError, RecursionError) as error:
        return Report(faults=(f"not JSON: {error}",))
    results = _get(document, "results")
    rows = _get(results, "tests")
    if not isinstance(rows, list):
        return Report(faults=("no list at results.tests",))
    tests = tuple(_test(row) for row in rows[:MAX_TESTS] if isinstance(row, dict))
    return Report(tests=tests, faults=tuple(_faults(rows, tests, _get(results, "summary"))))


def _faults(rows: list[Any], tests: tuple[TestResult, ...], summary: Any) -> list[str]:
    faults = []
    if len(tests) < len(rows):
        faults.append(f"{len(rows) - len(tests)} of {len(rows)} rows left out")
    for name in ("tests", "passed", "failed"):
        told = _get(summary, name)
        seen = len(rows) if name == "tests" else sum(t.status == name for t in tests)
        if isinstance(told, int) and told != seen and len(tests) == len(rows):
            faults.append(f"the summary says {told} {name}, the rows {seen}")
    return faults


def _test(row: dict[str, Any]) -> TestResult:
    status = row.get("status")
    suite = row.get("suite")
    return TestResult(
        name=_text(row.get("name")) or "(no name)",
        status=STATUSES.get(status, "other") if isinstance(status, str) else "other",
        duration_ms=_duration(row.get("duration")),
        message=_text(row.get("message")),
        trace=_text(row.get("trace")),
        suite=" > ".join(str(part) for part in suite) if isinstance(suite, list) else _text(suite),
    )


def _get(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _text(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    clean = value.encode("utf-8", "replace").decode()  # a lone surrogate could not be stored
    return clean if len(clean) <= MAX_TEXT else f"{clean[:MAX_TEXT]}… [{len(clean)} characters]"


def _duration(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
