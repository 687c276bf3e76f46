"""A box of each kind."""

from collections.abc import AsyncIterator

import pytest

from mechagym.sandbox.base import Box
from tests.actors import BOXES, open_box


@pytest.fixture(params=BOXES)
async def box(request: pytest.FixtureRequest) -> AsyncIterator[Box]:
    """A box; it closes with the test."""
    async with open_box(request.param) as opened:
        yield opened
