"""The real application over a real store, asked through its door; no route is called by hand."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio.from_thread
import pytest
from starlette.testclient import TestClient

from mechagym import config
from mechagym.config import Settings
from mechagym.store import Store
from mechagym.web.access import Hosts, Tokens
from mechagym.web.app import make_app
from mechagym.web.assets import Assets
from mechagym.web.desk import Desk
from mechagym.web.evidence import Folders
from mechagym.web.feed import Feed
from tests.cli.conftest import home

PORT = 8321
WRITE, READ = "w" * 43, "r" * 43
BASE = f"http://127.0.0.1:{PORT}"


@dataclass(slots=True, kw_only=True)
class Site:
    """A served store. `client` has the writing token; `run` does something in its loop."""

    client: TestClient
    stranger: TestClient
    store: Store
    settings: Settings
    desk: Desk
    run: Callable[..., Any]
    keys: Iterator[int] = field(default_factory=lambda: iter(range(10**6)))

    def get(self, path: str, **more: Any) -> Any:
        """A JSON answer that must be a success."""
        answer = self.client.get(f"/api/v1{path}", **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any, *, key: str | None = None) -> Any:
        """Ask for something, under a fresh key where none is given."""
        headers = {"Idempotency-Key": key or f"key-{next(self.keys)}"}
        return self.client.post(f"/api/v1{path}", json=body, headers=headers)


@contextmanager
def served(
    settings: Settings, *, read_only: bool = False, names: Sequence[str] = ()
) -> Iterator[Site]:
    """Open the store and put the application before it."""
    with ExitStack() as stack:
        portal = stack.enter_context(anyio.from_thread.start_blocking_portal())
        store = stack.enter_context(portal.wrap_async_context_manager(Store.open(settings.store)))
        desk = Desk(
            store=store,
            settings=settings,
            feed=Feed(store=store),
            folders=Folders(roots=(settings.jobs_dir, settings.data_dir)),
            assets=Assets.load(),
        )
        tokens = Tokens(write=WRITE, read=READ)
        app = make_app(desk, tokens, Hosts(port=PORT, allowed=names), read_only=read_only)

        def client(**headers: str) -> TestClient:
            return TestClient(
                app,
                base_url=BASE,
                headers=headers,
                raise_server_exceptions=False,
                follow_redirects=False,
            )

        def run(work: Callable[..., Awaitable[Any]], *args: Any) -> Any:
            return portal.call(work, *args)

        yield Site(
            client=client(Authorization=f"Bearer {WRITE}"),
            stranger=client(),
            store=store,
            settings=settings,
            desk=desk,
            run=run,
        )


@pytest.fixture
def settings(home: Path) -> Settings:
    """The settings of a host where nothing was set."""
    return config.load()


@pytest.fixture
def site(settings: Settings) -> Iterator[Site]:
    """A served empty store."""
    with served(settings) as found:
        yield found


__all__ = ["AsyncIterator", "Site", "home", "served", "settings", "site"]
