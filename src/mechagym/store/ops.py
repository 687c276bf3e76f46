"""What people ask for: each op is kept once, taken by one process, and ended with a word.

An op tells of itself under its own subject, `op-ID`: that it was asked, and what became of it.
"""

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, or_, select, update

from mechagym.errors import StoreError
from mechagym.events import EventBody, JobOp, Op, OpAsked, OpTaken, body_to_json, op_from_json
from mechagym.records import now, to_json
from mechagym.store.rows import OpRow, OwnerRow, WorkerRow
from mechagym.store.tables import events, jobs, ops, workers

Alive = Callable[[OwnerRow, datetime | None], bool]

OF_JOBS = ("stop", "set_budget")
"""The kinds that a job takes itself while it runs."""


def subject_of(op_id: int) -> str:
    """Under which name an op's events are told."""
    return f"op-{op_id}"


def put_op(
    connection: Connection,
    job_id: str | None,
    op: Op,
    *,
    author: str = "",
    request_key: str | None = None,
) -> int:
    """Keep a person's wish and return its id; the same wish under the same key is kept once.

    Raises StoreError: `job_unknown`; `key_reused` where the key stands for another wish.
    """
    payload = to_json(op)
    if request_key is not None and (found := _by_key(connection, request_key)) is not None:
        if (found.job_id, found.payload) == (job_id, payload):
            return int(found.id)
        raise StoreError("this key was used for another request", reason="key_reused")
    if job_id is not None and not _has_job(connection, job_id):
        raise StoreError(
            f"store: there is no job {job_id}",
            remedy="See `mechagym jobs list`.",
            reason="job_unknown",
        )
    values = {
        "job_id": job_id,
        "kind": op.kind,
        "payload": payload,
        "author": author,
        "at": now(),
        "request_key": request_key,
        "detail": "",
    }
    made = connection.execute(insert(ops).values(**values))
    op_id = int(made.inserted_primary_key[0])  # type: ignore[index]
    asked = OpAsked(op_id=op_id, op=op.kind, author=author, job_id=job_id)
    _tell(connection, op_id, seq=1, body=asked)
    return op_id


def pending_ops(connection: Connection, job_id: str) -> list[tuple[int, JobOp]]:
    """What a job that runs was told and has not taken yet, oldest first."""
    query = select(ops.c.id, ops.c.payload).where(
        ops.c.job_id == job_id, ops.c.ended_at.is_(None), ops.c.kind.in_(OF_JOBS)
    )
    rows = connection.execute(query.order_by(ops.c.id)).all()
    return [(row.id, op_from_json(row.payload)) for row in rows]  # type: ignore[misc]


def take_op(connection: Connection, worker_id: str, alive: Alive) -> OpRow | None:
    """Give the oldest op that is a worker's, and mark it as this one's; None where there is none.

    That is what no job takes itself, and what a worker took that died since. An op that was in a
    dead worker's hands may have been carried out: to take it must do no harm.
    """
    dead = [
        row.worker_id
        for row in list_workers(connection)
        if row.worker_id != worker_id and not alive(row.owner, row.heartbeat_at)
    ]
    runs = select(jobs.c.id).where(jobs.c.state == "running", jobs.c.owner_pid.is_not(None))
    found = connection.execute(
        select(ops)
        .where(
            ops.c.ended_at.is_(None),
            or_(ops.c.worker_id.is_(None), ops.c.worker_id.in_(dead)),
            or_(ops.c.kind.not_in(OF_JOBS), ops.c.job_id.not_in(runs)),
        )
        .order_by(ops.c.id)
        .limit(1)
    ).first()
    if found is None:
        return None
    connection.execute(
        update(ops).where(ops.c.id == found.id).values(worker_id=worker_id, taken_at=now())
    )
    return op_of(found)


def end_op(connection: Connection, op_id: int, *, applied: bool, detail: str) -> None:
    """Note what became of an op; what has ended stays as it is."""
    found = connection.execute(select(ops).where(ops.c.id == op_id)).first()
    if found is None or found.ended_at is not None:
        return
    values = {"applied": applied, "detail": detail, "ended_at": now()}
    connection.execute(update(ops).where(ops.c.id == op_id).values(**values))
    taken = OpTaken(op_id=op_id, op=found.kind, applied=applied, detail=detail)
    _tell(connection, op_id, seq=2, body=taken)


def find_op(connection: Connection, op_id: int) -> OpRow | None:
    """An op by its id."""
    row = connection.execute(select(ops).where(ops.c.id == op_id)).first()
    return op_of(row) if row else None


def open_ops(connection: Connection) -> list[OpRow]:
    """All that were asked and have not ended, oldest first."""
    query = select(ops).where(ops.c.ended_at.is_(None)).order_by(ops.c.id)
    return [op_of(row) for row in connection.execute(query)]


def op_of(row: Row[Any]) -> OpRow:
    """An op from its row."""
    names = OpRow.__dataclass_fields__.keys() - {"op_id", "op"}
    values = {name: getattr(row, name) for name in names}
    return OpRow(op_id=row.id, op=op_from_json(row.payload), **values)


def begin_worker(
    connection: Connection, worker_id: str, owner: OwnerRow, version: str, alive: Alive
) -> None:
    """Say that a process takes ops from now on; those that died without a word are forgotten."""
    for row in list_workers(connection):
        if not alive(row.owner, row.heartbeat_at):
            end_worker(connection, row.worker_id)
    connection.execute(
        insert(workers).values(
            id=worker_id,
            pid=owner.pid,
            started=owner.started,
            place=owner.place,
            host=owner.host,
            version=version,
            began_at=now(),
            heartbeat_at=now(),
        )
    )


def beat_worker(connection: Connection, worker_id: str) -> None:
    """Say that it lives."""
    connection.execute(update(workers).where(workers.c.id == worker_id).values(heartbeat_at=now()))


def end_worker(connection: Connection, worker_id: str) -> None:
    """Forget a worker that leaves; what it still held is free to be taken."""
    connection.execute(
        update(ops)
        .where(ops.c.worker_id == worker_id, ops.c.ended_at.is_(None))
        .values(worker_id=None, taken_at=None)
    )
    connection.execute(delete(workers).where(workers.c.id == worker_id))


def list_workers(connection: Connection) -> list[WorkerRow]:
    """All that did not leave in order, newest first."""
    rows = connection.execute(select(workers).order_by(workers.c.began_at.desc()))
    return [worker_of(row) for row in rows]


def worker_of(row: Row[Any]) -> WorkerRow:
    """A worker from its row."""
    owner = OwnerRow(pid=row.pid, started=row.started, place=row.place, host=row.host)
    return WorkerRow(
        worker_id=row.id,
        owner=owner,
        version=row.version,
        began_at=row.began_at,
        heartbeat_at=row.heartbeat_at,
    )


def untaken(op: OpRow, held_by: Collection[str], job_alive: bool) -> bool:
    """Whether nobody is at an op: no live worker holds it, and its job does not run to take it."""
    if op.ended_at is not None:
        return False
    if op.op.kind in OF_JOBS and job_alive:
        return False
    return op.worker_id not in held_by


def _by_key(connection: Connection, request_key: str) -> Row[Any] | None:
    return connection.execute(select(ops).where(ops.c.request_key == request_key)).first()


def _has_job(connection: Connection, job_id: str) -> bool:
    return connection.execute(select(jobs.c.id).where(jobs.c.id == job_id)).first() is not None


def _tell(connection: Connection, op_id: int, *, seq: int, body: EventBody) -> None:
    values = {
        "subject": subject_of(op_id),
        "seq": seq,
        "try_number": 0,
        "kind": body.kind,
        "at": now(),
        "payload": body_to_json(body),
    }
    connection.execute(insert(events).values(**values))
