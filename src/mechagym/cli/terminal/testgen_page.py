"""A run of test generation as a page: what it came to, its tests, the matrix with its counts."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from mechagym.cli.terminal.figures import duration, money, tokens
from mechagym.cli.terminal.page import GREEN, RED, YELLOW, Column, Page
from mechagym.cli.terminal.testgen_board import BADGES
from mechagym.cli.terminal.testgen_screens import STYLES
from mechagym.records import to_dict
from mechagym.records.reports import TestReport
from mechagym.records.testgen import GeneratedTest
from mechagym.store.testgen_rows import RunParts, RunRow

UNKNOWN = "unknown"


def run_json(row: RunRow, parts: RunParts | None = None) -> dict[str, Any]:
    """A run for programs: the row, and with `parts` its tests, results and matrix."""
    told = to_dict(row)
    if parts is not None:
        told |= {
            "tests": [to_dict(test) for test in parts.tests],
            "results": [to_dict(result) for result in parts.results],
            "requirements": [to_dict(one) for one in parts.requirements],
            "matrix": to_dict(parts.matrix),
        }
    return told


def run_page(page: Page, row: RunRow, parts: RunParts, *, code: bool, matrix: bool) -> None:
    """Write it."""
    for name, value in _facts(row):
        _fact(page, name, value)
    page.line()
    page.table(COLUMNS, [_test_row(test) for test in parts.tests])
    if matrix:
        page.line()
        matrix_page(page, parts)
    for test in parts.tests if code else ():
        page.line(Text(f"\n# {test.test_id} {test.status}: {test.title}", style="bold"))
        page.line(Text(test.code.rstrip()))


def matrix_page(page: Page, parts: RunParts) -> None:
    """A grid of counts of valid tests; a tick without one is red, no tick is a dot."""
    matrix = parts.matrix
    if not matrix.ticks:
        page.line("no matrix")
        return
    ticked = {tick.cell for tick in matrix.ticks}
    cells = [cell for test in parts.tests if test.status == "valid" for cell in test.cells]
    columns = [Column(name="", cut=True)]
    columns += [Column(name=one.id, align="right") for one in matrix.constraints]
    rows = []
    for entity in matrix.entities:
        names = [f"{entity.id}x{one.id}" for one in matrix.constraints]
        counts = [_count(cells.count(name), ticked=name in ticked) for name in names]
        rows.append((Text(f"{entity.id} {entity.name}"), *counts))
    page.table(columns, rows)
    for one in matrix.constraints:
        page.line(f"{one.id} {one.name}")


def report_page(page: Page, report: TestReport) -> None:
    """How a suite did in a box."""
    columns = (Column(name="test", cut=True), Column(name="status"), Column(name="why", cut=True))
    rows = [
        (
            case.name,
            Text(case.status, style=GREEN if case.status == "passed" else RED),
            " ".join((case.message or "").split())[:200],
        )
        for case in report.tests
    ]
    page.table(columns, rows)
    passed = sum(case.status == "passed" for case in report.tests)
    page.line(f"{passed} of {len(report.tests)} passed in {duration(report.duration_s)}")


COLUMNS = (
    Column(name="test"),
    Column(name=""),
    Column(name="status"),
    Column(name="rule"),
    Column(name="label"),
    Column(name="conf", align="right"),
    Column(name="title", cut=True),
)


def _fact(page: Page, name: str, value: Text) -> None:
    """One fact; what is long goes on below its beginning."""
    width = page.terminal.width
    first, *more = value.wrap(Console(width=width), width - 9) or [value]
    page.line(Text.assemble((f"{name:<9}", "dim"), first))
    for line in more:
        page.line(Text.assemble(" " * 9, line))


def _facts(row: RunRow) -> Sequence[tuple[str, Text]]:
    cost = UNKNOWN if row.cost_usd is None else money(row.cost_usd)
    ready = Text("ready", style=GREEN) if row.ready else Text("not ready", style=RED)
    valid = f", {row.tests_valid} of {row.tests_total} tests valid"
    known = {name: value for name, value in row.metrics.items() if value is not None}
    unknown = [name for name, value in row.metrics.items() if value is None]
    found = [
        ("run", Text(row.run_id)),
        ("task", Text(f"{row.task_id or '–'} ({row.task_type})")),
        ("config", Text(row.config_digest[:16])),
        ("state", Text(f"{row.status}, stopped by {row.stopped_by or '–'}")),
        ("suite", Text.assemble(ready, valid)),
        ("cost", Text(f"{cost}, {tokens(row.tokens)} tokens, {duration(row.duration_s)}")),
        ("score", Text(UNKNOWN if row.score is None else str(row.score))),
        ("measures", Text(", ".join(f"{n.replace('_', ' ')} {v:.2f}" for n, v in known.items()))),
        (UNKNOWN, Text(", ".join(name.replace("_", " ") for name in unknown), style="dim")),
    ]
    notes = (("note", Text(note, style=YELLOW)) for note in row.notes)
    return [*((name, value) for name, value in found if value.plain), *notes]


def _test_row(test: GeneratedTest) -> tuple[str | Text, ...]:
    why = f": {test.reject_reason}" if test.reject_reason else ""
    return (
        test.test_id,
        BADGES[test.category],
        Text(test.status, style=STYLES.get(test.status, "")),
        test.reject_rule or "",
        test.label or "",
        f"{test.confidence:.2f}",
        " ".join(f"{test.title}{why}".split()),
    )


def _count(tests: int, *, ticked: bool) -> Text:
    if not ticked:
        return Text("·", style="dim")
    return Text(str(tests), style=GREEN if tests else RED)
