"""The sandboxes that whole trials are run on."""

from pathlib import Path

import anyio
import pytest

from mechagym.sandbox.base import Sandbox
from tests.run.gym import Gym

LIVE = ("docker", "local")


def live_sandbox(name: str) -> Sandbox:
    """A usable backend, or a skip that says what to install."""
    sandbox: Sandbox
    if name == "docker":
        from mechagym.sandbox.docker import DockerSandbox

        sandbox = DockerSandbox()
    else:
        from mechagym.sandbox.local import LocalSandbox

        sandbox = LocalSandbox()
    probe = anyio.run(sandbox.probe)
    if not probe.usable:
        pytest.skip(f"{name}: {probe.reason}; {probe.remedy}")
    return sandbox


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.live) for name in LIVE])
def live(request: pytest.FixtureRequest) -> Sandbox:
    """A real backend."""
    return live_sandbox(request.param)


@pytest.fixture
def live_gym(live: Sandbox, tmp_path: Path) -> Gym:
    """A gym on a real backend."""
    return Gym(root=tmp_path, sandbox=live)


@pytest.fixture
def memory_gym(tmp_path: Path) -> Gym:
    """A gym in memory."""
    from mechagym.testing.memory import MemorySandbox

    return Gym(root=tmp_path, sandbox=MemorySandbox())
