"""From an error to what the person reads and the exit code: the only place that decides it.

| what                                  | stderr                             | exit code |
|---------------------------------------|------------------------------------|-----------|
| the user's or the task's fault        | `error: message`, remedy           | 2         |
| another MechagymError                 | `error: message`, remedy           | 1         |
| a full disk, a folder one may not use | `error: reason: file`              | 1         |
| Ctrl-C                                | `stopped`                          | 130       |
| our fault                             | one line, and the report's file    | 1         |
"""

import errno
import sys
import traceback
from typing import IO, Any

import click

from mechagym.errors import MechagymError

USER_BLAMED = frozenset({"user", "task"})
FULL_OR_CLOSED = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES})
"""What a file system says that is full or not ours to write in: this host's matter, no fault."""


class Failure(click.ClickException):
    """An error as it is told: message and remedy on stderr, then the exit code."""

    exit_code = 1

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.remedy = remedy

    def show(self, file: IO[Any] | None = None) -> None:
        """Write it to stderr; the word `error` in red where colours are wanted."""
        from mechagym import config

        target = file or sys.stderr
        color = None if config.terminal().color else False
        word = click.style("error:", fg="red", bold=True)
        click.echo(f"{word} {self.message}", file=target, color=color)
        for line in (self.remedy or "").splitlines():
            click.echo(f"  {line}", file=target)


class Misuse(Failure):
    """What the person, or the task they gave, can put right."""

    exit_code = 2


class Interrupted(Failure):
    """Ctrl-C where there is no job that could say how to resume."""

    exit_code = 130

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the one word: nothing went wrong."""
        click.echo(self.message, file=file or sys.stderr)


def failure_of(error: BaseException) -> BaseException:
    """Turn what a command raised into what click shows; click's own and a closed pipe pass."""
    error = _single(error)
    match error:
        case click.ClickException() | click.exceptions.Exit() | click.Abort() | SystemExit():
            return error
        case KeyboardInterrupt():
            return Interrupted("stopped")
        case MechagymError():
            told = Misuse if error.blame in USER_BLAMED else Failure
            return told(error.message, remedy=error.remedy)
        case OSError(errno=errno.EPIPE):
            return error
        case OSError(errno=number) if number in FULL_OR_CLOSED:
            return Failure(str(error.strerror) + (f": {error.filename}" if error.filename else ""))
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
        # of the command line only its first word: an option's value may be a secret
        command = " ".join(word for word in sys.argv[1:2] if not word.startswith("-"))
        report.write_text(f"{at.isoformat()}\nmechagym {command}\n\n{text}", encoding="utf-8")
    except OSError as refused:
        return Failure(what, remedy=f"no report could be kept ({refused}):\n{text}")
    return Failure(what, remedy=f"this is a fault of ours; the report is {report}")
