"""What a dead controller leaves goes at the next start; a live one's is not touched."""

import json
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from mechagym.sandbox.base import Labels, ReapScope
from mechagym.sandbox.local import bundle, cgroups
from mechagym.sandbox.owner import owner_labels
from tests.sandbox.crash import controllers, is_alive
from tests.sandbox.local_parts import folders, host_spec, text

pytestmark = [pytest.mark.live, pytest.mark.alone]
DRIVER = Path(__file__).parent / "local_crash_driver.py"
KILLS, BOXES = 50, 8
ROUNDS, AT_ONCE = 1_000, 4
FOLDERS = ("boxes", "layers", "images", "locks")


def inits(cache: Path) -> set[int]:
    """The first processes of boxes that a driver opened on this cache."""
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if not (path / "cmdline").read_bytes().startswith(bundle.INIT.encode() + b"\0"):
                continue
            if f"MARK={cache}".encode() in (path / "environ").read_bytes().split(b"\0"):
                found.add(int(path.name))
        except OSError:
            continue
    return found


async def until_no_inits(cache: Path) -> None:
    """A box whose start was cut off ends by its own end of file, a moment later."""
    with anyio.fail_after(30):
        while inits(cache):
            await anyio.sleep(0.05)


def of_keepers(cache: Path) -> list[int]:
    """Keepers whose room is this cache."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"mechagym.sandbox.local.keeper" in words and str(cache).encode() in words:
            found.append(int(path.name))
    return found


def groups(boxes: set[str]) -> set[Path]:
    """Control groups of these boxes."""
    places = [
        parent / f"{cgroups.NAME}{box}" for parent in cgroups.parents().values() for box in boxes
    ]
    return {path for path in places if path.is_dir()}


async def until_keepers(cache: Path, count: int) -> None:
    """Keepers outlive their controllers by the moment they need to clean up."""
    with anyio.fail_after(60):
        while len(of_keepers(cache)) > count:
            await anyio.sleep(0.05)


async def stop_amid_boxes(process: subprocess.Popen[bytes], cache: Path, kept: set[str]) -> None:
    """Stop a controller at a moment when boxes of its own stand, besides those kept."""
    with anyio.fail_after(60):
        while True:
            process.send_signal(signal.SIGSTOP)
            if len(folders(cache) - kept) > 1:
                return
            process.send_signal(signal.SIGCONT)
            await anyio.sleep(0.02)


@contextmanager
def bystanders(cache: Path, tmp_path: Path) -> Iterator[None]:
    """Somebody else's mount, groups, process, and a box of a controller that lives; all stay."""
    mount, folder = tmp_path / "mount", cache / "boxes" / "of-another"
    mount.mkdir()
    folder.mkdir()
    (folder / "owner.json").write_text(json.dumps(owner_labels(Labels(job_id="another"))))
    theirs = [parent / "of-another" for parent in set(cgroups.parents().values())]
    for group in theirs:
        group.mkdir()
    if os.getuid() == 0:
        subprocess.run(["mount", "-t", "tmpfs", "none", mount], check=True)
        (mount / "file").write_text("theirs")
    with subprocess.Popen(["sleep", "600"]) as process:
        try:
            yield
            assert os.getuid() != 0 or (mount / "file").read_text() == "theirs"
            assert process.poll() is None
            assert all(group.is_dir() for group in theirs)
            assert (folder / "owner.json").is_file()
        finally:
            process.kill()
            shutil.rmtree(folder)
            for group in theirs:
                group.rmdir()
            if os.getuid() == 0:
                subprocess.run(["umount", mount], check=True)


@pytest.mark.must("sandbox-11")
@pytest.mark.timeout(400)
async def test_kill_9_of_the_controller_leaves_nothing(sandbox, cache, tmp_path):
    await sandbox.prepare(host_spec().image, lambda _: None)
    most = 0
    with bystanders(cache, tmp_path), controllers(DRIVER) as some:
        for number in range(KILLS):
            with some.one(str(cache), BOXES) as pid:
                await anyio.sleep(random.uniform(0, 0.8))
                os.kill(pid, signal.SIGSTOP)
                boxes = folders(cache) - {"of-another"}
                os.kill(pid, signal.SIGKILL)
            most = max(most, len(boxes))
            await until_keepers(cache, 1)
            await sandbox.reap(ReapScope())
            assert folders(cache) == {"of-another"}, f"after kill {number}"
            await until_no_inits(cache)
            assert not groups(boxes)
    assert most >= BOXES
    async with sandbox.open(host_spec()) as box:
        assert await text(box, "echo well") == "well\n"


@pytest.mark.must("sandbox-11")
async def test_when_the_keeper_is_killed_too_the_reaper_removes_what_is_left(sandbox, cache):
    async with sandbox.open(host_spec()) as mine:
        kept = folders(cache)
        with controllers(DRIVER) as some, some.one(str(cache), BOXES) as pid:
            await anyio.sleep(random.uniform(0.3, 1.0))
            keepers = set(of_keepers(cache)) - {sandbox._plant.keeper.pid}
            os.kill(pid, signal.SIGSTOP)
            for keeper in keepers:
                os.kill(keeper, signal.SIGKILL)
            os.kill(pid, signal.SIGKILL)
        left = folders(cache) - kept
        assert left
        await anyio.sleep(2.5)  # what has no owner's note yet is taken for half made until then
        dry = await sandbox.reap(ReapScope(dry_run=True))
        assert {Path(r.name).name for r in dry if r.what == "folder"} == left
        assert folders(cache) == left | kept
        removed = await sandbox.reap(ReapScope())
        assert {r.what for r in removed} >= {"folder"}
        assert all("crash, pid" in r.owner or "no job" in r.owner for r in removed)
        assert folders(cache) == kept
        assert await sandbox.reap(ReapScope()) == []
        assert await text(mine, "echo alive") == "alive\n"
    await until_no_inits(cache)
    assert not groups(left)


@pytest.mark.must("sandbox-12")
async def test_two_controllers_do_not_reap_each_other(sandbox, cache):
    with controllers(DRIVER) as some, some.one(str(cache), 3) as pid:
        await anyio.sleep(0.5)
        await sandbox.plant()
        for _ in range(10):
            assert await sandbox.reap(ReapScope()) == []
            await anyio.sleep(0.05)
        assert is_alive(pid)
        assert folders(cache)
    await until_keepers(cache, 1)
    await sandbox.reap(ReapScope())
    assert folders(cache) == set()


@dataclass(frozen=True)
class State:
    """What may not grow, in this process, in the keeper and on the disk."""

    files: int
    mounts: int
    keepers_files: int
    keepers_mounts: int
    folders: int


@pytest.mark.must("sandbox-17")
@pytest.mark.timeout(600)
async def test_a_thousand_boxes_leave_nothing_growing(sandbox, cache):
    seen: set[str] = set()

    async def some(count: int) -> None:
        for _ in range(count):
            async with sandbox.open(host_spec()) as box:
                await box.exec(["true"])
                seen.add(box.info.box_id)

    async def at_once(count: int) -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(AT_ONCE):
                tasks.start_soon(some, count // AT_ONCE)

    def state() -> State:
        keeper = sandbox._plant.keeper.pid
        return State(
            files=len(list(Path("/proc/self/fd").iterdir())),
            mounts=_mounts("self", cache),
            keepers_files=len(list(Path(f"/proc/{keeper}/fd").iterdir())),
            keepers_mounts=_mounts(keeper, cache),
            folders=sum(len(list((cache / name).iterdir())) for name in FOLDERS),
        )

    await at_once(ROUNDS // 10)
    before, memory, keepers = state(), _rss_kb(), _rss_kb(sandbox._plant.keeper.pid)
    await at_once(ROUNDS - ROUNDS // 10)
    assert len(seen) == ROUNDS
    assert state() == before
    assert groups(seen) == set()
    assert folders(cache) == set()
    assert _rss_kb() - memory < 4096
    assert _rss_kb(sandbox._plant.keeper.pid) - keepers < 2048


def _mounts(pid: int | str, cache: Path) -> int:
    """Mounts of ours that a process sees."""
    lines = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    return sum("overlay" in line and ("boxes/" in line or cache.name in line) for line in lines)


def _rss_kb(pid: int | str = "self") -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    raise AssertionError(pid)
