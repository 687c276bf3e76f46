"""The memory box is held to the same suite as the real ones."""

import pytest

from mechagym.sandbox.base import Box, RegistryImage
from mechagym.testing.conformance.sandbox import (
    SUITE,
    Rig,
    conformance_params,
    param_id,
    perform,
)
from mechagym.testing.memory import MemoryBox, MemorySandbox


async def destroy(box: Box) -> None:
    assert isinstance(box, MemoryBox)
    box.die()


RIG = Rig(
    sandbox=MemorySandbox(),
    image=RegistryImage(reference="empty"),
    destroy=destroy,
    lacks=frozenset({"devices"}),  # no fifos, no set-id bits in its tree
)


def test_the_suite_is_large_enough_and_names_are_unique():
    assert len(SUITE) >= 40
    assert len({check.name for check in SUITE}) == len(SUITE)
    assert {check.section for check in SUITE} == {1, 3, 6}


@pytest.mark.parametrize(("check", "way"), conformance_params(), ids=param_id)
async def test_memory_conforms(check, way):
    if missing := RIG.missing(check):
        pytest.skip(f"memory has no {', '.join(missing)}")
    await perform(RIG, check, way)
