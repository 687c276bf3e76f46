"""Plain output of a command: tables for people, JSON for programs, notes on stderr."""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any, Literal

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mechagym.cli.terminal.figures import shortened
from mechagym.config import Terminal
from mechagym.records import Outcome, is_graded

Cell = str | Text
GREEN, RED, YELLOW = "green", "red", "yellow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column: numbers go to the right; one with `cut` gives way when the table is too wide."""

    name: str
    align: Literal["left", "right"] = "left"
    cut: bool = False


def console(stream: IO[str], terminal: Terminal) -> Console:
    """A console that obeys the settings and nothing else: rich itself reads no variable."""
    screen = stream.isatty()
    color = terminal.color and screen
    return Console(
        file=stream,
        width=terminal.width,
        color_system="standard" if color else None,
        force_terminal=screen,
        no_color=not color,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=False,
        _environ={},
    )


@dataclass(frozen=True, slots=True)
class Page:
    """Where a command writes what it was asked for."""

    terminal: Terminal

    def line(self, text: Cell | Padding = "") -> None:
        """Write a line, folded at the width."""
        console(sys.stdout, self.terminal).print(text)

    def table(self, columns: Sequence[Column], rows: Iterable[Sequence[Cell]]) -> None:
        """Write a table that fits the width; what gives way is cut in the middle."""
        listed = [[_text(cell) for cell in row] for row in rows]
        widths = fit(columns, listed, self.terminal.width)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
        for column, width in zip(columns, widths, strict=True):
            table.add_column(column.name, justify=column.align, width=width, overflow="fold")
        for row in listed:
            cells = zip(row, columns, widths, strict=True)
            table.add_row(*(_cut(cell, width) if c.cut else cell for cell, c, width in cells))
        console(sys.stdout, self.terminal).print(table)

    def json(self, value: Any) -> None:
        """Write a value as JSON; for values of ours give what `to_dict` makes of them."""
        sys.stdout.write(json.dumps(value, indent=2, default=plain, ensure_ascii=False) + "\n")

    def json_line(self, value: Any) -> None:
        """Write a value as one line of JSON, the last of a stream of such."""
        sys.stdout.write(json.dumps(value, default=plain, ensure_ascii=False) + "\n")

    def note(self, text: Cell) -> None:
        """Write a remark to stderr, out of the way of what is piped."""
        console(sys.stderr, self.terminal).print(text)


def plain(value: Any) -> str:
    """What JSON has no word for: times in ISO form, paths and the like as text."""
    return value.isoformat() if isinstance(value, datetime) else str(value)


def fit(columns: Sequence[Column], rows: Sequence[Sequence[Text]], width: int) -> list[int]:
    """Choose widths that fit, two apart: natural ones, less what the cut columns give."""
    natural = [
        max([len(c.name), *(row[i].cell_len for row in rows)]) for i, c in enumerate(columns)
    ]
    over = sum(natural) + 2 * (len(columns) - 1) - width
    while over > 0:
        cuttable = [i for i, c in enumerate(columns) if c.cut and natural[i] > 8]
        if not cuttable:
            break
        widest = max(cuttable, key=lambda i: natural[i])
        natural[widest] -= 1
        over -= 1
    return natural


def outcome_text(outcome: Outcome | str, *, verified: bool = True) -> Text:
    """An outcome in its colour: passed green, graded otherwise red, ungraded yellow."""
    found = Outcome(outcome)
    if found is Outcome.PASSED:
        return Text(found, style=GREEN)
    return Text(found, style=RED if is_graded(found, verified=verified) else YELLOW)


def _text(cell: Cell) -> Text:
    return cell if isinstance(cell, Text) else Text(cell)


def _cut(cell: Text, width: int) -> Text:
    return Text(shortened(cell.plain, width), style=cell.style) if cell.cell_len > width else cell
