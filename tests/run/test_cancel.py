"""A cancel at any moment of a box's start ends it within seconds and leaves nothing behind."""

import anyio
import pytest

from mechagym.records import new_id
from mechagym.sandbox.base import (
    BoxSpec,
    Labels,
    NetworkPolicy,
    ReapScope,
    RegistryImage,
    Sandbox,
)


@pytest.mark.parametrize("network", ["no-network", "public"])
async def test_a_start_can_be_cancelled_at_any_moment(live: Sandbox, network):
    labels = Labels(job_id=new_id())
    spec = BoxSpec(
        image=RegistryImage(reference="debian:bookworm-slim"),
        network=NetworkPolicy(mode=network),
        labels=labels,
    )
    if network not in live.capabilities.networks:
        pytest.skip(f"{live.name} offers no {network} network here")
    for delay_ms in (1, 5, 10, 20, 30, 40, 60, 80, 120, 200, 300):
        with anyio.fail_after(30), anyio.move_on_after(delay_ms / 1000):
            async with live.open(spec):
                await anyio.sleep_forever()
    assert await live.reap(ReapScope(job_id=labels.job_id, dry_run=True)) == []
