"""kill -9 of a controller with eight boxes open, at random moments; two controllers at once."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from mechagym.records import new_id
from mechagym.sandbox.base import ReapScope
from mechagym.sandbox.docker import DockerSandbox
from tests.sandbox.local_parts import engine_image

pytestmark = pytest.mark.live
DRIVER = Path(__file__).parent / "docker_crash_driver.py"
KILLS, AT_LEAST, BOXES, BUDGET_S = 50, 20, 8, 240.0
KINDS = ("container", "network", "volume", "image")


@pytest.fixture(scope="module")
def image() -> str:
    return engine_image()


@pytest.fixture
async def docker() -> DockerSandbox:
    sandbox = DockerSandbox()
    probe = await sandbox.probe()
    if not probe.usable:
        pytest.skip(f"{probe.reason}: {probe.remedy}")
    return sandbox


@contextmanager
def controller(image: str, job: str, boxes: int = BOXES) -> Iterator[subprocess.Popen[bytes]]:
    argv = [sys.executable, str(DRIVER), image, job, str(boxes)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env) as one:
        assert one.stdout is not None
        try:
            assert one.stdout.readline() == b"ready\n", one.communicate()
            yield one
        finally:
            one.kill()


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


SETTLE_S = 1.0
"""The engine still makes what the dead had asked it for."""


@pytest.mark.must("sandbox-11")
@pytest.mark.timeout(400)
async def test_kill_9_at_random_moments_leaves_nothing_one_start_later(docker, image):
    began = time.monotonic()
    seen: set[str] = set()
    with bystander(image) as name:
        for number in range(KILLS):
            if number >= AT_LEAST and time.monotonic() - began > BUDGET_S:
                break
            job = f"crash-{new_id(8)}"
            with controller(image, job) as process:
                await anyio.sleep(random.uniform(0.05, 2.5))
                seen |= {thing.split()[0] for thing in things(f"mechagym.job={job}")}
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
            await anyio.sleep(SETTLE_S)
            await DockerSandbox().reap(ReapScope())
            assert things(f"mechagym.job={job}") == [], f"after kill {number}"
        assert {"container", "image"} <= seen  # the image is the fork's
        assert name in run("docker", "container", "ls", "-a", "--format", "{{.Names}}")
        assert name in run("docker", "network", "ls", "--format", "{{.Name}}")
        assert name in run("docker", "volume", "ls", "--format", "{{.Name}}")


@pytest.mark.must("sandbox-12")
async def test_two_controllers_do_not_reap_each_other(docker, image):
    mine, theirs = f"mine-{new_id(8)}", f"theirs-{new_id(8)}"
    with controller(image, mine, 2) as one, controller(image, theirs, 2) as two:
        with anyio.fail_after(30):
            while not (things(f"mechagym.job={mine}") and things(f"mechagym.job={theirs}")):
                await anyio.sleep(0.2)
        for _ in range(5):
            removed = await docker.reap(ReapScope())
            assert not [r for r in removed if mine in r.owner or theirs in r.owner]
            await anyio.sleep(0.2)
        assert one.poll() is None, one.communicate()
        assert two.poll() is None, two.communicate()
        assert things(f"mechagym.job={theirs}")
    await docker.reap(ReapScope())
    assert things(f"mechagym.job={mine}") == things(f"mechagym.job={theirs}") == []
