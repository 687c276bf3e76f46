"""What a dead controller leaves goes at the next start; a live one's is not touched."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from mechagym.sandbox.base import ReapScope
from mechagym.sandbox.local import LocalSandbox, bundle, cgroups
from tests.sandbox.local_parts import folders, host_spec, needs_parts, text

pytestmark = [pytest.mark.live, pytest.mark.alone]
DRIVER = Path(__file__).parent / "local_crash_driver.py"
ROUNDS, BOXES = 6, 3


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs_parts()
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
async def sandbox(cache: Path) -> AsyncIterator[LocalSandbox]:
    sandbox = LocalSandbox(cache=cache)
    yield sandbox
    await sandbox.aclose()


@contextmanager
def controller(cache: Path) -> Iterator[subprocess.Popen[bytes]]:
    argv = [sys.executable, str(DRIVER), str(cache), str(BOXES)]
    env = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=env) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            yield process
        finally:
            process.kill()


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


@pytest.mark.must("sandbox-11")
async def test_kill_9_of_the_controller_leaves_nothing(sandbox, cache):
    for _ in range(ROUNDS):
        with controller(cache) as process:
            time.sleep(random.uniform(0, 1.2))
            process.send_signal(signal.SIGSTOP)
            boxes = folders(cache)
            process.send_signal(signal.SIGKILL)
            process.wait()
        await until_keepers(cache, 0)
        await sandbox.reap(ReapScope())
        assert folders(cache) == set()
        await until_no_inits(cache)
        assert not groups(boxes)
    async with sandbox.open(host_spec()) as box:
        assert await text(box, "echo well") == "well\n"


@pytest.mark.must("sandbox-11")
async def test_when_the_keeper_is_killed_too_the_reaper_removes_what_is_left(sandbox, cache):
    async with sandbox.open(host_spec()) as mine:
        kept = folders(cache)
        with controller(cache) as process:
            await stop_amid_boxes(process, cache, kept)
            keepers = set(of_keepers(cache)) - {sandbox._plant.keeper.pid}
            for pid in keepers:
                os.kill(pid, signal.SIGKILL)
            process.kill()
            process.wait()
        left = folders(cache) - kept
        assert left
        time.sleep(2.5)  # what has no owner's note yet is taken for half made until then
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
    with controller(cache) as process:
        await sandbox.plant()
        await stop_amid_boxes(process, cache, set())
        for _ in range(5):
            assert await sandbox.reap(ReapScope()) == []
        process.send_signal(signal.SIGCONT)
        for _ in range(10):
            assert await sandbox.reap(ReapScope()) == []
            time.sleep(0.05)
        assert process.poll() is None
    await until_keepers(cache, 1)
    await sandbox.reap(ReapScope())
    assert folders(cache) == set()


@pytest.mark.must("sandbox-17")
async def test_boxes_in_a_row_leave_nothing_growing(sandbox, cache):
    seen: set[str] = set()

    async def some(count: int) -> None:
        for _ in range(count):
            async with sandbox.open(host_spec()) as box:
                await box.exec(["true"])
                seen.add(box.info.box_id)

    def state() -> tuple[int, int, int, int]:
        keeper = sandbox._plant.keeper.pid
        return (
            len(list(Path("/proc/self/fd").iterdir())),
            _mounts("self", cache),
            _mounts(keeper, cache),
            len(list(Path(f"/proc/{keeper}/fd").iterdir())),
        )

    rounds = int(os.environ.get("MECHAGYM_TEST_BOXES", "30"))
    await some(3)
    before, memory = state(), _rss_kb()
    await some(rounds)
    with anyio.move_on_after(10):  # the keeper closes after it has answered
        while state() != before:
            await anyio.sleep(0.05)
    assert state() == before
    assert groups(seen) == set()
    assert folders(cache) == set()
    assert _rss_kb() - memory < 4096
    assert _rss_kb(sandbox._plant.keeper.pid) < 40_000


def _mounts(pid: int | str, cache: Path) -> int:
    """Mounts of ours that a process sees."""
    lines = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    return sum("overlay" in line and ("boxes/" in line or cache.name in line) for line in lines)


def _rss_kb(pid: int | str = "self") -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    raise AssertionError(pid)
