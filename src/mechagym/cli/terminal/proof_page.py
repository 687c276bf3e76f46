"""How attempts to break out are shown: a line each, per backend."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from rich.text import Text

from mechagym.cli.terminal.page import GREEN, RED, YELLOW, Column, Page
from mechagym.config import Settings
from mechagym.sandbox.selftest import Line

COLORS = {"held": GREEN, "failed": RED, "not tested": YELLOW}
COLUMNS = (Column(name="attempt"), Column(name="result"), Column(name="detail", cut=True))


def proof_page(settings: Settings, found: Mapping[str, Sequence[Line]], *, as_json: bool) -> None:
    """Write a table per backend."""
    page = Page(settings.terminal)
    if as_json:
        page.json({name: [asdict(line) for line in lines] for name, lines in found.items()})
        return
    if not found:
        page.note("no sandbox that isolates is usable here: see `mechagym doctor`")
    for name, lines in found.items():
        page.line(Text(name, style="bold"))
        rows = [(ln.attempt, Text(ln.result, style=COLORS[ln.result]), ln.detail) for ln in lines]
        page.table(COLUMNS, rows)
        page.line()
