"""One trial: its steps in windows, its verdict, its model calls; and the list of all trials."""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, func, literal, or_, select

from mechagym.events import Event
from mechagym.records import Json, TryRecord, Verdict, from_json
from mechagym.store.queries import event_of, filtered, list_events, trial_of
from mechagym.store.reading import Reading
from mechagym.store.rows import TrialFilter, TrialRow
from mechagym.store.tables import events, trials, tries
from mechagym.store.views.paging import Key, Page, above, page_of

STEPS = (
    *("agent_started", "message_said", "tool_called", "tool_returned", "agent_stopped"),
    *("step_started", "verdict_reached", "error_raised", "tamper_found", "model_refused"),
    *("budget_warned", "budget_raised", "phase_started", "phase_ended", "box_opened"),
)
"""The kinds of events that are steps of the thread."""

CALLS = ("model_requested", "model_answered", "model_failed", "model_refused")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A try as its row tells it; `record` is there once it ended."""

    number: int
    started_at: datetime
    ended_at: datetime | None
    record: TryRecord | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialView:
    """A trial with its tries. `events` counts all that was told of it."""

    row: TrialRow
    tries: tuple[Attempt, ...]
    events: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """A window of a thread: `first` is the place of its first step, counted from 0, of `total`."""

    total: int
    first: int
    items: tuple[Event, ...]


def trial_list(
    reading: Reading, wanted: TrialFilter, after: Key | None = None, limit: int = 50
) -> Page[TrialRow]:
    """Trials by their job and their place in its plan, so that pages hold while trials run."""
    keys = (trials.c.job_id, trials.c.ordinal)
    query = filtered(select(trials), wanted).order_by(*keys).limit(limit + 1)
    if after is not None:
        query = query.where(above(keys, after))
    rows = reading.connection.execute(query)
    return page_of([(trial_of(row), (row.job_id, row.ordinal)) for row in rows], limit)


def trial(reading: Reading, trial_id: str) -> TrialView | None:
    """One trial; None where there is none of this id."""
    row = reading.connection.execute(select(trials).where(trials.c.id == trial_id)).first()
    if row is None:
        return None
    newest = select(func.max(events.c.seq)).where(events.c.subject == trial_id)
    query = select(tries).where(tries.c.trial_id == trial_id).order_by(tries.c.number)
    return TrialView(
        row=trial_of(row),
        tries=tuple(
            Attempt(
                number=each.number,
                started_at=each.started_at,
                ended_at=each.ended_at,
                record=from_json(TryRecord, each.record) if each.record else None,
            )
            for each in reading.connection.execute(query)
        ),
        events=reading.connection.execute(newest).scalar() or 0,
    )


def steps(
    reading: Reading,
    trial_id: str,
    first: int = 0,
    limit: int = 50,
    kinds: Collection[str] = STEPS,
) -> Steps:
    """A window of a trial's thread."""
    ours = and_(events.c.subject == trial_id, events.c.kind.in_(kinds))
    total = reading.connection.execute(
        select(func.count()).select_from(events).where(ours)
    ).scalar_one()
    query = select(events).where(ours).order_by(events.c.seq).offset(first).limit(limit)
    rows = reading.connection.execute(query)
    items = tuple(event_of(row, reading.blobs) for row in rows)
    return Steps(total=total, first=first, items=items)


def place_of(reading: Reading, trial_id: str, seq: int, kinds: Collection[str] = STEPS) -> int:
    """How many steps come before the one with this number: where a window must begin."""
    before = (events.c.subject == trial_id, events.c.kind.in_(kinds), events.c.seq < seq)
    query = select(func.count()).select_from(events).where(*before)
    return reading.connection.execute(query).scalar_one()


def find_steps(reading: Reading, trial_id: str, text: str) -> tuple[int, ...]:
    """The numbers of all steps that hold a text anywhere, whatever its case."""
    if not text:
        return ()
    inside = json.dumps(text, ensure_ascii=False)[1:-1].lower()
    holds: ColumnElement[bool] = func.lower(events.c.payload).contains(inside, autoescape=True)
    query = select(events).where(
        events.c.subject == trial_id,
        events.c.kind.in_(STEPS),
        or_(holds, events.c.blob.is_not(None), literal(not inside.isascii())),
    )
    wanted = text.lower()
    return tuple(
        row.seq
        for row in reading.connection.execute(query.order_by(events.c.seq))
        if any(wanted in each.lower() for each in _strings(_payload(reading, row)))
    )


def verdict(reading: Reading, trial_id: str, number: int | None = None) -> Verdict | None:
    """What the tests of a try said; of the counted one where none is named."""
    query = select(tries.c.record).where(tries.c.trial_id == trial_id, tries.c.record.is_not(None))
    if number is not None:
        query = query.where(tries.c.number == number)
    found = reading.connection.execute(query.order_by(tries.c.number.desc()).limit(1)).scalar()
    return from_json(TryRecord, found).verdict if found else None


def calls(reading: Reading, trial_id: str) -> tuple[Event, ...]:
    """All that was told of a trial's model calls, in order."""
    query = select(events).where(events.c.subject == trial_id, events.c.kind.in_(CALLS))
    rows = reading.connection.execute(query.order_by(events.c.seq))
    return tuple(event_of(row, reading.blobs) for row in rows)


def told(reading: Reading, subject: str, after: int = 0, limit: int = 50) -> tuple[Event, ...]:
    """Events of a trial, a job or an op from a number on."""
    return tuple(list_events(reading.connection, reading.blobs, subject, after, limit))


def _payload(reading: Reading, row: Any) -> Json:
    return json.loads(reading.blobs.get(row.blob) if row.blob else row.payload)


def _strings(value: Json) -> Iterator[str]:
    """All texts in a JSON value that are not names of fields or kinds."""
    match value:
        case str():
            yield value
        case list():
            for item in value:
                yield from _strings(item)
        case dict():
            for name, item in value.items():
                if name != "kind":
                    yield from _strings(item)
