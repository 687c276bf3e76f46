"""Commands of ours as processes of their own: whoever starts one may go, and it goes on."""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import anyio

LOOK_S = 0.1
TAIL_BYTES = 4_000


def spawn(command: Sequence[str], *, environ: Mapping[str, str], log: Path) -> int:
    """Begin `mechagym COMMAND` in a session of its own, writing to a file; gives its pid."""
    log.parent.mkdir(parents=True, exist_ok=True)
    opened = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "mechagym", *command],
        environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), opened, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )


def ended(pid: int) -> int | None:
    """The exit code of a child of ours that is over, reaped by this; None while it runs.

    One that was reaped before counts as over.
    """
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return 0
    return os.waitstatus_to_exitcode(status) if found else None


def over(pid: int) -> bool:
    """Whether a child of ours has ended; one that has is reaped by this."""
    return ended(pid) is not None


async def wait(pid: int) -> int:
    """Wait for a child's end; a cancelled wait leaves it running."""
    while True:
        if (code := ended(pid)) is not None:
            return code
        await anyio.sleep(LOOK_S)


def tail_of(log: Path) -> str:
    """The last words in a log, for a person."""
    with suppress(OSError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL_BYTES))
        return file.read().decode("utf-8", "replace").strip()
    return ""
