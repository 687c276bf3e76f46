"""A file that only its owner may read, shown to a box: the box's root reads it, and nobody else."""

from pathlib import Path

import pytest

from mechagym.sandbox.base import Box, ExecOptions, Mount, RegistryImage
from mechagym.sandbox.docker import DockerSandbox
from mechagym.sandbox.local import LocalSandbox
from tests.sandbox.local_parts import NOTHING, host_spec, needs_parts

SECRET = "planted-0123456789"
IN_BOX = "/root/.tool/secret"

pytestmark = pytest.mark.live


@pytest.fixture
def mount(tmp_path: Path) -> Mount:
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    file = folder / "secret"
    file.touch(0o600)
    file.write_text(SECRET, encoding="utf-8")
    return Mount(source=file, target=IN_BOX, private=True)


async def holds(box: Box, mount: Mount) -> None:
    assert (await box.exec(["cat", IN_BOX])).text == SECRET
    nobody = ExecOptions(user="nobody", cwd="/")
    assert not (await box.exec(["cat", IN_BOX], nobody)).ok
    for attempt in (f"echo x >>{IN_BOX}", f"rm -f {IN_BOX}", f"chmod 644 {IN_BOX}"):
        assert not (await box.exec(["sh", "-c", attempt])).ok, attempt
    assert (await box.exec(["touch", "/root/.tool/beside"])).ok
    assert mount.source.stat().st_mode & 0o777 == 0o600
    async with box.fork() as fork:
        assert (await fork.exec(["cat", IN_BOX])).text == SECRET


async def test_in_a_local_box(tmp_path: Path, mount: Mount):
    needs_parts()
    sandbox = LocalSandbox(cache=tmp_path / "cache")
    probe = await sandbox.probe()
    if not probe.usable:
        pytest.skip(f"{probe.reason}: {probe.remedy}")
    try:
        async with sandbox.open(host_spec(mounts=(mount,))) as box:
            await holds(box, mount)
    finally:
        await sandbox.aclose()


async def test_in_a_docker_box(tmp_path: Path, mount: Mount):
    sandbox = DockerSandbox(cache=tmp_path / "cache")
    probe = await sandbox.probe()
    if not probe.usable:
        pytest.skip(f"{probe.reason}: {probe.remedy}")
    image = RegistryImage(reference="debian:bookworm-slim")
    async with sandbox.open(host_spec(image=image, network=NOTHING, mounts=(mount,))) as box:
        await holds(box, mount)
