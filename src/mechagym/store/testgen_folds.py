"""From the events of test generation to its rows, one event at a time.

A row depends on nothing but events in the order in which they were committed, so that all rows can
be dropped and made again. Every fold may see an event twice.
"""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, Table, case, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from mechagym.events import (
    EventBody,
    TestgenCalibrated,
    TestgenComplete,
    TestgenConfigAccepted,
    TestgenConfigSaved,
    TestgenMatrix,
    TestgenProposal,
    TestgenResult,
    TestgenStart,
    TestgenTest,
    body_from_json,
)
from mechagym.records import now, to_json
from mechagym.store.blobs import Blobs
from mechagym.store.tables import events, trials
from mechagym.store.testgen_tables import (
    METRICS,
    TABLES,
    best_configs,
    calibration,
    configs,
    evolution,
    matrices,
    results,
    runs,
    tests,
)

FOLDED = (
    TestgenStart,
    TestgenMatrix,
    TestgenTest,
    TestgenResult,
    TestgenComplete,
    TestgenProposal,
    TestgenConfigSaved,
    TestgenConfigAccepted,
    TestgenCalibrated,
)
NEEDED_RUNS = 3
"""A config is the best of a type of tasks after so many runs with a score."""


def fold(connection: Connection, subject: str, at: datetime, body: EventBody) -> None:
    """Bring the rows up to date with an event; one that no row depends on is passed over."""
    match body:
        case TestgenStart():
            _started(connection, subject, at, body)
        case TestgenMatrix():
            _matrix(connection, at, body)
        case TestgenTest():
            _test(connection, at, body)
        case TestgenResult():
            _result(connection, at, body)
        case TestgenComplete():
            _complete(connection, at, body)
        case TestgenProposal():
            _proposal(connection, at, body)
        case TestgenConfigSaved():
            _saved(connection, at, body)
        case TestgenConfigAccepted():
            _accepted(connection, at, body)
        case TestgenCalibrated():
            _calibrated(connection, at, body)
        case _:
            pass


def rebuild(connection: Connection, blobs: Blobs) -> None:
    """Drop all rows and make them again from the events."""
    for table in TABLES:
        connection.execute(delete(table))
    kinds = [body.__dataclass_fields__["kind"].default for body in FOLDED]
    query = select(events).where(events.c.kind.in_(kinds)).order_by(events.c.position)
    for row in connection.execute(query).all():
        body = body_from_json(blobs.get(row.blob) if row.blob else row.payload)
        with suppress(IntegrityError), connection.begin_nested():  # it had no row before either
            fold(connection, row.subject, row.at, body)


def forget(connection: Connection, streams: Select[tuple[str]]) -> None:
    """Drop the runs whose events lie in these streams and are dropped with them."""
    gone = runs.c.stream_id.in_(streams)
    kinds = connection.execute(select(runs.c.task_type).where(gone).distinct()).scalars().all()
    connection.execute(delete(runs).where(gone))
    for kind in kinds:
        count_best(connection, kind, now())


def _started(connection: Connection, subject: str, at: datetime, body: TestgenStart) -> None:
    keys = ("config_digest", "task_id", "task_digest", "task_type", "trial_id", "proposal_id")
    known = {name: getattr(body, name) for name in (*keys, "context")}
    trial = connection.execute(select(trials).where(trials.c.id == subject)).first()
    if trial is not None and body.trial_id is None:  # who runs within a trial does not know of it
        task = f"{trial.dataset}/{trial.task}".lstrip("/")
        known |= {"trial_id": trial.id, "task_id": task, "task_digest": trial.task_digest}
    _put(
        connection,
        runs,
        {"run_id": body.run_id},
        {**known, "stream_id": subject},
        {
            "status": "running",
            "ready": False,
            "shares": "{}",
            "notes": "[]",
            "tests_total": 0,
            "tests_valid": 0,
            "tokens": 0,
            "duration_s": 0.0,
            "created_at": at,
        },
    )


def _matrix(connection: Connection, at: datetime, body: TestgenMatrix) -> None:
    values = {
        "requirements": to_json(body.requirements),
        "entities": to_json(body.matrix.entities),
        "constraints": to_json(body.matrix.constraints),
        "ticks": to_json(body.matrix.ticks),
    }
    _put(connection, matrices, {"run_id": body.run_id}, values, {"created_at": at})


def _test(connection: Connection, at: datetime, body: TestgenTest) -> None:
    test = body.test
    plain = ("category", "role", "status", "reject_rule", "label", "function", "title", "code")
    more = ("input_source", "expected_source", "confidence")
    values = {
        **{name: getattr(test, name) for name in (*plain, *more)},
        "code_digest": hashlib.sha256(test.code.encode("utf-8", "replace")).hexdigest(),
        "requirement_ids": to_json(test.requirement_ids),
        "cells": to_json(test.cells),
        "provenance": to_json(test.provenance),
        "body": to_json(test),
    }
    key = {"run_id": body.run_id, "test_id": test.test_id}
    _put(connection, tests, key, values, {"created_at": at})


def _result(connection: Connection, at: datetime, body: TestgenResult) -> None:
    key = {name: getattr(body, name) for name in ("run_id", "test_id", "occasion", "ordinal")}
    values = {"status": body.status, "duration_s": body.duration_s, "message": body.message[:500]}
    _put(connection, results, key, values, {"created_at": at})


def _complete(connection: Connection, at: datetime, body: TestgenComplete) -> None:
    totals, metrics = body.totals, body.totals.metrics
    plain = ("stopped_by", "ready", "suite_digest", "tests_total", "tests_valid", "score")
    change = update(runs).where(runs.c.run_id == body.run_id)
    connection.execute(
        change.values(
            status=body.status,
            tokens=totals.spend.usage.tokens,
            cost_usd=None if totals.spend.unpriced_calls else totals.spend.cost_usd,
            duration_s=totals.duration_s,
            notes=to_json((*totals.unready, *totals.notes)),
            shares=to_json(
                {name: getattr(metrics, name) for name in ("by_kind", "by_category", "by_rule")}
            ),
            **{name: getattr(totals, name) for name in plain},
            **{name: getattr(metrics, name) for name in METRICS},
        )
    )
    kind = connection.execute(select(runs.c.task_type).where(runs.c.run_id == body.run_id)).scalar()
    if kind is not None:
        count_best(connection, kind, at)


def _proposal(connection: Connection, at: datetime, body: TestgenProposal) -> None:
    plain = ("from_digest", "to_digest", "reasoning", "basis", "accepted", "low", "high")
    values = {
        **{name: getattr(body, name) for name in plain},
        "kind": body.change,
        "changes": json.dumps(body.changes, sort_keys=True, ensure_ascii=False),
        "clamps": to_json(body.clamps),
        "expected_improvement": body.expected_improvement,
        "actual_improvement": body.actual_improvement,
    }
    _put(connection, evolution, {"id": body.proposal_id}, values, {"created_at": at})


def _saved(
    connection: Connection, at: datetime, body: TestgenConfigSaved | TestgenConfigAccepted
) -> None:
    """Keep a config once: whoever says it again says the same, since its digest is the same."""
    known = select(configs.c.digest).where(configs.c.digest == body.digest)
    if connection.execute(known).first() is not None:
        return
    plain = ("digest", "version", "parent_digest", "created_by")
    connection.execute(
        insert(configs).values(
            **{name: getattr(body, name) for name in plain},
            body=json.dumps(body.body, sort_keys=True, ensure_ascii=False),
            is_current=False,
            created_at=at,
        )
    )


def _accepted(connection: Connection, at: datetime, body: TestgenConfigAccepted) -> None:
    _saved(connection, at, body)
    if body.task_type is not None:
        values = {"config_digest": body.digest, "is_override": True, "updated_at": at}
        nothing_yet = {"pass_count": 0, "total_runs": 0, "created_at": at}
        _put(connection, best_configs, {"task_type": body.task_type}, values, nothing_yet)
        count_best(connection, body.task_type, at)
        return
    connection.execute(update(configs).where(configs.c.is_current).values(is_current=False))
    connection.execute(
        update(configs).where(configs.c.digest == body.digest).values(is_current=True)
    )


def _calibrated(connection: Connection, at: datetime, body: TestgenCalibrated) -> None:
    for count in body.counts:
        key = {"config_digest": body.config_digest, "job_id": body.job_id}
        key |= {"category": count.category, "metric": count.metric}
        values = {"successes": count.successes, "trials": count.trials, "created_at": at}
        _put(connection, calibration, key, values, {})


def count_best(connection: Connection, task_type: str, at: datetime) -> None:
    """Count anew which config is the best for a type of tasks, after each of its runs.

    It is the one with the highest mean score of those with three scored runs; a person's choice
    stays whatever the scores. Its counts are of all its ended runs, scored or not.
    """
    row = connection.execute(select(best_configs).where(best_configs.c.task_type == task_type))
    before = row.first()
    digest = before.config_digest if before and before.is_override else None
    mean = func.avg(runs.c.score)
    counted = (
        select(
            runs.c.config_digest,
            mean.label("score"),
            func.count().label("total_runs"),
            func.sum(case((runs.c.ready, 1), else_=0)).label("pass_count"),
        )
        .where(runs.c.task_type == task_type, runs.c.status != "running")
        .group_by(runs.c.config_digest)
        .order_by(mean.desc(), runs.c.config_digest)
    )
    if digest is not None:
        counted = counted.where(runs.c.config_digest == digest)
    else:
        counted = counted.having(func.count(runs.c.score) >= NEEDED_RUNS)
    best = connection.execute(counted.limit(1)).first()
    if best is None:
        if digest is None:
            connection.execute(delete(best_configs).where(best_configs.c.task_type == task_type))
        return
    values = {
        "config_digest": best.config_digest,
        "run_id": _best_run(connection, task_type, best.config_digest),
        "score": None if best.score is None else float(best.score),
        "pass_count": int(best.pass_count),
        "total_runs": best.total_runs,
        "updated_at": at,
    }
    fresh = {"is_override": False, "created_at": at}
    _put(connection, best_configs, {"task_type": task_type}, values, fresh)


def _best_run(connection: Connection, task_type: str, digest: str) -> str | None:
    query = (
        select(runs.c.run_id)
        .where(runs.c.task_type == task_type, runs.c.config_digest == digest)
        .where(runs.c.score.is_not(None))
        .order_by(runs.c.score.desc(), runs.c.created_at, runs.c.run_id)
    )
    return connection.execute(query.limit(1)).scalar()


def _put(
    connection: Connection,
    table: Table,
    key: Mapping[str, Any],
    values: Mapping[str, Any],
    fresh: Mapping[str, Any],
) -> None:
    """Change the row of this key, or make it, with what only a new one is given (`fresh`)."""
    here = [table.c[name] == value for name, value in key.items()]
    if connection.execute(update(table).where(*here).values(**values)).rowcount == 0:
        connection.execute(insert(table).values(**key, **values, **fresh))
