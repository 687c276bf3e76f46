"""What `mechagym doctor` looks at beside sandboxes: each part with what was seen and what to do."""

import platform
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mechagym import __version__
from mechagym.cli.terminal.figures import counted, size
from mechagym.config import Settings
from mechagym.errors import MechagymError

LOW_BYTES = 10_000_000_000
GIT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of this host. `lacking`: something will not work; `absent`: not needed by all."""

    name: str
    state: Literal["fine", "lacking", "absent"]
    seen: str
    remedy: str | None = None


async def parts_of(settings: Settings) -> list[Part]:
    """Look at every part; nothing is changed, but that the store is made or migrated."""
    return [
        Part(name="mechagym", state="fine", seen=f"{__version__} at {Path(__file__).parents[1]}"),
        _python(),
        _git(),
        await _store(settings),
        _tasks(settings),
        *_disks(settings),
    ]


def _python() -> Part:
    seen = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return Part(name="python", state="fine", seen=seen)


def _git() -> Part:
    try:
        done = subprocess.run(
            ["git", "--version"], capture_output=True, text=True, check=True, timeout=GIT_S
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Part(
            name="git",
            state="absent",
            seen=f"not usable: {error}",
            remedy="install git; datasets named by git+URL need it",
        )
    return Part(name="git", state="fine", seen=done.stdout.strip().removeprefix("git version "))


async def _store(settings: Settings) -> Part:
    from mechagym.store import Store

    shown = settings.store.rpartition("@")[2]  # a URL may hold a password
    try:
        async with Store.open(settings.store) as store:
            jobs = len(await store.jobs())
    except MechagymError as error:
        return Part(name="store", state="lacking", seen=error.message, remedy=error.remedy)
    return Part(name="store", state="fine", seen=f"{shown}, {counted(jobs, 'job')}")


def _tasks(settings: Settings) -> Part:
    if settings.tasks is None:
        return Part(
            name="tasks",
            state="absent",
            seen="no dataset is set for bare task names",
            remedy="set MECHAGYM_TASKS, or `tasks` in the settings file",
        )
    seen = f"{settings.tasks} (from {settings.origins['tasks']})"
    return Part(name="tasks", state="fine", seen=seen)


def _disks(settings: Settings) -> Iterator[Part]:
    """One line per file system that we write to, named by what goes there."""
    seen: dict[int, list[str]] = {}
    folders = {
        "records": settings.data_dir,
        "images": settings.cache_dir,
        "jobs": settings.jobs_dir,
    }
    for name, folder in folders.items():
        there = next(p for p in (folder, *folder.parents) if p.exists())
        seen.setdefault(there.stat().st_dev, []).append(name)
        folders[name] = there
    for names in seen.values():
        folder = folders[names[0]]
        free = shutil.disk_usage(folder).free
        low = free < LOW_BYTES
        yield Part(
            name="disk",
            state="lacking" if low else "fine",
            seen=f"{size(free)} free for {', '.join(names)} ({folder})",
            remedy="free some space: `mechagym clean --images`" if low else None,
        )
