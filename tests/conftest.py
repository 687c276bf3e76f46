"""What all tests share."""

import pytest
from hypothesis import settings

settings.register_profile("house", deadline=None)  # no test asserts wall time
settings.load_profile("house")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
