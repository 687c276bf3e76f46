"""The tail of the store for streams: events as they are kept, not parsed, with who they concern."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select

from mechagym.store.reading import Reading
from mechagym.store.tables import events, trials


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An event with its place in commit order. `body` is its JSON, None where it is a file's."""

    position: int
    subject: str
    seq: int
    try_number: int
    kind: str
    at: datetime
    body: str | None


def tail(reading: Reading, after: int, limit: int) -> tuple[Told, ...]:
    """Events of all subjects with a position > after, in commit order."""
    query = select(events).where(events.c.position > after).order_by(events.c.position)
    return _told(reading, query.limit(limit))


def of_subject(reading: Reading, subject: str, after_seq: int, limit: int) -> tuple[Told, ...]:
    """Events of one subject with a `seq` > after_seq, in order."""
    query = select(events).where(events.c.subject == subject, events.c.seq > after_seq)
    return _told(reading, query.order_by(events.c.seq).limit(limit))


def _told(reading: Reading, query: Select[Any]) -> tuple[Told, ...]:
    return tuple(
        Told(
            position=row.position,
            subject=row.subject,
            seq=row.seq,
            try_number=row.try_number,
            kind=row.kind,
            at=row.at,
            body=None if row.blob else row.payload,
        )
        for row in reading.connection.execute(query)
    )


def jobs_of(reading: Reading, subjects: Collection[str]) -> dict[str, str]:
    """{trial: its job} for those of the subjects that are trials."""
    query = select(trials.c.id, trials.c.job_id).where(trials.c.id.in_(subjects))
    return {row.id: row.job_id for row in reading.connection.execute(query)}
