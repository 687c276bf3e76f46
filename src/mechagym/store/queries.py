"""What is asked of the store: one function per question, each one or two statements."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, null, select

from mechagym.errors import StoreError
from mechagym.events import Event, body_from_json
from mechagym.records import Outcome, TrialKey, TrialRecord, TryRecord, adapter
from mechagym.store.blobs import Blobs
from mechagym.store.rows import (
    JobRow,
    OwnerRow,
    TaskRow,
    TrialFilter,
    TrialPage,
    TrialRow,
)
from mechagym.store.tables import FILTERS, events, jobs, trials, tries

_ORDERS: dict[str, ColumnElement[Any]] = {
    "started": trials.c.started_at,
    "task": trials.c.task,
    "outcome": trials.c.outcome,
    "reward": trials.c.reward,
    "cost": trials.c.billed_nano,
    "duration": trials.c.duration_s,
}


def find_job(connection: Connection, name_or_id: str) -> JobRow | None:
    """By id first, then by name."""
    for column in (jobs.c.id, jobs.c.name):
        if row := connection.execute(select(jobs).where(column == name_or_id)).first():
            return job_of(row)
    return None


def list_jobs(connection: Connection) -> list[JobRow]:
    """Newest first."""
    newest = select(jobs).order_by(jobs.c.created_at.desc(), jobs.c.id)
    return [job_of(row) for row in connection.execute(newest)]


def list_trials(connection: Connection, job_id: str) -> list[TrialRow]:
    """All of a job, in the order of its plan."""
    query = select(trials).where(trials.c.job_id == job_id).order_by(trials.c.ordinal)
    return [trial_of(row) for row in connection.execute(query)]


def search(connection: Connection, wanted: TrialFilter, page: TrialPage) -> list[TrialRow]:
    """One page of a filtered, sorted list; equal ones by id, so that pages never overlap.

    The page is found in an index alone, then its rows are read. With a filter that is the list's
    index (`coalesce` keeps SQLite off the order's, where it would read a row for every miss). That
    one is read by rising ids: so sorted, a row equal to those seen is dropped at once.
    """
    order = _ORDERS[page.order]
    plain = wanted == TrialFilter()
    falling = plain and page.descending
    by = order if plain else func.coalesce(order, null())
    found = filtered(select(trials.c.id), wanted).order_by(*_sorted(by, page, falling_ids=falling))
    ids = found.limit(page.limit).offset(page.offset).subquery()
    query = select(trials).where(trials.c.id.in_(select(ids.c.id)))
    rows = connection.execute(query.order_by(*_sorted(order, page, falling_ids=falling)))
    return [trial_of(row) for row in rows]


def _sorted(
    order: ColumnElement[Any], page: TrialPage, *, falling_ids: bool
) -> tuple[ColumnElement[Any], ...]:
    """What is unknown comes last, whichever way is asked for."""
    by = order.desc() if page.descending else order.asc()
    return (by.nulls_last(), trials.c.id.desc() if falling_ids else trials.c.id.asc())


def count(connection: Connection, wanted: TrialFilter) -> int:
    """How many trials a filter lets through."""
    query = filtered(select(func.count()).select_from(trials), wanted)
    return int(connection.execute(query).scalar_one())


def filtered(query: Select[Any], wanted: TrialFilter) -> Select[Any]:
    """A query of trials, narrowed."""
    for name in FILTERS:
        if (value := getattr(wanted, name)) is not None:
            query = query.where(trials.c[name] == str(value))
    if wanted.text:
        query = query.where(trials.c.task.contains(wanted.text, autoescape=True))
    return query


def records(connection: Connection, condition: ColumnElement[bool]) -> list[TrialRecord]:
    """The records of the trials that meet a condition and have a try that ended."""
    query = (
        select(trials, tries.c.record)
        .join(tries, tries.c.trial_id == trials.c.id)
        .where(condition, tries.c.record.is_not(None))
        .order_by(trials.c.job_id, trials.c.ordinal, tries.c.number)
    )
    read = adapter(TryRecord).validate_json
    found: dict[str, tuple[TrialKey, list[TryRecord]]] = {}
    for row in connection.execute(query):
        if row.id not in found:
            found[row.id] = (_key_of(row), [])
        found[row.id][1].append(read(row.record))
    return [TrialRecord(key=key, tries=tuple(ended)) for key, ended in found.values()]


def unfinished_tries(connection: Connection, job_id: str) -> list[tuple[str, int, datetime]]:
    """The tries of a job that began and did not end: trial, number, beginning."""
    query = (
        select(tries.c.trial_id, tries.c.number, tries.c.started_at)
        .join(trials, trials.c.id == tries.c.trial_id)
        .where(trials.c.job_id == job_id, tries.c.record.is_(None))
        .order_by(trials.c.ordinal, tries.c.number)
    )
    return [(row.trial_id, row.number, row.started_at) for row in connection.execute(query)]


def events_of_try(connection: Connection, blobs: Blobs, trial_id: str, number: int) -> list[Event]:
    """All events of one try, in order."""
    query = select(events).where(events.c.subject == trial_id, events.c.try_number == number)
    return [event_of(row, blobs) for row in connection.execute(query.order_by(events.c.seq))]


def list_events(
    connection: Connection, blobs: Blobs, subject: str, after: int, limit: int | None
) -> list[Event]:
    """Events of a subject with `seq` > after, in order."""
    query = select(events).where(events.c.subject == subject, events.c.seq > after)
    rows = connection.execute(query.order_by(events.c.seq).limit(limit))
    return [event_of(row, blobs) for row in rows]


def tail(connection: Connection, blobs: Blobs, after: int, limit: int) -> list[tuple[int, Event]]:
    """Events of all subjects with a position > after, in commit order."""
    query = select(events).where(events.c.position > after).order_by(events.c.position)
    return [(row.position, event_of(row, blobs)) for row in connection.execute(query.limit(limit))]


def event_of(row: Row[Any], blobs: Blobs) -> Event:
    """An event from its row. Raises StoreError where it cannot be read."""
    payload = blobs.get(row.blob) if row.blob else row.payload
    try:
        body = body_from_json(payload)
    except ValueError as error:
        raise StoreError(
            f"store: event {row.seq} of {row.subject} ({row.kind}) cannot be read",
            reason="event_unreadable",
        ) from error
    return Event(subject=row.subject, seq=row.seq, at=row.at, body=body, try_number=row.try_number)


def job_of(row: Row[Any]) -> JobRow:
    """A job from its row."""
    owner = None
    if row.owner_pid is not None:
        owner = OwnerRow(
            pid=row.owner_pid,
            started=row.owner_started,
            place=row.owner_place,
            host=row.owner_host,
        )
    return JobRow(
        job_id=row.id,
        owner=owner,
        **{
            name: getattr(row, name)
            for name in JobRow.__dataclass_fields__
            if name not in {"job_id", "owner"}
        },
    )


def _key_of(row: Row[Any]) -> TrialKey:
    return TrialKey(
        trial_id=row.id,
        trial_name=row.name,
        job_id=row.job_id,
        dataset=row.dataset,
        task=row.task,
        task_digest=row.task_digest,
        agent=row.agent,
        model=row.model,
        repeat=row.repeat,
    )


def trial_of(row: Row[Any]) -> TrialRow:
    """A trial from its row."""
    return TrialRow(
        key=_key_of(row),
        state=row.state,
        outcome=Outcome(row.outcome) if row.outcome else None,
        graded=row.graded,
        tries=row.tries,
        reward=row.reward,
        billed_nano=row.billed_nano,
        imputed_nano=row.imputed_nano,
        tokens=row.tokens,
        duration_s=row.duration_s,
        started_at=row.started_at,
        ended_at=row.ended_at,
        passed=row.passed,
        turns=row.turns,
        fault=row.fault,
        fault_reason=row.fault_reason,
        blame=row.blame,
    )


def task_values(task: TaskRow) -> dict[str, Any]:
    """A task as a row."""
    values = {name: getattr(task, name) for name in TaskRow.__dataclass_fields__}
    return values | {"tags": json.dumps(task.tags), "needs": json.dumps(task.needs)}


def trial_rows(keys: Iterable[TrialKey], first: int) -> Sequence[dict[str, Any]]:
    """Rows of trials that nothing happened to yet, numbered from `first`."""
    return [
        {
            "id": key.trial_id,
            "name": key.trial_name,
            "ordinal": ordinal,
            "state": "pending",
            "graded": False,
            "tries": 0,
            "billed_nano": 0,
            "imputed_nano": 0,
            "tokens": 0,
            "duration_s": 0.0,
            **{
                name: getattr(key, name)
                for name in TrialKey.__dataclass_fields__
                if name not in {"trial_id", "trial_name"}
            },
        }
        for ordinal, key in enumerate(keys, first)
    ]
