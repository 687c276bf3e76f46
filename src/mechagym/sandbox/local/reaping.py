"""Removing what dead controllers left: processes, control groups, folders, and on demand images.

A keeper cleans up after its controller; this is the net under it, for the case that both were
killed. Only what carries our mark and whose owner is dead is touched.
"""

import json
import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mechagym.sandbox import locks
from mechagym.sandbox.base import ReapScope, Removed
from mechagym.sandbox.local import bundle, cgroups, shelf
from mechagym.sandbox.local.folder import BEGINNING
from mechagym.sandbox.local.instance import GROUPS
from mechagym.sandbox.local.keeping import room_owner
from mechagym.sandbox.local.shelf import Keepers
from mechagym.sandbox.owner import describe, reapable

_BORN_WITHIN_S = 30.0
_GONE_S = 2.0


@dataclass(frozen=True, slots=True)
class Left:
    """A box that a dead controller left."""

    folder: Path
    labels: dict[str, str]

    @property
    def owner(self) -> str:
        """Whose it was."""
        return describe(self.labels)


async def reap(folder: Path, scope: ReapScope, keepers: Keepers) -> list[Removed]:
    """Sweep one cache folder. Raises SandboxUnusable where files are left that only a keeper can
    remove.
    """
    found = list(_left(folder, scope))
    removed = [entry for left in found for entry in _of(left)]
    if found and not scope.dry_run:
        for left in found:
            for group in _groups(left):
                cgroups.thaw(group)
                _kill_all(group)
            _kill(left.folder)
            for group in _groups(left):
                await cgroups.remove(group)
            if os.getuid() == 0:  # it may have been killed before it gave it away
                os.chown(left.folder, room_owner(), room_owner())
        async with keepers() as keeper:
            await keeper.ask("remove", boxes=[left.folder.name for left in found])
    return removed + await shelf.sweep(folder, scope, keepers)


def first_process(box: Path) -> int | None:
    """The pid of a box's first process if it still is that, not a later one with its number."""
    try:
        told = box / "pid"
        pid = int(told.read_text(encoding="utf-8"))
        argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        born = _born(pid)
    except (OSError, ValueError):
        return None
    is_init = argv[0] == bundle.INIT.encode()
    return pid if is_init and abs(born - told.stat().st_mtime) < _BORN_WITHIN_S else None


def _born(pid: int) -> float:
    """When a process began, in unix seconds."""
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    ticks = int(stat.rpartition(")")[2].split()[19])
    up = float(Path("/proc/uptime").read_text(encoding="utf-8").split()[0])
    return time.time() - up + ticks / os.sysconf("SC_CLK_TCK")


def _left(folder: Path, scope: ReapScope) -> Iterator[Left]:
    with locks.unused(folder / BEGINNING) as nobody_begins:
        boxes = [path for path in _entries(folder / "boxes") if path.is_dir()]
        for box in boxes:
            try:
                labels = json.loads((box / "owner.json").read_text(encoding="utf-8"))
            except (OSError, ValueError):
                if nobody_begins and box.is_dir() and scope.job_id is None:
                    yield Left(box, {})
                continue
            if reapable(labels, scope):
                yield Left(box, labels)


def _of(left: Left) -> Iterator[Removed]:
    if (pid := first_process(left.folder)) is not None:
        yield Removed(what="process", name=str(pid), owner=left.owner)
    for group in _groups(left):
        yield Removed(what="cgroup", name=str(group), owner=left.owner)
    yield Removed(what="folder", name=str(left.folder), owner=left.owner)


def _groups(left: Left) -> list[Path]:
    named = [Path(name) for name in left.labels.get(GROUPS, "").split(":") if name]
    return [p for p in named if p.name == cgroups.NAME + left.folder.name and p.is_dir()]


def _kill_all(group: Path) -> None:
    """Kill what is in a group: also a runtime that was still at it, and what it had begun."""
    with suppress(OSError):
        for pid in (group / "cgroup.procs").read_text(encoding="utf-8").split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


def _kill(box: Path) -> None:
    pid = first_process(box)
    if pid is None:
        return
    with suppress(ProcessLookupError):
        ended = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(ended, signal.SIGKILL)
            poll = select.poll()
            poll.register(ended, select.POLLIN)
            poll.poll(_GONE_S * 1000)
        finally:
            os.close(ended)


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []
