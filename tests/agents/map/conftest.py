"""A box in memory, for what does not depend on the backend."""

from collections.abc import AsyncIterator

import pytest

from mechagym.sandbox.base import Box
from tests.actors import open_box


@pytest.fixture
async def mini() -> AsyncIterator[Box]:
    """A memory box with the working directory /app."""
    async with open_box("memory") as opened:
        yield opened
