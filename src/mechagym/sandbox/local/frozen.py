"""Standing still: every process of a box stopped where it is, so that its files do not change.

By the freezer where the box has control groups; else by signals, which its programs could see. A
box is held as often as it has open forks, and goes on when the last one lets go.
"""

import os
import signal
from contextlib import suppress
from pathlib import Path

import anyio

from mechagym.errors import SandboxError
from mechagym.sandbox.local.cgroups import STILL_S, Groups

_PAUSES_S = (0.002, 0.05)


class Hold:
    """Holds the processes of one box. `pid`: its first process; `groups` None: by signals.

    `is_taken` from before the first is stopped until all go on.
    """

    def __init__(self, pid: int, groups: Groups | None) -> None:
        self._pid = pid
        self._groups = groups if groups and "freezer" in groups.folders else None
        self._lock = anyio.Lock()
        self._stopped: set[int] = set()
        self.count = 0
        self.is_taken = False

    async def take(self) -> None:
        """Stop all, if nobody has yet. Raises SandboxError where they do not stand still."""
        async with self._lock:
            if self.count == 0:
                try:
                    await self._stop()
                except BaseException:
                    self._go_on()
                    raise
            self.count += 1

    async def release(self) -> None:
        """Let them go on where they were, if nobody else holds them."""
        async with self._lock:
            self.count -= 1
            if self.count == 0:
                self._go_on()

    async def _stop(self) -> None:
        self.is_taken = True
        if self._groups is not None:
            await self._groups.freeze()
            return
        space = _pid_space(self._pid)
        give_up_at = anyio.current_time() + STILL_S
        pause_s, longest_s = _PAUSES_S
        while running := {pid for pid in _pids(space) if _state(pid) not in "TtZX"}:
            if anyio.current_time() > give_up_at:
                raise SandboxError("the box does not stand still", reason="not_frozen")
            for pid in running:  # again, too, should a program of the box let another go on
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
            self._stopped |= running
            await anyio.sleep(pause_s)
            pause_s = min(2 * pause_s, longest_s)

    def _go_on(self) -> None:
        if self._groups is not None:
            self._groups.thaw()
        for pid in self._stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self._stopped.clear()
        self.is_taken = False


def _pids(space: str) -> list[int]:
    return [
        int(name)
        for name in os.listdir("/proc")  # noqa: PTH208 (hundreds, each time)
        if name.isdecimal() and _pid_space(int(name)) == space
    ]


def _pid_space(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")  # noqa: PTH115 (the text, not a path)
    except OSError:
        return ""


def _state(pid: int) -> str:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "X"
    return text.rpartition(")")[2].split()[0]
