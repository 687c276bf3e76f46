"""How the proof of a backend is shown: what did not hold of the suite, and all attempts."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.text import Text

from mechagym.cli.terminal.page import GREEN, RED, YELLOW, Column, Page
from mechagym.config import Settings
from mechagym.sandbox.escapes import Line, Result

COLORS: dict[Result, str] = {"held": GREEN, "failed": RED, "not tested": YELLOW}


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What one backend was seen to hold."""

    backend: str
    suite: list[Line]
    escapes: list[Line]

    @property
    def failed(self) -> bool:
        """Whether anything did not hold."""
        return any(line.result == "failed" for line in (*self.suite, *self.escapes))


def proof_page(settings: Settings, found: Sequence[Proof], *, as_json: bool) -> None:
    """Write both parts per backend."""
    page = Page(settings.terminal)
    if as_json:
        page.json([asdict(proof) for proof in found])
        return
    if not found:
        page.note("no sandbox that isolates is usable here: see `mechagym doctor`")
    for proof in found:
        page.line(Text(proof.backend, style="bold"))
        _table(page, "checks of the suite", [ln for ln in proof.suite if ln.result != "held"])
        page.line(Text.assemble("suite: ", _counts(proof.suite)))
        page.line()
        _table(page, "attempt to break out", proof.escapes)
        page.line(Text.assemble("attempts: ", _counts(proof.escapes)))
        page.line()


def _table(page: Page, title: str, lines: Sequence[Line]) -> None:
    if lines:
        columns = (
            Column(name=title, cut=True),
            Column(name="result"),
            Column(name="detail", cut=True),
        )
        rows = [(ln.attempt, Text(ln.result, style=COLORS[ln.result]), ln.detail) for ln in lines]
        page.table(columns, rows)


def _counts(lines: Sequence[Line]) -> Text:
    """`96 held, 2 not tested`, each word in its colour."""
    counts = Counter(line.result for line in lines)
    parts = [(f"{counts[result]} {result}", COLORS[result]) for result in COLORS if counts[result]]
    return Text(", ").join(Text(*part) for part in parts)
