"""What the tests of the local backend share: sandboxes over one cache, and images where there is an
engine.
"""

import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from mechagym.sandbox.base import BoxSpec, HostRoot, Limits, NetworkPolicy
from mechagym.sandbox.local import runtime
from mechagym.sandbox.local.box import LocalBox

NOTHING = NetworkPolicy(mode="no-network")
IMAGES = ("debian:bookworm-slim", "debian:bookworm-slim")


def needs_parts() -> None:
    """Skip, saying what to install, where no box can be had at all."""
    if not runtime.runtimes() or runtime.static_init() is None:
        pytest.skip("apt-get install runc tini uidmap")


def engine_image() -> str:
    """An image that a Docker engine of this host has."""
    if shutil.which("docker"):
        for name in IMAGES:
            argv = ["docker", "image", "inspect", name]
            if subprocess.run(argv, capture_output=True, check=False).returncode == 0:
                return name
    pytest.skip(f"needs a Docker engine with one of {', '.join(IMAGES)}: scripts/install-parts")


def host_spec(**changes: object) -> BoxSpec:
    """A box on the host's own root, without network."""
    return BoxSpec(**{"image": HostRoot(), "network": NOTHING, **changes})  # type: ignore[arg-type]


def limited(**limits: float | None) -> BoxSpec:
    """A box with limits."""
    return host_spec(limits=Limits(**limits))  # type: ignore[arg-type]


async def text(box: LocalBox, script: str) -> str:
    """Run shell text and return what it prints; fail the test where it fails."""
    result = await box.exec(["sh", "-c", script])
    assert result.exit_code == 0, (script, result)
    return result.text


def folders(cache: Path) -> set[str]:
    """The boxes that stand on disk."""
    return {path.name for path in (cache / "boxes").iterdir()}


def loops(cache: Path) -> list[str]:
    """The loop devices over files of a cache, whether these have a name or not."""
    found = []
    for file in Path("/sys/block").glob("loop*/loop/backing_file"):
        with suppress(OSError):  # it went meanwhile
            found += [file.parts[3]] if str(cache) in file.read_text() else []
    return found
