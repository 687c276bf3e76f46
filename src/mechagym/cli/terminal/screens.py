"""How a job is shown while it runs: redrawn, as plain lines, as JSON lines, or not at all.

A screen is a context manager that takes events. All fold them by one board, so all say the same.
"""

import os
import sys
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, Self

from rich.console import Group
from rich.live import Live
from rich.text import Text

from mechagym.cli.terminal.board import Board, Done, Row
from mechagym.cli.terminal.figures import duration, money, share, shortened, tokens
from mechagym.cli.terminal.page import GREEN, RED, YELLOW, console, outcome_text
from mechagym.config import Terminal
from mechagym.events import EventBody, body_to_json
from mechagym.records import Outcome, now
from mechagym.run.statistics import wilson

BAR = 20
ROWS = 16
REDRAWS_PER_S = 4


class Screen(AbstractContextManager["Screen"], Protocol):
    """Something that shows a job while it runs."""

    def take(self, subject: str, body: EventBody) -> None:
        """Show what changed by an event; never fails the job."""
        ...


class QuietScreen:
    """Shows nothing; folds, so that the end is known."""

    def __init__(self, board: Board) -> None:
        self.board = board

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def take(self, subject: str, body: EventBody) -> None:
        """Fold."""
        done = self.board.take(subject, body)
        if done is not None:
            self.ended(done)

    def ended(self, done: Done) -> None:
        """A trial is over."""


class JsonScreen(QuietScreen):
    """Each event as one line of JSON on stdout, in the order of happening.

    Who reads may leave (`| head -1`): the job goes on, since it is paid for.
    """

    def take(self, subject: str, body: EventBody) -> None:
        """Write the line: what it is about, when, and the body as the store keeps it."""
        super().take(subject, body)
        about = f'"subject":"{subject}","at":"{now().isoformat()}"'
        try:
            sys.stdout.write(f'{{{about},"event":{body_to_json(body)}}}\n')
            sys.stdout.flush()
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)


class PlainScreen(QuietScreen):
    """A line per trial that ended, on stderr: for logs, pipes and screen readers."""

    def __init__(self, board: Board, terminal: Terminal) -> None:
        super().__init__(board)
        self._console = console(sys.stderr, terminal)

    def ended(self, done: Done) -> None:
        """Write its line."""
        self._console.print(done_line(self.board, done, self._console.width))


class LiveScreen(QuietScreen):
    """One bar for the job and one line per running trial, redrawn in place on stderr."""

    def __init__(self, board: Board, terminal: Terminal) -> None:
        super().__init__(board)
        self._console = console(sys.stderr, terminal)
        self._live = Live(
            console=self._console,
            get_renderable=lambda: picture(self.board, self._console.width),
            refresh_per_second=REDRAWS_PER_S,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def ended(self, done: Done) -> None:
        """Keep the line of what did not pass above the bar; what passed is only counted."""
        if done.outcome is not Outcome.PASSED:
            self._live.console.print(done_line(self.board, done, self._console.width))


def picture(board: Board, width: int) -> Group:
    """The bar, the figures below it, and the running trials; all lines fit the width."""
    rows = sorted(board.running.values(), key=lambda row: row.since)
    lines = [bar_line(board, width), figures_line(board, width)]
    lines += [row_line(row, board.clock() - row.since, width) for row in rows[:ROWS]]
    if len(rows) > ROWS:
        lines.append(Text(f"  … and {len(rows) - ROWS} more", style="dim"))
    return Group(*lines)


def bar_line(board: Board, width: int) -> Text:
    """`━━━━━━──── 12/40  mean 0.67 [0.35, 0.88]  ETA 3m05s`."""
    filled = round(BAR * board.ended / board.total) if board.total else BAR
    line = Text.assemble(("━" * filled, GREEN), ("─" * (BAR - filled), "dim"))
    line.append(f" {board.ended}/{board.total}")
    line.append(f"  mean {running_mean(board)}")
    if board.eta_s is not None and board.ended < board.total:
        line.append(f"  ETA {duration(board.eta_s)}")
    line.truncate(width)
    return line


def figures_line(board: Board, width: int) -> Text:
    """Time, cost so far and to be expected, and the outcomes by count in their colours."""
    line = Text(f"  {duration(board.elapsed_s)}  {money(board.cost_usd)}", style="default")
    if board.projected_usd:
        line.append(f" of about {money(board.projected_usd)}")
    for outcome in Outcome:
        if count := board.outcomes[outcome]:
            line.append("  ").append(f"{count} ").append_text(outcome_text(outcome))
    line.truncate(width, overflow="ellipsis")
    return line


def row_line(row: Row, seconds: float, width: int) -> Text:
    """A running trial: name, phase, time, turn, last tool, tokens, cost."""
    name = shortened(row.name, max(16, width // 3))
    line = Text(f"  {name:<{max(16, width // 3)}} ")
    line.append(f"{row.phase:<7} {duration(seconds):>6}", style="cyan")
    if row.number > 1:
        line.append(f"  try {row.number}", style=YELLOW)
    if row.turn:
        line.append(f"  turn {row.turn}")
    if row.tokens:
        line.append(f"  {tokens(row.tokens)}  {money(row.cost_nano / 1e9)}")
    if row.tool:
        line.append(f"  {row.tool}", style="dim")
    line.truncate(width, overflow="ellipsis")
    return line


def done_line(board: Board, done: Done, width: int) -> Text:
    """`[ 3/20] passed  regex-log__abc  12s  $0.02`, and below it why it is not graded."""
    digits = len(str(board.total))
    line = Text(f"[{board.ended:>{digits}}/{board.total}] ")
    verified = done.record is not None and done.record.verdict is not None
    line.append_text(outcome_text(done.outcome, verified=verified))
    line.append(" " * (17 - len(done.outcome)) + shortened(done.name, max(16, width - 46)))
    if done.record:
        lasted_s = (done.record.ended_at - done.record.started_at).total_seconds()
        line.append(f"  {duration(lasted_s)}")
        if done.record.spend.billed_nano:
            line.append(f"  {money(done.record.spend.cost_usd)}")
    if done.tries > 1:
        line.append(f"  {done.tries} tries", style=YELLOW)
    if done.record and done.record.error:
        first = done.record.error.message.splitlines()[0]
        line.append(f"\n{' ' * (2 * digits + 4)}{first}", style=RED if verified else YELLOW)
    return line


def running_mean(board: Board) -> str:
    """The mean reward of what is graded so far, with the Wilson interval where it is a share."""
    rewards = board.rewards
    if not rewards:
        return share(None)
    mean = sum(rewards) / len(rewards)
    whole = all(reward in (0.0, 1.0) for reward in rewards)
    return share(mean, wilson(int(sum(rewards)), len(rewards)) if whole else None)
