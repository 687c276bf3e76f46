"""How two sides are shown against each other."""

import json
from typing import Any

from rich.text import Text

from mechagym.cli.terminal.figures import counted, duration, money, share, tokens
from mechagym.cli.terminal.page import GREEN, RED, YELLOW, Column, Page
from mechagym.records import to_json
from mechagym.run.compare import Cell, Comparison, Row, Side

SIDE_COLUMNS = (
    Column(name="", cut=True),
    Column(name="graded", align="right"),
    Column(name="passes", align="right"),
    Column(name="mean [95 %]", align="right"),
    Column(name="cost", align="right"),
    Column(name="tokens", align="right"),
    Column(name="time", align="right"),
)
TASK_COLUMNS = (
    Column(name="task", cut=True),
    Column(name="A", align="right"),
    Column(name="B", align="right"),
    Column(name="change"),
)
COLORS = {"lost": RED, "worse": RED, "gained": GREEN, "better": GREEN, "unknown": YELLOW}


def compare_page(page: Page, found: Comparison, names: tuple[str, str], *, all_tasks: bool) -> None:
    """Write both sides, the difference with how sure it is, and the tasks that changed."""
    sides = zip(("A", "B"), names, (found.a, found.b), strict=True)
    page.table(SIDE_COLUMNS, [_side_row(f"{letter} {name}", s) for letter, name, s in sides])
    page.line()
    page.line(_verdict(found))
    shown = [row for row in found.rows if all_tasks or row.change != "same"]
    if shown:
        page.line()
        page.table(TASK_COLUMNS, [_task_row(row) for row in shown])
    page.line()
    same = sum(row.change == "same" for row in found.rows)
    page.line(f"{counted(len(found.rows), 'task')} shared, {same} without a change")
    for label, tasks in (
        ("flaky", found.flaky),
        ("only in A", found.only_a),
        ("only in B", found.only_b),
    ):
        if tasks:
            page.line(f"{label}: {', '.join(tasks)}")


def compare_json(found: Comparison) -> dict[str, Any]:
    """The comparison as plain values."""
    shown: dict[str, Any] = json.loads(to_json(found))
    return shown


def _verdict(found: Comparison) -> Text:
    if found.difference is None:
        return Text("no task is graded on both sides", style=YELLOW)
    low, high = found.difference.interval
    line = Text(f"B − A = {found.difference.mean:+.3f}  [{low:+.3f}, {high:+.3f}]", style="bold")
    if found.p_value is not None:
        line.append(f"  McNemar p = {found.p_value:.3f}")
    if low <= 0 <= high:
        line.append("  (could be chance)", style=YELLOW)
    return line


def _side_row(name: str, side: Side) -> list[str | Text]:
    return [
        name,
        f"{side.graded}/{side.trials}",
        str(side.passes),
        share(side.score.mean, side.score.interval) if side.score else "–",
        money(side.cost_usd),
        tokens(side.tokens),
        duration(side.seconds),
    ]


def _task_row(row: Row) -> list[str | Text]:
    change = Text(row.change, style=COLORS.get(row.change, ""))
    return [row.task, _cell(row.a), _cell(row.b), change]


def _cell(cell: Cell) -> str:
    if cell.reward is None:
        return "not graded"
    trials = len(cell.rewards)
    return f"{cell.reward:.2f}" if trials == 1 else f"{cell.reward:.2f} ({cell.passes}/{trials})"
