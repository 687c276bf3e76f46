"""Hearing that something was committed, by whichever process, without asking the tables.

A wait may end though nothing changed; it never sleeps through a change by more than `NET_S`.
"""

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Protocol

import anyio
import anyio.to_thread
from sqlalchemy.engine import URL

from mechagym.errors import StoreError

if TYPE_CHECKING:
    import psycopg

LOOK_S = 0.2
NET_S = 1.0
CHANNEL = "mechagym"


class Watch(Protocol):
    """Something that hears of commits."""

    async def wait(self) -> None:
        """Return soon after the next commit, or because it cannot be known if there was one."""


@asynccontextmanager
async def open_watch(url: URL) -> AsyncIterator[Watch]:
    """Listen to a store. Raises StoreError where it cannot be reached."""
    kind = _file_watch if url.get_backend_name() == "sqlite" else _server_watch
    manager: AbstractContextManager[Watch] = kind(url)
    watch = await anyio.to_thread.run_sync(manager.__enter__)
    try:
        yield watch
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(partial(manager.__exit__, None, None, None))


class _FileWatch:
    """SQLite counts the commits of others; a connection of its own hears of all of ours too."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._seen = self._version()

    async def wait(self) -> None:
        while True:
            version = await anyio.to_thread.run_sync(self._version)
            if version != self._seen:
                self._seen = version
                return
            await anyio.sleep(LOOK_S)

    def _version(self) -> int:
        try:
            return int(self._connection.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.Error as error:
            raise StoreError(f"store: {error}", reason="store_failed") from error


@contextmanager
def _file_watch(url: URL) -> Iterator[Watch]:
    try:
        connection = sqlite3.connect(str(url.database), check_same_thread=False)
    except sqlite3.Error as error:
        raise StoreError(f"store {url.database}: {error}", reason="unreadable") from error
    try:
        yield _FileWatch(connection)
    finally:
        connection.close()


class _ServerWatch:
    """PostgreSQL says it; a lost connection is made again, and until then the net holds."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: psycopg.Connection | None = None
        self._listen()

    async def wait(self) -> None:
        if not await anyio.to_thread.run_sync(self._heard):
            await anyio.sleep(NET_S)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _listen(self) -> None:
        import psycopg

        self._connection = psycopg.connect(self._dsn, autocommit=True)
        self._connection.execute(f"LISTEN {CHANNEL}")

    def _heard(self) -> bool:
        """Wait for a word, at most `NET_S`; False where nothing can be heard now."""
        import psycopg

        try:
            if self._connection is None or self._connection.closed:
                self._listen()
            assert self._connection is not None
            for _ in self._connection.notifies(timeout=NET_S, stop_after=1):
                pass
        except psycopg.Error:
            self.close()
            return False
        return True


@contextmanager
def _server_watch(url: URL) -> Iterator[Watch]:
    import psycopg

    dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        watch = _ServerWatch(dsn)
    except psycopg.Error as error:
        raise StoreError(f"store: {error}", reason="unreachable") from error
    try:
        yield watch
    finally:
        watch.close()
