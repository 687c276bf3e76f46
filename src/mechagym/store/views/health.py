"""The store itself, the processes that work on it, and the ops that wait."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import func, select

from mechagym.store.ops import find_op, list_workers, open_ops
from mechagym.store.owner import is_alive
from mechagym.store.queries import job_of
from mechagym.store.reading import Reading, position
from mechagym.store.rows import JobRow, OpRow, OwnerRow
from mechagym.store.saved import saved_settings
from mechagym.store.tables import REVISION, events, jobs
from mechagym.store.views.dashboard import OpState, state_of


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreHealth:
    """The database: `size_bytes` is None where it is a server's."""

    kind: str
    revision: str
    position: int
    newest_at: datetime | None
    size_bytes: int | None
    wal_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process that works on the store: on a job, or as a worker."""

    role: str
    name: str
    owner: OwnerRow
    heartbeat_at: datetime | None
    alive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OpView:
    """An op and how it stands; `job` is the one it is about, with who ran it last."""

    op: OpRow
    state: OpState
    job: JobRow | None


def store_health(reading: Reading) -> StoreHealth:
    """What the database is and how big."""
    newest = position(reading)
    at = select(events.c.at).where(events.c.position == newest)
    url = reading.connection.engine.url
    file = url.database if url.get_backend_name() == "sqlite" else None
    return StoreHealth(
        kind=url.get_backend_name(),
        revision=REVISION,
        position=newest,
        newest_at=reading.connection.execute(at).scalar(),
        size_bytes=_size(file) if file else _server_size(reading),
        wal_bytes=_size(f"{file}-wal") if file else None,
    )


def processes(reading: Reading) -> tuple[Process, ...]:
    """Owners of jobs and workers, alive or not."""
    owned = select(jobs).where(jobs.c.owner_pid.is_not(None)).order_by(jobs.c.created_at)
    found = [
        Process(
            role="job",
            name=job.name,
            owner=job.owner,
            heartbeat_at=job.heartbeat_at,
            alive=is_alive(job.owner, job.heartbeat_at),
        )
        for job in map(job_of, reading.connection.execute(owned))
        if job.owner is not None
    ]
    found += [
        Process(
            role="worker",
            name=worker.worker_id,
            owner=worker.owner,
            heartbeat_at=worker.heartbeat_at,
            alive=is_alive(worker.owner, worker.heartbeat_at),
        )
        for worker in list_workers(reading.connection)
    ]
    return tuple(found)


def op(reading: Reading, op_id: int) -> OpView | None:
    """One op and how it stands."""
    found = find_op(reading.connection, op_id)
    return _viewed(reading, found) if found else None


def waiting_ops(reading: Reading) -> tuple[OpView, ...]:
    """The ops that have not ended, oldest first."""
    return tuple(_viewed(reading, each) for each in open_ops(reading.connection))


def settings(reading: Reading) -> dict[str, str]:
    """What was saved in this store."""
    return saved_settings(reading.connection)


def _viewed(reading: Reading, found: OpRow) -> OpView:
    row = reading.connection.execute(select(jobs).where(jobs.c.id == found.job_id)).first()
    job = job_of(row) if row else None
    return OpView(op=found, state=state_of(reading, found), job=job)


def _size(file: str) -> int | None:
    try:
        return Path(file).stat().st_size
    except OSError:
        return None


def _server_size(reading: Reading) -> int | None:
    query = select(func.pg_database_size(func.current_database()))
    return reading.connection.execute(query).scalar()
