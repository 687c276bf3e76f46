"""A box of each kind."""

from collections.abc import AsyncIterator

import pytest

from mechagym.sandbox.base import Box
from tests.actors import BOXES, QUICK_BOXES, open_box


@pytest.fixture(params=BOXES)
async def box(request: pytest.FixtureRequest) -> AsyncIterator[Box]:
    """A box; it closes with the test."""
    async with open_box(request.param) as opened:
        yield opened


@pytest.fixture(params=QUICK_BOXES)
async def quick_box(request: pytest.FixtureRequest) -> AsyncIterator[Box]:
    """A box of the backends that open one at once, for what does not depend on the backend."""
    async with open_box(request.param) as opened:
        yield opened
