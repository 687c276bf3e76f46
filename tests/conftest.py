"""What all tests share."""

from contextlib import suppress

import pytest
from hypothesis import settings

settings.register_profile("house", deadline=None)  # no test asserts wall time
settings.load_profile("house")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow ones, so that the last worker is not left with one of them."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def outside_of_any_loop() -> None:
    """A plain test runs outside of every event loop, also while an async fixture's one waits.

    The SDKs of the model providers bring sniffio, and with it anyio takes a waiting loop of the
    same thread for a running one. Async tests get their own loop's mark back when it runs them.
    """
    with suppress(ImportError):
        import sniffio

        sniffio.current_async_library_cvar.set(None)
