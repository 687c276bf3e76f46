"""The image cache of the local backend: a budget, least recently used first, never what is used."""

import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from mechagym.sandbox.base import BoxSpec, HostRoot, Image, ReapScope
from mechagym.sandbox.local import LocalSandbox, shelf
from tests.sandbox.local_parts import NOTHING, host_spec, needs_parts, text

pytestmark = pytest.mark.live
MB = 1_000_000
EVERYTHING = ReapScope(images=True)
IN_USE = """
import anyio, sys
from pathlib import Path
from mechagym.sandbox.base import BoxSpec, HostRoot, NetworkPolicy
from mechagym.sandbox.local import LocalSandbox

async def main(cache, context, digest):
    image = HostRoot(context=Path(context), digest=digest)
    sandbox = LocalSandbox(cache=Path(cache))
    async with sandbox.open(BoxSpec(image=image, network=NetworkPolicy(mode="no-network"))) as box:
        print("used", flush=True)
        await anyio.to_thread.run_sync(sys.stdin.readline)
        async with box.fork() as fork:
            print((await fork.exec(["stat", "-c", "%s", "/data"])).text.strip(), flush=True)
    await sandbox.aclose()

anyio.run(main, *sys.argv[1:])
"""
MAKER = """
import anyio, sys
from pathlib import Path
from mechagym.sandbox.base import BuildImage, HostRoot
from mechagym.sandbox.local import LocalSandbox

async def main(cache, keep, *contexts):
    sandbox = LocalSandbox(cache=Path(cache), keep_bytes=int(keep))
    for number in range(6):
        for context in contexts:
            image = HostRoot(context=Path(context), digest=context)
            async with sandbox._using(image, lambda _: None) as rootfs:
                for layer in rootfs.layers:
                    assert (Path(cache) / layer).is_dir(), layer
    await sandbox.aclose()

anyio.run(main, *sys.argv[1:])
"""


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    needs_parts()
    return tmp_path / "cache"


@pytest.fixture
async def sandbox(cache: Path) -> AsyncIterator[LocalSandbox]:
    sandbox = LocalSandbox(cache=cache)
    yield sandbox
    await sandbox.aclose()


def image_of(folder: Path, size_mb: int = 4) -> HostRoot:
    """An image over the host's root with some data of its own."""
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM anything\nCOPY data /data\n")
    (folder / "data").write_bytes(os.urandom(size_mb * MB))
    return HostRoot(context=folder, digest=str(folder))


def names(cache: Path) -> set[str]:
    """The images that are there, by the last word of their name."""
    records = (json.loads(path.read_text()) for path in (cache / "images").glob("*.json"))
    return {record["name"].rpartition("/")[2] for record in records}


def last_used(cache: Path, name: str, *, seconds_ago: float) -> None:
    for path in (cache / "images").glob("*.json"):
        if json.loads(path.read_text())["name"].endswith(name):
            then = time.time() - seconds_ago
            os.utime(path, (then, then))


def spec(image: Image) -> BoxSpec:
    return BoxSpec(image=image, network=NOTHING)


def host_bytes(cache: Path) -> int:
    """What the host's own layer takes, on which all images here stand."""
    return max(int(path.read_text()) for path in (cache / "layers").glob("*/bytes"))


async def test_what_is_made_makes_room_for_itself_and_no_more(sandbox, cache, tmp_path):
    async with sandbox.open(host_spec()):
        pass
    await sandbox.reap(ReapScope(images=True, dry_run=True))
    small = LocalSandbox(cache=cache, keep_bytes=host_bytes(cache) + 10 * MB)
    try:
        for name, age in (("a", 300), ("b", 100), ("c", 200)):
            await small.prepare(image_of(tmp_path / name), lambda _: None)
            last_used(cache, name, seconds_ago=age)
        assert names(cache) >= {"b", "c"}
        assert "a" not in names(cache)
        await small.prepare(image_of(tmp_path / "d"), lambda _: None)
        assert names(cache) >= {"b", "d"}
        assert "c" not in names(cache)
        recorded = {
            layer
            for path in (cache / "images").glob("*.json")
            for layer in json.loads(path.read_text())["layers"]
        }
        assert {f"layers/{path.name}" for path in (cache / "layers").iterdir()} == recorded
        async with small.open(spec(HostRoot(context=tmp_path / "a", digest=str(tmp_path / "a")))):
            pass  # it is made again
    finally:
        await small.aclose()


async def test_what_somebody_uses_is_never_evicted(sandbox, cache, tmp_path):
    mine, theirs, idle = (image_of(tmp_path / name) for name in ("mine", "theirs", "idle"))
    for image in (mine, theirs, idle):
        await sandbox.prepare(image, lambda _: None)
        last_used(cache, image.digest, seconds_ago=900)
    with used_elsewhere(cache, theirs) as process:
        async with sandbox.open(spec(mine)) as box:
            gone = await sandbox.reap(EVERYTHING)
            assert {r.name.rpartition("/")[2] for r in gone} == {"the host's own root", "idle"}
            assert await text(box, "stat -c %s /data") == f"{4 * MB}\n"
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"go on\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"%d\n" % (4 * MB)
        process.wait()
    await sandbox.reap(EVERYTHING)
    assert names(cache) == set()
    assert list((cache / "layers").iterdir()) == []


@contextmanager
def used_elsewhere(cache: Path, image: HostRoot) -> Iterator[subprocess.Popen[bytes]]:
    argv = [sys.executable, "-c", IN_USE, str(cache), str(image.context), image.digest]
    with started(argv) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"used\n"
        yield process


@contextmanager
def started(argv: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, env=env) as process:
        try:
            yield process
        finally:
            process.kill()


async def test_two_that_make_room_at_once_take_nothing_from_each_other(cache, tmp_path):
    """With room for one image only, each makes again what the other removed, and has it whole."""
    contexts = [str(image_of(tmp_path / name, 1).context) for name in ("a", "b", "c")]
    argv = [sys.executable, "-c", MAKER, str(cache), "1", *contexts]
    with started(argv) as one, started(argv) as other:
        with anyio.fail_after(120):
            while one.poll() is None or other.poll() is None:
                await anyio.sleep(0.1)
        assert (one.returncode, other.returncode) == (0, 0)


async def test_what_would_go_is_told_with_its_size_and_stays(sandbox, cache, tmp_path):
    for name in ("old", "new"):
        await sandbox.prepare(image_of(tmp_path / name), lambda _: None)
    last_used(cache, "old", seconds_ago=8 * 86_400)
    week = ReapScope(images=True, older_than_s=7 * 86_400, dry_run=True)
    (old,) = await sandbox.reap(week)
    assert old.name == f"build of {tmp_path / 'old'}"
    assert old.size_bytes is not None
    assert 4 * MB <= old.size_bytes < 5 * MB
    assert names(cache) >= {"old", "new"}
    fitting = ReapScope(images=True, keep_bytes=host_bytes(cache) + 9 * MB)
    assert await sandbox.reap(fitting) == []


async def test_while_an_image_is_made_nothing_goes_and_nothing_half_made_is_taken(sandbox, cache):
    await sandbox.prepare(HostRoot(), lambda _: None)
    half = cache / "layers" / "new-of-somebody"
    (half / "0").mkdir(parents=True)
    (cache / "pulls" / "cut-off").mkdir(parents=True)
    plant = await sandbox.plant()
    if os.getuid() == 0:
        for path in (half, half / "0"):
            os.chown(path, plant.keeper.owner, plant.keeper.owner)
    assert sandbox._images is not None
    async with sandbox._images.cache.making("something"):
        assert await sandbox.reap(EVERYTHING) == []
        assert await shelf.trim(plant.keeper, 0) == []
    assert half.is_dir()
    removed = await sandbox.reap(ReapScope())
    assert {Path(r.name).name for r in removed} == {"new-of-somebody", "cut-off"}
    assert not half.exists()
    assert list((cache / "pulls").iterdir()) == []
    assert len(list((cache / "images").iterdir())) == 1


async def test_a_build_keeps_what_it_stands_on(sandbox, cache, tmp_path):
    folder = tmp_path / "slow"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM anything\nRUN sleep 1 && echo made >/made\n")
    image = HostRoot(context=folder, digest="slow")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sandbox.prepare, image, lambda _: None)
        for _ in range(8):
            await anyio.sleep(0.15)
            await sandbox.reap(EVERYTHING)
    async with sandbox.open(spec(image)) as box:
        assert await text(box, "cat /made") == "made\n"
