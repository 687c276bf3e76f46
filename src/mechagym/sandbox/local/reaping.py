"""Removing what dead controllers left: processes, control groups, folders, and on demand images.

A keeper cleans up after its controller; this is the net under it, for the case that both were
killed. Only what carries our mark and whose owner is dead is touched.
"""

import json
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

from mechagym.sandbox.base import ReapScope, Removed
from mechagym.sandbox.local import bundle, cgroups
from mechagym.sandbox.local.instance import GROUPS, LAYERS
from mechagym.sandbox.local.keeping import Keeper
from mechagym.sandbox.owner import describe, reapable

HALF_MADE_S = 3600.0
"""After so long a layer that is still being made is nobody's."""

OWNERLESS_S = 2.0
"""After so long a box without a note is nobody's: the note is written right after the folder."""

_BORN_WITHIN_S = 30.0
_GONE_S = 2.0

Keepers = Callable[[], AbstractAsyncContextManager[Keeper]]


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
    stale = _half_made(folder)
    removed = [entry for left in found for entry in _of(left)]
    removed += [Removed(what="folder", name=str(path)) for path in stale]
    images = _images(folder, scope) if scope.images else []
    removed += [Removed(what="image", name=path.stem) for path in images]
    if scope.dry_run or not removed:
        return removed
    for left in found:
        for group in _groups(left):
            cgroups.thaw(group)
        _kill(left.folder)
        for group in _groups(left):
            await cgroups.remove(group)
    for path in images:
        path.unlink(missing_ok=True)
    unused = _unused_layers(folder) if images else []
    async with keepers() as keeper:
        names = [left.folder.name for left in found]
        others = [str(path.relative_to(folder)) for path in (*stale, *unused)]
        await keeper.ask("remove", boxes=names, folders=others)
    return removed


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
    for box in _entries(folder / "boxes"):
        if not box.is_dir():
            continue
        try:
            labels = json.loads((box / "owner.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            if _age_s(box) > OWNERLESS_S and scope.job_id is None:
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


def _half_made(folder: Path) -> list[Path]:
    fresh = [path for path in _entries(folder / "layers") if path.name.startswith("new-")]
    return [path for path in fresh if _age_s(path) > HALF_MADE_S]


def _images(folder: Path, scope: ReapScope) -> list[Path]:
    """The records of images that nobody uses now and that were not used for long enough."""
    used = _used_layers(folder)
    oldest = scope.older_than_s or 0.0
    return [
        record
        for record in _entries(folder / "images")
        if _age_s(record) >= oldest and not used & set(_layers(record))
    ]


def _unused_layers(folder: Path) -> list[Path]:
    named = {layer for record in _entries(folder / "images") for layer in _layers(record)}
    named |= _used_layers(folder)
    layers = _entries(folder / "layers")
    return [
        path
        for path in layers
        if f"layers/{path.name}" not in named and not path.name.startswith("new-")
    ]


def _used_layers(folder: Path) -> set[str]:
    used: set[str] = set()
    for box in _entries(folder / "boxes"):
        with suppress(OSError, ValueError):
            labels = json.loads((box / "owner.json").read_text(encoding="utf-8"))
            used.update(labels.get(LAYERS, "").split(":"))
    return used


def _layers(record: Path) -> list[str]:
    try:
        return list(json.loads(record.read_text(encoding="utf-8"))["layers"])
    except (OSError, ValueError, KeyError):
        return []


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
