"""kill -9 of controllers with eight boxes open each, at random moments, while others live."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import anyio
import pytest

from mechagym.records import new_id
from mechagym.sandbox.base import BoxSpec, Labels, NetworkPolicy, ReapScope, RegistryImage
from mechagym.sandbox.docker import DockerSandbox
from tests.sandbox.crash import Controllers, controllers, is_alive
from tests.sandbox.local_parts import engine_image

pytestmark = [pytest.mark.live, pytest.mark.alone]
DRIVER = Path(__file__).parent / "docker_crash_driver.py"
KILLS, AT_LEAST, AT_ONCE, BOXES, BUDGET_S = 50, 20, 3, 8, 240.0
IN_A_ROW = 60
KINDS = ("container", "network", "volume", "image")


@pytest.fixture(scope="module")
def image() -> str:
    return engine_image()


@pytest.fixture
async def docker(tmp_path: Path) -> DockerSandbox:
    sandbox = DockerSandbox(cache=tmp_path)
    probe = await sandbox.probe()
    if not probe.usable:
        pytest.skip(f"{probe.reason}: {probe.remedy}")
    return sandbox


@contextmanager
def bystander(image: str) -> Iterator[str]:
    """A container, a network and a volume of somebody else's."""
    name = f"bystander-{new_id(8)}".lower()
    run("docker", "create", "--name", name, "--label", "mechagymlike=1", image, "true")
    run("docker", "network", "create", name)
    run("docker", "volume", "create", name)
    try:
        yield name
    finally:
        run("docker", "rm", "-f", name)
        run("docker", "network", "rm", name)
        run("docker", "volume", "rm", name)


def run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def things(label: str) -> list[str]:
    """What the engine has with this label, of every kind."""
    found = []
    for kind in KINDS:
        listing = ["docker", kind, "ls", "-q", "--filter", f"label={label}"]
        extra = ["-a"] if kind == "container" else []
        found += [f"{kind} {line}" for line in run(*listing, *extra).split()]
    return found


def killed_while_it_works(some: Controllers, *about: object, with_fork: bool) -> set[str]:
    """Kill a controller at a random moment, or when a fork's image is there; the kinds of things
    that it had.
    """
    _, _, job, _ = about
    label = f"mechagym.job={job}"
    with some.one(*about) as pid:
        time.sleep(random.uniform(0.05, 2.0))
        deadline = time.monotonic() + 30
        while (
            "image" not in (kinds := {thing.split()[0] for thing in things(label)})
            and with_fork
            and time.monotonic() < deadline
        ):
            time.sleep(0.05)
        assert is_alive(pid)
        os.kill(pid, signal.SIGKILL)
    return kinds


@pytest.mark.must("sandbox-11")
@pytest.mark.timeout(400)
async def test_kill_9_at_random_moments_leaves_nothing_one_start_later(image, tmp_path):
    """The start comes at once, while the engine still makes what the dead had asked it for."""
    began = time.monotonic()
    seen: set[str] = set()
    numbers, reaping = iter(range(KILLS)), anyio.Lock()

    async def kill_and_start_again(some: Controllers) -> None:
        for number in numbers:
            if number >= AT_LEAST and time.monotonic() - began > BUDGET_S:
                break
            job, cache = f"crash-{new_id(8)}", tmp_path / str(number)
            about = (some, str(cache), image, job, BOXES)
            kill = partial(killed_while_it_works, *about, with_fork=number % 8 == 0)
            seen.update(await anyio.to_thread.run_sync(kill))
            async with reaping:  # what another reaper is still removing would stand in the list
                await DockerSandbox(cache=cache).reap(ReapScope())
                left = await anyio.to_thread.run_sync(things, f"mechagym.job={job}")
            assert left == [], f"after kill {number}"

    with bystander(image) as name, controllers(DRIVER) as some:
        async with anyio.create_task_group() as tasks:
            for _ in range(AT_ONCE):
                tasks.start_soon(kill_and_start_again, some)
        assert {"container", "image"} <= seen  # the image is the fork's
        assert name in run("docker", "container", "ls", "-a", "--format", "{{.Names}}")
        assert name in run("docker", "network", "ls", "--format", "{{.Name}}")
        assert name in run("docker", "volume", "ls", "--format", "{{.Name}}")


@pytest.mark.must("sandbox-12")
async def test_two_controllers_do_not_reap_each_other(docker, image, tmp_path):
    mine, theirs = f"mine-{new_id(8)}", f"theirs-{new_id(8)}"
    cache = str(tmp_path)
    with (
        controllers(DRIVER) as some,
        some.one(cache, image, mine, 2) as one,
        some.one(cache, image, theirs, 2) as two,
    ):
        with anyio.fail_after(30):
            while not (things(f"mechagym.job={mine}") and things(f"mechagym.job={theirs}")):
                await anyio.sleep(0.2)
        for _ in range(5):
            removed = await docker.reap(ReapScope())
            assert not [r for r in removed if mine in r.owner or theirs in r.owner]
            await anyio.sleep(0.2)
        assert is_alive(one)
        assert is_alive(two)
        assert things(f"mechagym.job={theirs}")
    await docker.reap(ReapScope())
    assert things(f"mechagym.job={mine}") == things(f"mechagym.job={theirs}") == []


@pytest.mark.must("sandbox-17")
async def test_boxes_in_a_row_leave_nothing_growing(image, tmp_path):
    """Of the local backend there are a thousand; the engine takes a fifth of a second for each."""
    job, seen = f"row-{new_id(8)}", set()
    sandbox = DockerSandbox(cache=tmp_path)
    spec = BoxSpec(
        image=RegistryImage(reference=image),
        network=NetworkPolicy(mode="no-network"),
        labels=Labels(job_id=job),
    )

    async def some(count: int) -> None:
        for _ in range(count):
            async with sandbox.open(spec) as box:
                assert (await box.exec(["true"])).ok
                seen.add(box.info.container_id)

    async def at_once(count: int) -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(AT_ONCE):
                tasks.start_soon(some, count // AT_ONCE)

    await at_once(IN_A_ROW // 5)
    files, memory = len(list(Path("/proc/self/fd").iterdir())), rss_kb()
    await at_once(IN_A_ROW - IN_A_ROW // 5)
    assert len(seen) == IN_A_ROW
    assert len(list(Path("/proc/self/fd").iterdir())) == files
    assert rss_kb() - memory < 4096
    assert things(f"mechagym.job={job}") == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    groups = {name for _, names, _ in os.walk("/sys/fs/cgroup") for name in names}
    assert not groups & (seen | {f"docker-{one}.scope" for one in seen})


def rss_kb() -> int:
    (line,) = (x for x in Path("/proc/self/status").read_text().splitlines() if "VmRSS" in x)
    return int(line.split()[1])
