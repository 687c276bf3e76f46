"""The conformance suite on a real Docker engine, by lanes and by fallback."""

from pathlib import Path

import pytest

from mechagym.sandbox.base import Box, RegistryImage
from mechagym.sandbox.docker import DockerSandbox
from mechagym.testing.conformance.sandbox import Rig, conformance_params, param_id, perform
from mechagym.testing.conformance.subject import Check, Way

BASE = "debian:bookworm-slim"

pytestmark = pytest.mark.live


@pytest.fixture
async def rig(tmp_path: Path) -> Rig:
    sandbox = DockerSandbox(cache=tmp_path)
    probe = await sandbox.probe()
    if not probe.usable:
        pytest.skip(f"{probe.reason}: {probe.remedy}")
    if await sandbox._images.find(BASE) is None:
        pytest.skip(f"image {BASE} is missing: run scripts/install-parts")

    async def destroy(box: Box) -> None:
        path = f"/containers/{box.info.container_id}"
        await sandbox._engine.call("DELETE", path, params={"force": "1"})

    return Rig(sandbox=sandbox, image=RegistryImage(reference=BASE), destroy=destroy)


@pytest.mark.must("sandbox-1")
@pytest.mark.parametrize(("check", "way"), conformance_params(), ids=param_id)
async def test_conformance(rig: Rig, check: Check, way: Way):
    if missing := rig.missing(check):
        pytest.skip(f"docker lacks {', '.join(sorted(missing))}")
    await perform(rig, check, way)
