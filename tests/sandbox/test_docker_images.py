"""The images that we made on an engine: a budget, least recently used first, never what is used."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from mechagym.sandbox.base import BoxSpec, BuildImage, NetworkPolicy, ReapScope
from mechagym.sandbox.docker import DockerSandbox
from mechagym.sandbox.docker.images import reference_of
from tests.sandbox.local_parts import engine_image

pytestmark = pytest.mark.live
NO_NETWORK = NetworkPolicy(mode="no-network")
MB = 1_000_000
IN_USE = """
import anyio, sys
from pathlib import Path
from mechagym.sandbox.base import BoxSpec, BuildImage, NetworkPolicy
from mechagym.sandbox.docker import DockerSandbox

async def main(cache, context, digest):
    image = BuildImage(context=Path(context), digest=digest)
    sandbox = DockerSandbox(cache=Path(cache))
    async with sandbox._images.using(image, lambda _: None):
        print("used", flush=True)
        await anyio.to_thread.run_sync(sys.stdin.read)

anyio.run(main, *sys.argv[1:])
"""


def image_of(folder: Path, size_mb: int) -> BuildImage:
    folder.mkdir()
    (folder / "Dockerfile").write_text(f"FROM {engine_image()}\nCOPY data /data\n")
    (folder / "data").write_bytes(os.urandom(size_mb * MB))
    return BuildImage(context=folder, digest=os.urandom(16).hex())


def exists(image: BuildImage) -> bool:
    argv = ["docker", "image", "inspect", reference_of(image)]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def last_used(sandbox: DockerSandbox, image: BuildImage, *, seconds_ago: float) -> None:
    then = time.time() - seconds_ago
    os.utime(sandbox._images.shelf._path(reference_of(image)), (then, then))


@contextmanager
def used_elsewhere(cache: Path, image: BuildImage) -> Iterator[None]:
    """Another process that has the image at hand and has not made its container yet."""
    argv = [sys.executable, "-c", IN_USE, str(cache), str(image.context), image.digest]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, env=env) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"used\n"
        try:
            yield
        finally:
            process.stdin.close()


@pytest.fixture
def made(tmp_path: Path) -> Iterator[list[BuildImage]]:
    images = [image_of(tmp_path / str(number), 4) for number in range(4)]
    yield images
    argv = ["docker", "rmi", "-f", *map(reference_of, images)]
    subprocess.run(argv, capture_output=True, check=False)


async def test_what_is_made_makes_room_for_itself_and_no_more(made, tmp_path):
    """Sizes are what a removal gives back: the base that all four share counts for none."""
    sandbox = DockerSandbox(cache=tmp_path / "cache", keep_bytes=10 * MB)
    for age, image in zip((300, 100, 200), made, strict=False):
        await sandbox.prepare(image, lambda _: None)
        last_used(sandbox, image, seconds_ago=age)
    assert [exists(image) for image in made] == [False, True, True, False]
    await sandbox.prepare(made[3], lambda _: None)
    assert [exists(image) for image in made] == [False, True, False, True]


async def test_what_somebody_uses_is_never_evicted(made, tmp_path):
    cache = tmp_path / "cache"
    sandbox = DockerSandbox(cache=cache)
    by_us, elsewhere, stood_on, idle = made
    for image in made:
        await sandbox.prepare(image, lambda _: None)
    name = reference_of(stood_on)[-12:]
    run = ["docker", "create", "--name", name, reference_of(stood_on), "true"]
    subprocess.run(run, check=True, capture_output=True)
    everything = ReapScope(images=True)
    try:
        with used_elsewhere(cache, elsewhere):
            async with sandbox.open(BoxSpec(image=by_us, network=NO_NETWORK)) as box:
                gone = await sandbox.reap(everything)
                assert (await box.exec(["test", "-s", "/data"])).ok
    finally:
        subprocess.run(["docker", "rm", name], check=True, capture_output=True)
    assert [removed.name for removed in gone if removed.what == "image"] == [reference_of(idle)]
    assert [exists(image) for image in made] == [True, True, True, False]
    left = {r.name for r in await sandbox.reap(everything) if r.what == "image"}
    assert left == {reference_of(image) for image in (by_us, elsewhere, stood_on)}


async def test_what_would_go_is_told_with_its_size_and_stays(made, tmp_path):
    sandbox = DockerSandbox(cache=tmp_path / "cache")
    for image in made[:2]:
        await sandbox.prepare(image, lambda _: None)
    last_used(sandbox, made[0], seconds_ago=8 * 86_400)
    told = ReapScope(images=True, older_than_s=7 * 86_400, dry_run=True)
    (old,) = [r for r in await sandbox.reap(told) if r.what == "image"]
    assert old.name == reference_of(made[0])
    assert old.size_bytes is not None
    assert 4 * MB <= old.size_bytes < 5 * MB
    assert exists(made[0])
    fitting = ReapScope(images=True, keep_bytes=9 * MB)
    assert [r for r in await sandbox.reap(fitting) if r.what == "image"] == []


async def test_an_image_that_somebody_else_put_under_our_name_is_not_ours(made, tmp_path):
    sandbox = DockerSandbox(cache=tmp_path / "cache")
    await sandbox.prepare(made[0], lambda _: None)
    tag = ["docker", "tag", engine_image(), reference_of(made[0])]
    subprocess.run(tag, check=True, capture_output=True)
    assert [r for r in await sandbox.reap(ReapScope(images=True)) if r.what == "image"] == []
    assert exists(made[0])


async def test_several_ask_the_engine_at_once_how_full_its_disk_is(made, tmp_path):
    """The engine makes one report of its disk at a time, and refuses whoever asks meanwhile."""
    sandbox = DockerSandbox(cache=tmp_path / "cache")
    await sandbox.prepare(made[0], lambda _: None)
    told: list[str] = []

    async def ask() -> None:
        scope = ReapScope(images=True, dry_run=True)
        told.extend(r.name for r in await sandbox.reap(scope) if r.what == "image")

    async with anyio.create_task_group() as group:
        for _ in range(12):
            group.start_soon(ask)
    assert told == [reference_of(made[0])] * 12
