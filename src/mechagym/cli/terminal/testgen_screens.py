"""How a run of test generation is shown as it goes on: redrawn in place, as lines, or not.

Like all progress it goes to stderr; what it came to is the page's.
"""

import sys
from contextlib import AbstractContextManager, nullcontext

from rich.console import Group
from rich.live import Live
from rich.text import Text

from mechagym.cli.terminal.figures import duration, money, tokens
from mechagym.cli.terminal.page import GREEN, RED, YELLOW, console
from mechagym.cli.terminal.testgen_board import BADGES, TestgenBoard, told_test
from mechagym.config import Terminal
from mechagym.events import EventBody
from mechagym.records.testgen import GeneratedTest

BAR, LAST = 10, 8
REDRAWS_PER_S = 4
STYLES = {"valid": GREEN, "advisory": YELLOW, "rejected": RED, "quarantined": YELLOW}


class QuietTestgen:
    """Shows nothing."""

    def showing(self, _board: TestgenBoard) -> AbstractContextManager[object]:
        """As long as one run goes on."""
        return nullcontext()

    def take(self, board: TestgenBoard, body: EventBody) -> None:
        """Fold."""
        board.take(body)

    def ended(self, board: TestgenBoard) -> None:
        """The run is over."""


class LinesTestgen(QuietTestgen):
    """A line for each thing that happens: for logs, pipes and screen readers."""

    def __init__(self, terminal: Terminal) -> None:
        self._console = console(sys.stderr, terminal)

    def showing(self, board: TestgenBoard) -> AbstractContextManager[object]:
        """Say what it is about."""
        self._console.print(Text(board.title, style="bold"))
        return nullcontext()

    def take(self, board: TestgenBoard, body: EventBody) -> None:
        """Say what changed."""
        if (told := board.take(body)) is not None:
            word, text = told
            line = Text(f"  {word:<8}", style="dim").append(" ".join(text.split()), style="default")
            line.truncate(self._console.width, overflow="ellipsis")
            self._console.print(line)

    def ended(self, board: TestgenBoard) -> None:
        """Say what it came to."""
        self._console.print(end_line(board))


class LiveTestgen(LinesTestgen):
    """Bars per category and the newest tests, redrawn in place."""

    def showing(self, board: TestgenBoard) -> AbstractContextManager[object]:
        """Redraw until the run is over."""
        return Live(
            console=self._console,
            get_renderable=lambda: picture(board, self._console.width),
            refresh_per_second=REDRAWS_PER_S,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def take(self, board: TestgenBoard, body: EventBody) -> None:
        """Fold; the next redraw shows it."""
        board.take(body)


def screen(terminal: Terminal, *, quiet: bool) -> QuietTestgen:
    """The one that fits."""
    if quiet:
        return QuietTestgen()
    return LiveTestgen(terminal) if terminal.live else LinesTestgen(terminal)


def picture(board: TestgenBoard, width: int) -> Group:
    """Title, bars, figures, and the newest tests; all lines fit the width."""
    lines = [Text(board.title, style="bold"), bars_line(board), figures_line(board)]
    newest = sorted(board.tests.values(), key=lambda test: test.test_id)[-LAST:]
    lines += [line_of(test) for test in newest]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return Group(*lines)


def bars_line(board: TestgenBoard) -> Text:
    """`AC ━━━━━━──── 3/5  EX ━━━━━━━━━━ 5/5 …`; without a target only the count."""
    line = Text("  ")
    share = BAR if len(board.bars) <= 3 else BAR // 2
    for category, bar in board.bars.items():
        filled = min(share, round(share * bar.made / bar.target)) if bar.target else 0
        line.append(f"{BADGES[category]} ").append("━" * filled, style=GREEN)
        line.append("─" * (share - filled), style="dim")
        line.append(f" {bar.made}/{bar.target or '?'}  ")
    return line


def figures_line(board: TestgenBoard) -> Text:
    """Phase, counts, tokens, money, and the rating where there is one."""
    line = Text(f"  {board.phase}", style="cyan")
    for status, count in sorted(board.counts.items()):
        line.append("  ").append(f"{count} {status}", style=STYLES.get(status, ""))
    line.append(f"  {tokens(board.tokens)} tokens  {money(board.billed_nano / 1e9)}")
    if board.comprehensiveness is not None:
        line.append(f"  rated {board.comprehensiveness:g}")
    return line


def line_of(test: GeneratedTest) -> Text:
    """A test in the colour of how it stands."""
    return Text(f"  {told_test(test)}", style=STYLES.get(test.status, ""))


def end_line(board: TestgenBoard) -> Text:
    """`ready: 14 of 18 tests valid in 43s, 12.3k tokens, $0.02, score 760`."""
    totals = board.totals
    if totals is None:
        return Text(f"{board.title}: {board.status}", style=YELLOW)
    ready = Text("ready", style=GREEN) if totals.ready else Text("not ready", style=RED)
    cost = "cost unknown" if totals.spend.unpriced_calls else money(totals.spend.cost_usd)
    score = "unknown" if totals.score is None else str(totals.score)
    told = (
        f": {totals.tests_valid} of {totals.tests_total} tests valid in"
        f" {duration(totals.duration_s)}, {tokens(totals.spend.usage.tokens)} tokens, {cost},"
        f" score {score}, stopped by {totals.stopped_by}"
    )
    return Text.assemble(ready, told)
