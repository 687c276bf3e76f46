"""Serving: a free port and tokens, the store and its feed open as long as it lasts, a URL told."""

import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import uvicorn
from starlette.types import ASGIApp

from mechagym.config import Settings
from mechagym.errors import ConfigError
from mechagym.store import Store
from mechagym.web.access import Hosts, Tokens, new_token
from mechagym.web.app import make_app
from mechagym.web.assets import Assets
from mechagym.web.desk import Desk
from mechagym.web.evidence import Folders
from mechagym.web.feed import Feed
from mechagym.web.worker import Worker

PORTS = 20
GRACE_S = 2
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How to serve. `visitor`: a second token is made that only reads."""

    port: int = 8321
    host: str = "127.0.0.1"
    read_only: bool = False
    visitor: bool = False
    worker: bool = True
    allow_hosts: Sequence[str] = ()
    allow_remote: bool = False
    folders: Sequence[Path] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What is served, and the URLs that open it: `write` None where nobody may write."""

    port: int
    tokens: Tokens

    def url(self, token: str) -> str:
        """A URL that opens the first page, once."""
        return f"http://127.0.0.1:{self.port}/?token={token}"


Tell = Callable[[Serving], None]


async def serve(settings: Settings, wanted: Wanted, tell: Tell) -> None:
    """Serve until a signal comes; jobs that were started from here go on.

    Raises ConfigError (no port, not loopback), StoreError.
    """
    check_host(wanted)
    listener = _listen(wanted)
    port = listener.getsockname()[1]
    tokens = made_tokens(wanted)
    async with Store.open(settings.store) as store, _desk(store, settings, wanted) as desk:
        app = make_app(
            desk,
            tokens,
            Hosts(port=port, allowed=wanted.allow_hosts),
            read_only=wanted.read_only,
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(desk.feed.run)
            if wanted.worker and not wanted.read_only:
                tasks.start_soon(Worker(store=store, settings=settings).run)
            serving = Serving(port=port, tokens=tokens)
            await _until_told(app, listener, desk.feed, began=lambda: tell(serving))
            tasks.cancel_scope.cancel()


def made_tokens(wanted: Wanted) -> Tokens:
    """One token of each kind that is needed."""
    return Tokens(
        write=None if wanted.read_only else new_token(),
        read=new_token() if wanted.read_only or wanted.visitor else None,
    )


def check_host(wanted: Wanted) -> None:
    """Raises ConfigError where others could reach us and nobody said that they may."""
    if wanted.host not in ("127.0.0.1", "localhost", "::1") and not wanted.allow_remote:
        raise ConfigError(
            f"--host {wanted.host} can be reached from other machines, and from boxes",
            remedy="add --allow-remote, and --allow-host for the name it is asked by",
        )


@asynccontextmanager
async def _desk(store: Store, settings: Settings, wanted: Wanted) -> AsyncIterator[Desk]:
    roots = (settings.jobs_dir, settings.data_dir, *wanted.folders)
    yield Desk(
        store=store,
        settings=settings,
        feed=Feed(store=store),
        folders=Folders(roots=roots),
        assets=Assets.load(),
    )


def _listen(wanted: Wanted) -> socket.socket:
    """The port, or the next free one of 20."""
    family = socket.AF_INET6 if ":" in wanted.host else socket.AF_INET
    for port in range(wanted.port, wanted.port + (PORTS if wanted.port else 1)):
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((wanted.host, port))
            listener.listen(128)
        except (OSError, OverflowError):
            listener.close()
            continue
        return listener
    raise ConfigError(
        f"no port of {wanted.port} to {wanted.port + PORTS - 1} is free on {wanted.host}",
        remedy="choose another with --port",
    )


class _Server(uvicorn.Server):
    """Leaves signals to us: streams are let go before it waits for them."""

    @contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def] # noqa: ANN202
        """Capture none."""
        yield


async def _until_told(
    app: ASGIApp, listener: socket.socket, feed: Feed, *, began: Callable[[], None]
) -> None:
    """Serve until a signal comes; `began` is called once one would be heard."""
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    server = _Server(
        uvicorn.Config(
            app,
            access_log=False,  # it would hold the token of the first URL
            log_config=None,
            proxy_headers=False,
            server_header=False,
            lifespan="off",
            workers=1,
            timeout_graceful_shutdown=GRACE_S,
        )
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, [listener])
        with anyio.open_signal_receiver(*SIGNALS) as signals:
            began()
            async for _ in signals:
                break
        feed.close()
        server.should_exit = True
