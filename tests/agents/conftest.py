"""The boxes of `tests.actors`."""

from collections.abc import AsyncIterator

import pytest

from mechagym.sandbox.base import Box
from tests.actors import box, open_box, quick_box

__all__ = ["box", "quick_box"]


@pytest.fixture
async def local_box() -> AsyncIterator[Box]:
    """A box of the local backend alone."""
    async with open_box("local") as opened:
        yield opened
