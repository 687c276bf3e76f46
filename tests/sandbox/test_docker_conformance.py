"""Docker is held to the suite of sandboxes, by its lanes and by its fallback, and to the escapes."""

from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest

from mechagym.sandbox.base import Box, NetworkPolicy, RegistryImage
from mechagym.sandbox.docker import DockerSandbox
from mechagym.sandbox.selftest import escape_table, prove_network
from mechagym.testing.conformance.sandbox import Rig, conformance_params, param_id, perform
from tests.sandbox.local_parts import engine_image

pytestmark = pytest.mark.live


async def destroy(box: Box) -> None:
    """End a box behind its back."""
    transport = httpx.AsyncHTTPTransport(uds="/var/run/docker.sock")
    async with httpx.AsyncClient(transport=transport, base_url="http://docker") as engine:
        (await engine.post(f"/containers/{box.info.container_id}/kill")).raise_for_status()


@pytest.fixture(scope="session")
async def rig() -> AsyncIterator[Rig]:
    sandbox = DockerSandbox()
    probe = await sandbox.probe()
    if not probe.usable:
        pytest.skip(f"{probe.reason}: {probe.remedy}")
    yield Rig(sandbox=sandbox, image=RegistryImage(reference=engine_image()), destroy=destroy)


@pytest.mark.must("sandbox-1")
@pytest.mark.parametrize(("check", "way"), conformance_params(), ids=param_id)
async def test_docker_conforms(rig, check, way):
    if missing := rig.missing(check):
        pytest.skip(f"docker has no {', '.join(missing)}")
    await perform(rig, check, way)


@pytest.mark.must("sandbox-6")
async def test_nothing_gets_out_of_docker(rig):
    lines = await escape_table(rig.sandbox, rig.image)
    assert [line for line in lines if line.result == "failed"] == []
    untested = {line.attempt for line in lines if line.result == "not tested"}
    assert untested <= {"past the limit storage_mb"}


@pytest.mark.must("sandbox-8")
@pytest.mark.parametrize(
    "policy",
    [
        NetworkPolicy(mode="no-network"),
        NetworkPolicy(mode="allowlist", allowed_hosts=("example.com", "192.0.2.77:8080")),
    ],
    ids=lambda policy: policy.mode,
)
async def test_the_network_policy_is_proved_from_inside(rig, policy):
    async with rig.sandbox.open(replace(rig.spec, network=policy)) as box:
        proofs = await prove_network(box, policy)
    assert [proof for proof in proofs if not proof.held] == []
    assert not [proof for proof in proofs if "not tested" in proof.detail]
    assert any("a port of the host" in proof.probe for proof in proofs)
