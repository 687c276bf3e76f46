"""Boxes with and without Python, on the backends that this host has."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mechagym.sandbox.base import Box, BoxSpec, BuildImage, HostRoot, NetworkPolicy
from tests.actors import sandbox_of

NOTHING = NetworkPolicy(mode="no-network")


@asynccontextmanager
async def python_box(environment: Path | None = None, *, digest: str = "") -> AsyncIterator[Box]:
    """A local box on the host's own root, which has Python; a Dockerfile's lines on top."""
    sandbox = sandbox_of("local")
    probe = await sandbox.probe()
    if not probe.usable:
        pytest.skip(f"local: {probe.reason}; {probe.remedy}")
    image = HostRoot(context=environment, digest=digest)
    await sandbox.prepare(image, lambda _: None)
    workdir = None if environment else "/app"
    async with sandbox.open(BoxSpec(image=image, workdir=workdir, network=NOTHING)) as box:
        yield box


@asynccontextmanager
async def docker_box(environment: Path, *, digest: str) -> AsyncIterator[Box]:
    """A box of Docker's from a Dockerfile."""
    sandbox = sandbox_of("docker")
    probe = await sandbox.probe()
    if not probe.usable:
        pytest.skip(f"docker: {probe.reason}; {probe.remedy}")
    image = BuildImage(context=environment, digest=digest)
    await sandbox.prepare(image, lambda _: None)
    async with sandbox.open(BoxSpec(image=image, network=NOTHING)) as box:
        yield box


async def tree_of(box: Box, *folders: str) -> str:
    """Names, modes, owners and contents below folders of a box."""
    script = (
        'for f in "$@"; do find "$f" -xdev -exec stat -c "%f %u %g %n" {} + 2>/dev/null | sort;'
        ' find "$f" -xdev -type f -exec sha256sum {} + 2>/dev/null | sort; done'
    )
    result = await box.exec(["sh", "-c", script, "sh", *folders])
    return result.text
