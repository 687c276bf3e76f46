"""The engine: how the database is opened, migrated, locked, and what its failures are called.

SQLite runs in WAL mode: readers never wait, and what was committed survives `kill -9`. On both
databases all writing transactions come one after the other, so that positions of events are in
commit order.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import anyio.to_thread
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from mechagym.errors import StoreError
from mechagym.store.blobs import Blobs
from mechagym.store.tables import REVISION
from mechagym.store.watch import CHANNEL

T = TypeVar("T")

BUSY_TIMEOUT_MS = 30_000
WRITE_LOCK = 0x6D65636861  # "mecha": the key of our advisory lock on PostgreSQL
READERS = 4


class Database:
    """An open database. `read` and `write` run a function with a connection, in a thread."""

    def __init__(self, engine: Engine, blobs: Blobs) -> None:
        self.blobs = blobs
        self._engine = engine
        self._writing = engine.execution_options(writing=True)
        snapshot = {} if _is_file(engine.url) else {"isolation_level": "REPEATABLE READ"}
        self._snapshot = engine.execution_options(**snapshot)
        self._write_lock = Lock()
        self._readers = anyio.CapacityLimiter(READERS)

    @classmethod
    def open(cls, url: str) -> "Database":
        """Connect and bring the schema up to date. Raises StoreError, saying what is wrong."""
        where = _parse(url)
        with blamed(where):
            engine = _engine(where)
            database = cls(engine, Blobs(_blob_folder(where)))
            try:
                if database.read_now(_revision) != REVISION:
                    database.write_now(_migrate)
            except BaseException:
                engine.dispose()
                raise
            return database

    @property
    def url(self) -> URL:
        """Where it is; holds the password, where there is one."""
        return self._engine.url

    def close(self) -> None:
        """Let go of all connections."""
        self._engine.dispose()

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Run a query in a thread, on one consistent snapshot."""
        return await self.reading(lambda: self.read_now(query))

    async def reading(self, work: Callable[[], T]) -> T:
        """Run a function that reads in a thread; few at once, as there are few connections."""
        return await anyio.to_thread.run_sync(work, limiter=self._readers)

    async def write(self, change: Callable[[Connection], T]) -> T:
        """Run a change in a thread, in one transaction: all of it is kept, or none."""
        return await anyio.to_thread.run_sync(self.write_now, change)

    def read_now(self, query: Callable[[Connection], T]) -> T:
        """`read`, for those who are in a thread already."""
        with blamed(self._engine.url), self._snapshot.begin() as connection:
            return query(connection)

    def write_now(self, change: Callable[[Connection], T]) -> T:
        """`write`, for those who are in a thread already."""
        with blamed(self._engine.url), self._write_lock, self._writing.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text(f"SELECT pg_advisory_xact_lock({WRITE_LOCK})"))
                connection.execute(text(f"NOTIFY {CHANNEL}"))  # heard once this is committed
            return change(connection)


def _parse(url: str) -> URL:
    """Read a URL; a bare path means SQLite there."""
    try:
        return make_url(url if "://" in url else f"sqlite:///{url}")
    except ArgumentError:
        raise StoreError(
            f"store: {url!r} is not a database URL",
            remedy="Use a path, sqlite:///PATH, or postgresql+psycopg://USER@HOST/DATABASE.",
            reason="bad_url",
        ) from None


def _blob_folder(url: URL) -> Path | None:
    return Path(url.database).parent / "blobs" if _is_file(url) and url.database else None


def _is_file(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def _engine(url: URL) -> Engine:
    if not _is_file(url):
        return create_engine(url, pool_size=READERS + 1, pool_pre_ping=True, hide_parameters=True)
    if not url.database or url.database == ":memory:":
        raise StoreError(
            "store: it must be a file, or nothing could be resumed",
            remedy="Use a path, sqlite:///PATH, or postgresql+psycopg://USER@HOST/DATABASE.",
            reason="bad_url",
        )
    Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, pool_size=READERS + 1, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        for pragma in (
            f"busy_timeout = {BUSY_TIMEOUT_MS}",
            "synchronous = NORMAL",
            "foreign_keys = ON",
        ):
            connection.execute(f"PRAGMA {pragma}")
        _use_wal(connection)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writing = connection.get_execution_options().get("writing")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


def _use_wal(connection: Any) -> None:
    """Switch a fresh file to WAL; SQLite does not wait for another who does the same, so we do."""
    until = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.02)


def _revision(connection: Connection) -> str | None:
    if not connection.dialect.has_table(connection, "alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _migrate(connection: Connection) -> None:
    """Upgrade under the write lock; a second process that waited finds nothing left to do."""
    if (found := _revision(connection)) == REVISION:
        return
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise StoreError(
            f"store: its schema is of revision {found}, this program knows up to {REVISION}",
            remedy="It was written by a newer mechagym: upgrade, or use another --store.",
            reason="newer_schema",
        )
    command.upgrade(config, "head")


@contextmanager
def blamed(url: URL) -> Iterator[None]:
    """Turn the driver's failures into a StoreError that names the store and what to do."""
    name = url.database if _is_file(url) else url.render_as_string(hide_password=True)
    try:
        yield
    except (SQLAlchemyError, ImportError, sqlite3.Error, OSError) as error:
        raise _explain(error, f"store {name}") from error


def _explain(error: Exception, where: str) -> StoreError:
    said = str(getattr(error, "orig", None) or error).strip().split("\n")[0]
    if isinstance(error, ImportError | NoSuchModuleError):
        return StoreError(
            f"{where}: no driver for it is installed ({said})",
            remedy="Run: pip install 'mechagym[postgres]'",
            reason="driver_missing",
        )
    for signs, reason, remedy in _SIGNS:
        if any(sign in said.lower() for sign in signs):
            return StoreError(f"{where}: {said}", remedy=remedy, reason=reason)
    return StoreError(f"{where}: {said}", reason="store_failed")


_SIGNS = (
    (
        ("disk is full", "no space left"),
        "disk_full",
        "Free some space there, or use --store on another disk.",
    ),
    (
        ("disk i/o error",),
        "disk_failed",
        "Check the disk it lies on; network disks do not serve.",
    ),
    (
        ("file is not a database",),
        "not_a_database",
        "Give --store another file: this one is not ours.",
    ),
    (
        ("malformed",),
        "damaged",
        "Copy what can be read with `sqlite3 FILE .recover`.",
    ),
    (
        ("unable to open", "readonly", "permission denied", "file exists", "not a directory"),
        "unreadable",
        "Check that its folder is one, and that you may write there.",
    ),
    (
        ("locked",),
        "busy",
        "Another process has held it for 30 s: see `mechagym jobs list`.",
    ),
    (
        ("connect",),
        "unreachable",
        "Check that the database server runs and that the URL is right.",
    ),
)
