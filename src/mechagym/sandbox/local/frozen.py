"""Standing still: every process of a box stopped where it is, so that its files do not change.

By the freezer where the box has control groups; else by signals, which its programs could see.
"""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio

from mechagym.errors import SandboxError
from mechagym.sandbox.local.instance import Instance

_PAUSE_S = 0.002
_TRIES = 500


@asynccontextmanager
async def frozen(instance: Instance) -> AsyncIterator[None]:
    """Hold all processes of a box. They go on where they were afterwards."""
    if instance.groups is not None and "freezer" in instance.groups.folders:
        try:
            await instance.groups.freeze()
            yield
        finally:
            instance.groups.thaw()
        return
    stopped: set[int] = set()
    try:
        await _stop_all(instance.pid, stopped)
        yield
    finally:
        for pid in stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


async def _stop_all(first: int, stopped: set[int]) -> None:
    """Stop what runs until nothing runs: a stopped process starts no other."""
    space = _pid_space(first)
    for _ in range(_TRIES):
        running = {pid for pid in _pids(space) if _state(pid) not in "TtZX"}
        if not running:
            return
        for pid in running - stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        stopped |= running
        await anyio.sleep(_PAUSE_S)
    raise SandboxError("the box does not stand still", reason="not_frozen")


def _pids(space: str) -> list[int]:
    return [
        int(name)
        for name in os.listdir("/proc")  # noqa: PTH208
        if name.isdecimal() and _pid_space(int(name)) == space
    ]


def _pid_space(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")  # noqa: PTH115 – the text, not a path
    except OSError:
        return ""


def _state(pid: int) -> str:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "X"
    return text.rpartition(")")[2].split()[0]
