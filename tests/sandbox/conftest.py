"""What the tests of local boxes begin with; the other backends' have fixtures of their own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mechagym.sandbox.local import LocalSandbox
from tests.sandbox.local_parts import folders, needs_parts


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all: the host's root is laid out once."""
    needs_parts()
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
async def sandbox(cache: Path) -> AsyncIterator[LocalSandbox]:
    """One whose boxes leave nothing on disk."""
    sandbox = LocalSandbox(cache=cache)
    yield sandbox
    await sandbox.aclose()
    assert folders(cache) == set()
