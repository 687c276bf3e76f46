"""What is changed in the store beside events: jobs and who owns them, trials opened again."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from mechagym.errors import JobLocked, StoreError
from mechagym.records import TrialKey, now
from mechagym.store import testgen_folds
from mechagym.store.blobs import Blobs
from mechagym.store.queries import find_job, job_of, task_values, trial_rows
from mechagym.store.rows import JobRow, JobState, OwnerRow, TaskRow
from mechagym.store.tables import events, jobs, ops, tasks, trials

Alive = Callable[[OwnerRow, datetime | None], bool]

_NO_OWNER: dict[str, Any] = {
    "owner_pid": None,
    "owner_started": None,
    "owner_place": None,
    "owner_host": None,
}


def create_job(connection: Connection, job: JobRow, keys: Sequence[TrialKey]) -> None:
    """Keep a job and its trials; all or nothing. Raises StoreError where the name is taken."""
    if find_job(connection, job.name) or find_job(connection, job.job_id):
        raise StoreError(
            f"store: there is a job named {job.name} already",
            remedy=f"Choose another --name, or continue it with --resume {job.name}.",
            reason="job_exists",
        )
    connection.execute(
        insert(jobs).values(
            id=job.job_id,
            name=job.name,
            config=job.config,
            config_digest=job.config_digest,
            folder=job.folder,
            created_at=job.created_at,
            state=job.state,
            trials=0,
        )
    )
    add_trials(connection, job.job_id, keys)


def add_trials(connection: Connection, job_id: str, keys: Sequence[TrialKey]) -> None:
    """Append trials to a job's plan."""
    if not keys:
        return
    newest = select(func.max(trials.c.ordinal)).where(trials.c.job_id == job_id)
    last = connection.execute(newest).scalar()
    connection.execute(insert(trials), trial_rows(keys, 0 if last is None else last + 1))
    connection.execute(
        update(jobs).where(jobs.c.id == job_id).values(trials=jobs.c.trials + len(keys))
    )
    _name_tasks(connection, keys)


def _name_tasks(connection: Connection, keys: Sequence[TrialKey]) -> None:
    """Have a row for each task of the trials, be it that no more than its name is known of it."""
    named = {key.task_digest: key for key in keys}
    known = set(connection.execute(select(tasks.c.digest)).scalars())
    rows = [
        {"digest": digest, "dataset": key.dataset, "name": key.task, "tags": "[]", "needs": "[]"}
        for digest, key in named.items()
        if digest not in known
    ]
    if rows:
        connection.execute(insert(tasks), rows)


def see_tasks(connection: Connection, seen: Sequence[TaskRow]) -> None:
    """Keep what is known of tasks; what was known of them before is replaced."""
    rows = {row.digest: task_values(row) for row in seen}  # two folders may hold the same task
    if rows:
        connection.execute(delete(tasks).where(tasks.c.digest.in_(rows)))
        connection.execute(insert(tasks), list(rows.values()))


def claim_job(connection: Connection, job_id: str, owner: OwnerRow, alive: Alive) -> None:
    """Make a process the owner of a job; what a dead one left running is pending again.

    Raises JobLocked where another live process owns it, StoreError where there is no such job.
    """
    job = _job(connection, job_id)
    if job.owner is not None and job.owner != owner:
        _refuse_if_alive(job, alive)
    _interrupt(connection, job_id)
    connection.execute(
        update(jobs)
        .where(jobs.c.id == job_id)
        .values(
            state="running",
            started_at=func.coalesce(jobs.c.started_at, now()),
            ended_at=None,
            heartbeat_at=now(),
            owner_pid=owner.pid,
            owner_started=owner.started,
            owner_place=owner.place,
            owner_host=owner.host,
        )
    )


def release_job(connection: Connection, job_id: str, state: JobState) -> None:
    """Give a job up, with the state it is left in."""
    connection.execute(
        update(jobs).where(jobs.c.id == job_id).values(state=state, ended_at=now(), **_NO_OWNER)
    )


def beat(connection: Connection, job_ids: Sequence[str]) -> None:
    """Say that the owner of these jobs lives."""
    connection.execute(update(jobs).where(jobs.c.id.in_(job_ids)).values(heartbeat_at=now()))


def reconcile(connection: Connection, alive: Alive) -> list[str]:
    """Take from dead processes what they left: running trials become pending."""
    found: list[str] = []
    for row in connection.execute(select(jobs).where(jobs.c.state == "running")).all():
        job = job_of(row)
        if job.owner is None or not alive(job.owner, job.heartbeat_at):
            found += _interrupt(connection, job.job_id)
            release_job(connection, job.job_id, "interrupted")
    orphans = (
        select(trials.c.job_id)
        .join(jobs, jobs.c.id == trials.c.job_id)
        .where(trials.c.state == "running", jobs.c.owner_pid.is_(None))
        .distinct()
    )
    for (job_id,) in connection.execute(orphans).all():
        found += _interrupt(connection, job_id)
    return found


def _interrupt(connection: Connection, job_id: str) -> list[str]:
    running = (trials.c.job_id == job_id, trials.c.state == "running")
    found = list(connection.execute(select(trials.c.id).where(*running)).scalars())
    connection.execute(update(trials).where(*running).values(state="pending"))
    return found


def reopen_trials(connection: Connection, trial_ids: Sequence[str]) -> None:
    """Break the seal of ended trials, to be tried again. Their tries and costs stay."""
    connection.execute(
        update(trials)
        .where(trials.c.id.in_(trial_ids))
        .values(
            state="pending", outcome=None, graded=False, reward=None, passed=None, ended_at=None
        )
    )


def remove_job(connection: Connection, blobs: Blobs, job_id: str, alive: Alive) -> None:
    """Forget a job with all that belongs to it. Raises JobLocked while a live process owns it."""
    _refuse_if_alive(_job(connection, job_id), alive)
    ours = select(trials.c.id).where(trials.c.job_id == job_id)
    asked = connection.execute(select(ops.c.id).where(ops.c.job_id == job_id)).scalars()
    own = [job_id, *(f"op-{op_id}" for op_id in asked)]
    subjects = events.c.subject.in_(ours) | events.c.subject.in_(own)
    named = select(events.c.blob).where(events.c.blob.is_not(None))
    dropped = set(connection.execute(named.where(subjects)).scalars())
    testgen_folds.forget(connection, ours)
    connection.execute(delete(events).where(subjects))
    connection.execute(delete(jobs).where(jobs.c.id == job_id))
    kept = set(connection.execute(named.where(events.c.blob.in_(dropped))).scalars())
    for name in dropped - kept:
        blobs.remove(name)


def _job(connection: Connection, job_id: str) -> JobRow:
    row = connection.execute(select(jobs).where(jobs.c.id == job_id)).first()
    if row is None:
        raise StoreError(
            f"store: there is no job {job_id}",
            remedy="See `mechagym jobs list`.",
            reason="job_unknown",
        )
    return job_of(row)


def _refuse_if_alive(job: JobRow, alive: Alive) -> None:
    if job.owner is not None and alive(job.owner, job.heartbeat_at):
        raise JobLocked(
            f"job {job.name}: process {job.owner.pid} on {job.owner.host} works on it",
            remedy=f"Wait for it, or stop it there: kill {job.owner.pid}",
            reason="job_locked",
        )
