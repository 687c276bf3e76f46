"""Limits by control groups: version 1, version 2, or both side by side (hybrid).

A box has one group per controller that is at hand; the keeper's child enters it through open files
before the runtime starts, so that nothing of a box is ever outside. An ordinary user has groups
only where they are delegated: else the limits are declared as not enforced.
"""

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import anyio

from mechagym.errors import SandboxError
from mechagym.sandbox.base import MIB, Limits

NAME, OURS = "mechagym-", "mechagym-controller"
PROCS = "cgroup.procs"
WANTED = ("memory", "cpu", "pids", "freezer")
LIMIT_OF = {"memory": "memory_mb", "cpu": "cpus", "pids": "pids"}
PERIOD_US = 100_000
NONE = "none; under systemd a user gets some by `systemd-run --user --scope -p Delegate=yes`"
_PAUSE_S = 0.002
STILL_S = 30.0
"""How long a box may take to stand still: who waits for a slow disk stops once that answered."""

_GONE_S = 2.0

Parents = dict[str, Path]
"""By controller: the folder to make groups in."""


@dataclass(frozen=True, slots=True)
class Groups:
    """The control groups of one box, by controller (version 2: one folder under several names)."""

    folders: dict[str, Path]
    unified: bool

    def doors(self) -> list[int]:
        """Open files through which a process of one thread enters; the caller closes them.

        Through `cgroup.procs` it would wait some 4 ms in each group, for all threads of the host.
        """
        name = PROCS if self.unified else "tasks"
        return [os.open(folder / name, os.O_WRONLY | os.O_CLOEXEC) for folder in self.distinct]

    def freezer(self) -> int | None:
        """The open freezer, for whoever ends the box when we are gone; the caller closes it."""
        if "freezer" not in self.folders:
            return None
        name = "cgroup.freeze" if self.unified else "freezer.state"
        return os.open(self.folders["freezer"] / name, os.O_WRONLY | os.O_CLOEXEC)

    @property
    def distinct(self) -> list[Path]:
        """Each folder once."""
        return list(dict.fromkeys(self.folders.values()))

    async def freeze(self) -> None:
        """Stop every process of the box where it stands. Raises SandboxError after `STILL_S`."""
        path = self.folders["freezer"] / ("cgroup.events" if self.unified else "freezer.state")
        frozen = "frozen 1" if self.unified else "FROZEN"
        deadline = time.monotonic() + STILL_S
        for look in count(1):
            self._freeze_once(look)
            if frozen in path.read_text(encoding="utf-8"):
                return
            if time.monotonic() > deadline:
                raise SandboxError(f"{path}: the box does not freeze")
            await anyio.sleep(_PAUSE_S)

    def _freeze_once(self, look: int) -> None:
        """The freezer of version 1 can stay half-way when processes come and go meanwhile: the
        kernel's page asks to try again, and to let go now and then.
        """
        if self.unified:
            self._write("freezer", "cgroup.freeze", "1")
            return
        if look % 50 == 0:
            self._write("freezer", "freezer.state", "THAWED")
        self._write("freezer", "freezer.state", "FROZEN")

    def thaw(self) -> None:
        """Let them go on. A box that is gone is no error."""
        name, value = ("cgroup.freeze", "0") if self.unified else ("freezer.state", "THAWED")
        with suppress(OSError):
            self._write("freezer", name, value)

    async def remove(self) -> None:
        """Remove all of them; the last processes may still be on their way out."""
        for folder in self.distinct:
            await remove(folder)

    def _write(self, controller: str, name: str, value: str) -> None:
        _write(self.folders[controller] / name, value)


def thaw(folder: Path) -> None:
    """Let go what a group holds: what is frozen cannot be killed."""
    for name, value in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
        with suppress(OSError):
            if (folder / name).exists():
                (folder / name).write_text(value, encoding="utf-8")


async def remove(folder: Path) -> bool:
    """Remove one group, waiting for its last process at most 2 s; returns whether it is gone."""
    deadline = time.monotonic() + _GONE_S
    while not (gone := _removed(folder)) and time.monotonic() < deadline:  # noqa: ASYNC110
        await anyio.sleep(_PAUSE_S)
    return gone


def parents() -> Parents:
    """Where groups can be made, by controller; empty where this user may not."""
    mounts = _mounts(Path("/proc/self/mountinfo").read_text(encoding="utf-8"))
    own = _own(Path("/proc/self/cgroup").read_text(encoding="utf-8"))
    found: Parents = {}
    for controller in WANTED:
        if controller in mounts:
            found[controller] = mounts[controller] / own.get(controller, "/").lstrip("/")
    if not found and "" in mounts:
        top = mounts[""]
        found = unified(top if os.getuid() == 0 else delegated(top / own.get("", "/").lstrip("/")))
    return {name: path for name, path in found.items() if os.access(path, os.W_OK)}


def needed(limits: Limits, where: Parents) -> Parents:
    """Those in which a box needs a group: each costs as much as a folder to make, enter, remove."""
    return {
        name: parent
        for name, parent in where.items()
        if name not in LIMIT_OF or getattr(limits, LIMIT_OF[name]) is not None
    }


def names(box_id: str, where: Parents) -> dict[str, Path]:
    """The folders of a box's groups, by controller."""
    return {name: parent / f"{NAME}{box_id}" for name, parent in where.items()}


def create(box_id: str, limits: Limits, where: Parents) -> Groups:
    """Make the groups of a box, in all of `where` (see `needed`), with its limits in force."""
    unified = len(set(where.values())) == 1 and len(where) > 1
    folders = names(box_id, where)
    groups = Groups(folders=folders, unified=unified)
    for folder in groups.distinct:
        folder.mkdir(exist_ok=True)
    for controller, name, value in settings(limits, unified=unified):
        if controller in folders:
            with suppress(FileNotFoundError):  # no swap accounting on this kernel
                _write(folders[controller] / name, value)
    return groups


def settings(limits: Limits, *, unified: bool) -> list[tuple[str, str, str]]:
    """What to write: (controller, file, value)."""
    found = [("pids", "pids.max", str(limits.pids))]
    if limits.memory_mb is not None:
        size = str(limits.memory_mb * MIB)
        found += (
            [("memory", "memory.max", size), ("memory", "memory.swap.max", "0")]
            if unified
            else [
                ("memory", "memory.limit_in_bytes", size),
                ("memory", "memory.memsw.limit_in_bytes", size),
            ]
        )
    if limits.cpus is not None:
        quota = str(max(1000, int(limits.cpus * PERIOD_US)))
        found += (
            [("cpu", "cpu.max", f"{quota} {PERIOD_US}")]
            if unified
            else [("cpu", "cpu.cfs_period_us", str(PERIOD_US)), ("cpu", "cpu.cfs_quota_us", quota)]
        )
    return found


def _mounts(mountinfo: str) -> dict[str, Path]:
    """Mount points by controller of version 1; version 2 stands under the empty name."""
    found: dict[str, Path] = {}
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ", 2)
        point = Path(left.split(" ")[4])
        if kind == "cgroup2":
            found.setdefault("", point)
        elif kind == "cgroup":
            for option in options.split(","):
                found.setdefault(option, point)
    return found


def _own(text: str) -> dict[str, str]:
    """The cgroup that this process is in, by controller."""
    found = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        found.update(dict.fromkeys(controllers.split(","), path))
    return found


def delegated(group: Path) -> Path:
    """The group of version 2 that was given to this process alone (`systemd-run --user --scope`).

    What hands controllers down holds no process, so we move one down; a group with others in it is
    left as it is, and then hands nothing down.
    """
    if group.name == OURS:
        return group.parent
    with suppress(OSError):
        if (group / PROCS).read_text(encoding="utf-8").split() == [str(os.getpid())]:
            (group / OURS).mkdir(exist_ok=True)
            (group / OURS / PROCS).write_text("0", encoding="utf-8")
    return group


def unified(top: Path) -> Parents:
    """A folder of ours in a group of version 2, with the controllers handed down to it."""
    folder = top / "mechagym"
    try:
        offered = (top / "cgroup.controllers").read_text(encoding="utf-8").split()
        wanted = [controller for controller in WANTED if controller in offered]
        folder.mkdir(exist_ok=True)
        for parent in (top, folder):
            words = " ".join(f"+{controller}" for controller in wanted)
            (parent / "cgroup.subtree_control").write_text(words, encoding="utf-8")
    except OSError:
        return {}
    return dict.fromkeys([*wanted, "freezer"], folder) if wanted else {}


def _write(path: Path, value: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, value.encode())
    finally:
        os.close(descriptor)


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
