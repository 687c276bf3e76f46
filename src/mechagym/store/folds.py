"""From events to the rows that show them, inside the transaction that keeps the events.

Each fold is idempotent and touches nothing for a subject that is no trial. The folds of a batch are
grouped, so that ten thousand trials cost a few dozen statements and not a hundred thousand.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BindParameter,
    Connection,
    Executable,
    Insert,
    Select,
    Table,
    bindparam,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)

from mechagym.events import EventBody, TrialEnded, TryEnded, TryStarted, body_from_json
from mechagym.records import is_graded, is_verified
from mechagym.store import testgen_folds
from mechagym.store.tables import trials, tries, usage

FOLDED = (TryStarted, TryEnded, TrialEnded, *testgen_folds.FOLDED)
COUNTED = (
    *("graded", "reward", "passed", "duration_s", "turns"),
    *("fault", "fault_reason", "blame"),
)
"""What a trial's row has of its counted try."""

SPENT = ("billed_nano", "imputed_nano", "tokens")
COUNTS = tuple(c.name for c in usage.c if c.name not in {"trial_id", "try_number", "model", "at"})


@dataclass(frozen=True, slots=True)
class Told:
    """An event that rows depend on. `payload` is its body as JSON, already redacted."""

    subject: str
    at: datetime
    body: EventBody
    payload: str


def fold(connection: Connection, told: Sequence[Told]) -> None:
    """Bring the rows up to date with the events of a batch, in the order in which a trial lives."""
    starts = [_started(each, each.body) for each in told if isinstance(each.body, TryStarted)]
    ends = [_ended(each, each.body) for each in told if isinstance(each.body, TryEnded)]
    seals = [_sealed(each, each.body) for each in told if isinstance(each.body, TrialEnded)]
    for statements, values in (
        (_ON_START, starts),
        (_ON_END, ends),
        (_ON_SEAL, seals),
    ):
        for statement in statements if values else ():
            connection.execute(statement, values)
    for each in told:
        if isinstance(each.body, testgen_folds.FOLDED):
            testgen_folds.fold(connection, each.subject, each.at, body_from_json(each.payload))


def _started(told: Told, body: TryStarted) -> dict[str, Any]:
    return {
        "of_trial": told.subject,
        "of_number": body.number,
        "new_label": body.label,
        "new_owner_pid": body.owner_pid,
        "new_at": told.at,
    }


def _ended(told: Told, body: TryEnded) -> dict[str, Any]:
    record, verdict = body.record, body.record.verdict
    graded = is_graded(record.outcome, verified=is_verified(verdict))
    spend = record.spend
    return {
        "of_trial": told.subject,
        "of_number": record.number,
        "new_label": "",
        "new_owner_pid": None,
        "new_at": record.started_at,
        "new_ended_at": record.ended_at,
        "new_outcome": record.outcome.value,
        "new_record": json.dumps(json.loads(told.payload)["record"], ensure_ascii=False),
        "new_graded": graded,
        "new_reward": verdict.reward if graded and verdict else None,
        "new_passed": verdict.passed if graded and verdict else None,
        "new_turns": record.turns,
        "new_fault": record.error.type if record.error else None,
        "new_fault_reason": record.error.reason if record.error else None,
        "new_blame": record.error.blame if record.error else None,
        "new_duration_s": (record.ended_at - record.started_at).total_seconds(),
        **{f"new_{name}": value for name, value in asdict(spend.usage).items()},
        "new_tokens": spend.usage.tokens,
        "new_billed_nano": spend.billed_nano,
        "new_imputed_nano": spend.imputed_nano,
        "new_unpriced_calls": spend.unpriced_calls,
    }


def _sealed(told: Told, body: TrialEnded) -> dict[str, Any]:
    return {"of_trial": told.subject, "new_outcome": body.outcome.value, "new_at": told.at}


def _new(column: Any, name: str | None = None) -> Any:
    """The value of a column that an event gives."""
    return bindparam(f"new_{name or column.name}", type_=column.type)


def _insert(table: Table, source: Select[Any]) -> Insert:
    return insert(table).from_select([column.name for column in source.selected_columns], source)


_OF_TRIAL: BindParameter[str] = bindparam("of_trial")
_OF_NUMBER: BindParameter[int] = bindparam("of_number", type_=tries.c.number.type)
_THIS_TRY = (tries.c.trial_id == _OF_TRIAL) & (tries.c.number == _OF_NUMBER)
_THIS_USE = (usage.c.trial_id == _OF_TRIAL) & (usage.c.try_number == _OF_NUMBER)

_SEAT = _insert(
    tries,
    select(
        trials.c.id.label("trial_id"),
        _OF_NUMBER.label("number"),
        _new(tries.c.label).label("label"),
        _new(tries.c.owner_pid).label("owner_pid"),
        _new(tries.c.started_at, "at").label("started_at"),
    ).where(trials.c.id == _OF_TRIAL, ~exists().where(_THIS_TRY)),
)

_ON_START: tuple[Executable, ...] = (
    update(trials)
    .where(trials.c.id == _OF_TRIAL, trials.c.state != "ended")
    .values(
        state="running",
        started_at=func.coalesce(trials.c.started_at, _new(trials.c.started_at, "at")),
    ),
    _SEAT,
)

_ON_END: tuple[Executable, ...] = (
    _SEAT,
    update(tries)
    .where(_THIS_TRY)
    .values(
        outcome=_new(tries.c.outcome),
        ended_at=_new(tries.c.ended_at),
        record=_new(tries.c.record),
    ),
    delete(usage).where(_THIS_USE),
    _insert(
        usage,
        select(
            trials.c.id.label("trial_id"),
            _OF_NUMBER.label("try_number"),
            trials.c.model.label("model"),
            _new(usage.c.at, "ended_at").label("at"),
            *(_new(usage.c[name]).label(name) for name in COUNTS),
        ).where(trials.c.id == _OF_TRIAL),
    ),
    update(trials)
    .where(trials.c.id == _OF_TRIAL)
    .values(
        tries=select(func.count())
        .where(tries.c.trial_id == _OF_TRIAL, tries.c.record.is_not(None))
        .scalar_subquery(),
        **{name: _new(trials.c[name]) for name in COUNTED},
        **{
            name: select(func.coalesce(func.sum(usage.c[name]), 0))
            .where(usage.c.trial_id == _OF_TRIAL)
            .scalar_subquery()
            for name in SPENT
        },
    ),
)

_ON_SEAL: tuple[Executable, ...] = (
    update(trials)
    .where(trials.c.id == _OF_TRIAL)
    .values(state="ended", outcome=_new(trials.c.outcome), ended_at=_new(trials.c.ended_at, "at")),
)
