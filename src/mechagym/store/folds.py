"""From an event to the rows that show it, inside the transaction that keeps the event.

Each fold is idempotent and touches nothing for a subject that is no trial, so no event can be
refused.
"""

import json
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Connection, func, insert, select, update

from mechagym.events import BoxOpened, EventBody, TrialEnded, TryEnded, TryStarted
from mechagym.records import BoxInfo, TryRecord, is_graded
from mechagym.store.tables import images, trials, tries, usage

FOLDED = (TryStarted, TryEnded, TrialEnded, BoxOpened)


def fold(connection: Connection, subject: str, at: datetime, body: EventBody, payload: str) -> None:
    """Bring the rows up to date. `payload` is the body as JSON, already redacted."""
    match body:
        case TryStarted():
            _start(connection, subject, at, body)
        case TryEnded():
            _end_try(connection, subject, body.record, payload)
        case TrialEnded():
            connection.execute(
                update(trials)
                .where(trials.c.id == subject)
                .values(state="ended", outcome=body.outcome.value, ended_at=at)
            )
        case BoxOpened():
            _use_image(connection, at, body.box)
        case _:
            pass


def _start(connection: Connection, trial_id: str, at: datetime, body: TryStarted) -> None:
    """A sealed trial is left alone: only `reopen_trials` opens it again."""
    started = connection.execute(
        update(trials)
        .where(trials.c.id == trial_id, trials.c.state != "ended")
        .values(state="running", started_at=func.coalesce(trials.c.started_at, at))
    )
    if started.rowcount:
        _seat(connection, trial_id, body.number, at)
        connection.execute(
            update(tries)
            .where(tries.c.trial_id == trial_id, tries.c.number == body.number)
            .values(label=body.label, owner_pid=body.owner_pid)
        )


def _seat(connection: Connection, trial_id: str, number: int, at: datetime) -> None:
    """Have a row for the try."""
    here = select(tries.c.number).where(tries.c.trial_id == trial_id, tries.c.number == number)
    if connection.execute(here).first() is None:
        connection.execute(
            insert(tries).values(trial_id=trial_id, number=number, label="", started_at=at)
        )


def _end_try(connection: Connection, trial_id: str, record: TryRecord, payload: str) -> None:
    verdict = record.verdict
    graded = is_graded(record.outcome, verified=verdict is not None)
    model = select(trials.c.model).where(trials.c.id == trial_id)
    if (row := connection.execute(model).first()) is None:
        return
    _seat(connection, trial_id, record.number, record.started_at)
    connection.execute(
        update(tries)
        .where(tries.c.trial_id == trial_id, tries.c.number == record.number)
        .values(
            outcome=record.outcome.value,
            started_at=record.started_at,
            ended_at=record.ended_at,
            record=json.dumps(json.loads(payload)["record"], ensure_ascii=False),
        )
    )
    _bill(connection, trial_id, record, row.model)
    spent = [
        func.coalesce(func.sum(usage.c[name]), 0).label(name)
        for name in ("billed_nano", "imputed_nano", "tokens")
    ]
    sums = connection.execute(select(*spent).where(usage.c.trial_id == trial_id)).one()
    connection.execute(
        update(trials)
        .where(trials.c.id == trial_id)
        .values(
            tries=func.coalesce(
                select(func.count())
                .where(tries.c.trial_id == trial_id, tries.c.record.is_not(None))
                .scalar_subquery(),
                0,
            ),
            graded=graded,
            reward=verdict.reward if graded and verdict else None,
            duration_s=(record.ended_at - record.started_at).total_seconds(),
            **sums._mapping,
        )
    )


def _bill(connection: Connection, trial_id: str, record: TryRecord, model: str | None) -> None:
    """One row of usage per try, replaced when the try is told again."""
    spend = record.spend
    values = {
        **asdict(spend.usage),
        "tokens": spend.usage.tokens,
        "billed_nano": spend.billed_nano,
        "imputed_nano": spend.imputed_nano,
        "unpriced_calls": spend.unpriced_calls,
        "model": model,
        "at": record.ended_at,
    }
    key = {"trial_id": trial_id, "try_number": record.number}
    known = update(usage).where(*(usage.c[name] == value for name, value in key.items()))
    if not connection.execute(known.values(**values)).rowcount:
        connection.execute(insert(usage).values(**key, **values))


def _use_image(connection: Connection, at: datetime, box: BoxInfo) -> None:
    if box.image_digest is None:
        return
    known = update(images).where(
        images.c.backend == box.backend, images.c.digest == box.image_digest
    )
    values = {"reference": box.image, "last_used_at": at}
    if not connection.execute(known.values(**values)).rowcount:
        key = {"backend": box.backend, "digest": box.image_digest, "first_used_at": at}
        connection.execute(insert(images).values(**key, **values))
