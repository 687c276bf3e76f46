"""From an error to what the person reads and the exit code: the only place that decides it.

| what                                  | stderr                             | exit code |
|---------------------------------------|------------------------------------|-----------|
| the user's or the task's fault        | `error: message`, remedy           | 2         |
| another MechagymError                 | `error: message`, remedy           | 1         |
| Ctrl-C                                | `stopped`                          | 130       |
| our fault                             | one line, and the report's file    | 1         |
"""

import errno
import sys
import traceback
from typing import IO, Any

import click

from mechagym.errors import MechagymError

INTERRUPTED = 130
USER_BLAMED = frozenset({"user", "task"})


class Failure(click.ClickException):
    """An error as it is told: message and remedy on stderr, then the exit code."""

    def __init__(self, message: str, *, exit_code: int, remedy: str | None = None) -> None:
        super().__init__(message)
        self.remedy = remedy
        self.exit_code = exit_code

    def show(self, file: IO[Any] | None = None) -> None:
        """Write it to stderr; the word `error` in red where colours are wanted."""
        target = file or sys.stderr
        click.echo(f"{click.style('error:', fg='red', bold=True)} {self.message}", file=target)
        for line in (self.remedy or "").splitlines():
            click.echo(f"  {line}", file=target)


class Interrupted(click.ClickException):
    """Ctrl-C before a job could say how to resume."""

    exit_code = INTERRUPTED

    def __init__(self) -> None:
        super().__init__("stopped")

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the one word."""
        click.echo(self.message, file=file or sys.stderr)


def failure_of(error: BaseException) -> BaseException:
    """Turn what a command raised into what click shows. Click's own and a closed pipe go through."""
    error = _single(error)
    match error:
        case click.ClickException() | click.exceptions.Exit() | click.Abort() | SystemExit():
            return error
        case KeyboardInterrupt():
            return Interrupted()
        case MechagymError():
            code = 2 if error.blame in USER_BLAMED else 1
            return Failure(error.message, remedy=error.remedy, exit_code=code)
        case OSError(errno=errno.EPIPE):
            return error
        case _:
            return _crash(error)


def _single(error: BaseException) -> BaseException:
    """The one error of a task group that matters: Ctrl-C, else one of ours, else the first."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = [_single(inner) for inner in error.exceptions]
    for wanted in (KeyboardInterrupt, MechagymError):
        for leaf in leaves:
            if isinstance(leaf, wanted):
                return leaf
    return leaves[0]


def _crash(error: BaseException) -> Failure:
    """Keep the traceback in a file: the person gets its name, whoever repairs it gets the rest."""
    from mechagym import config
    from mechagym.records import now

    what = f"something broke inside mechagym: {type(error).__name__}: {error}"
    text = "".join(traceback.format_exception(error))
    at = now()
    try:
        folder = config.data_dir() / "crashes"
        folder.mkdir(parents=True, exist_ok=True)
        report = folder / f"{at:%Y%m%dT%H%M%S}-{type(error).__name__}.txt"
        report.write_text(f"{at.isoformat()}\n{' '.join(sys.argv)}\n\n{text}", encoding="utf-8")
    except OSError as refused:
        return Failure(what, remedy=f"no report could be kept ({refused}):\n{text}", exit_code=1)
    return Failure(what, remedy=f"this is a fault of ours; the report is {report}", exit_code=1)
