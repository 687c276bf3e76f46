"""Local boxes are held to the suite of sandboxes, by lane and by fallback, and to the escapes."""

import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from mechagym.sandbox.base import Box, BoxSpec, HostRoot, NetworkPolicy
from mechagym.sandbox.local import LocalSandbox, runtime
from mechagym.sandbox.local.box import LocalBox
from mechagym.sandbox.selftest import escape_table, prove_network
from mechagym.testing.conformance.sandbox import Rig, conformance_params, param_id, perform
from tests.sandbox.local_parts import NOTHING, needs_parts

pytestmark = pytest.mark.live


async def destroy(box: Box) -> None:
    """End a box behind its back."""
    assert isinstance(box, LocalBox)
    os.kill(box.instance.pid, signal.SIGKILL)
    await box.instance.ended()


class Offline(Rig):
    """Boxes without a network, for a host on which there is no way out."""

    @property
    def spec(self) -> BoxSpec:
        """What the suite asks for, offline."""
        return replace(super().spec, network=NOTHING)


@pytest.fixture(scope="session", params=runtime.RUNTIMES)
async def rig(cache: Path, request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    needs_parts()
    if runtime.find(request.param) is None:
        pytest.skip(f"apt-get install {request.param}")
    sandbox = LocalSandbox(cache=cache, runtime=request.param)
    probe = await sandbox.probe()
    assert probe.usable, probe.reason
    rig = Rig if runtime.way_out()[0] else Offline
    yield rig(sandbox=sandbox, image=HostRoot(), destroy=destroy)
    await sandbox.aclose()


@pytest.mark.must("sandbox-1")
@pytest.mark.parametrize(("check", "way"), conformance_params(), ids=param_id)
async def test_local_conforms(rig, check, way):
    if missing := rig.missing(check):
        pytest.skip(f"local has no {', '.join(missing)}")
    await perform(rig, check, way)


@pytest.mark.must("sandbox-6")
async def test_nothing_gets_out_of_local_boxes(rig):
    lines = await escape_table(rig.sandbox, rig.image)
    assert [line for line in lines if line.result == "failed"] == []
    untested = {line.attempt for line in lines if line.result == "not tested"}
    limits = {"memory_mb", "pids", "storage_mb"} - rig.sandbox.capabilities.limits
    assert untested <= {f"past the limit {name}" for name in limits}, "declared, so nothing to hold"


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
