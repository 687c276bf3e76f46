"""What the API says: times in UTC, money as decimal strings, what is unknown as null."""

import json
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from mechagym.events import Event, body_to_json
from mechagym.records import Json, Outcome, Spend, to_json
from mechagym.run.statistics import wilson
from mechagym.store import OwnerRow, TrialRow
from mechagym.store.owner import is_alive
from mechagym.store.views.dashboard import OpState
from mechagym.store.views.health import OpView
from mechagym.store.views.jobs import JobSummary
from mechagym.store.views.live import Told


class OwnerOut(BaseModel):
    """The process that works on a job."""

    pid: int
    host: str
    alive: bool


class ShareOut(BaseModel):
    """A share of graded trials, with its 95 % interval (Wilson) and what it leaves out."""

    passed: int
    graded: int
    ungraded: int
    share: float | None
    low: float | None
    high: float | None


class JobOut(BaseModel):
    """A job with what its trials come to now."""

    id: str
    name: str
    state: str
    config_digest: str
    datasets: list[str]
    agents: list[str]
    models: list[str]
    trials: int
    ended: int
    running: int
    result: ShareOut
    tokens: int
    cost_usd: str
    imputed_usd: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    heartbeat_at: datetime | None
    owner: OwnerOut | None


class JobDetailOut(JobOut):
    """A job with its frozen config."""

    config: dict[str, Any]


class TrialOut(BaseModel):
    """A trial. What it has not come to yet is null."""

    id: str
    name: str
    job_id: str
    dataset: str
    task: str
    task_digest: str
    agent: str
    model: str | None
    repeat: int
    state: str
    outcome: Outcome | None
    graded: bool
    passed: bool | None
    reward: float | None
    tries: int
    turns: int | None
    tokens: int
    cost_usd: str
    imputed_usd: str
    duration_s: float | None
    started_at: datetime | None
    ended_at: datetime | None
    fault: str | None
    fault_reason: str | None
    blame: str | None


class EventOut(BaseModel):
    """An event. `body` is null where it is too big to come along."""

    subject: str
    seq: int
    at: datetime
    try_number: int
    kind: str
    body: dict[str, Any] | None


class OpOut(BaseModel):
    """What a person asked and what became of it. `untaken`: nobody who could take it is alive."""

    op_id: int
    job_id: str | None
    kind: str
    state: OpState
    detail: str
    author: str
    at: datetime
    worker_id: str | None
    taken_at: datetime | None
    ended_at: datetime | None
    payload: dict[str, Any]


class AskedOut(BaseModel):
    """The op that a request became."""

    op_id: int


class SpendOut(BaseModel):
    """Tokens by their six counts, and money in both ledgers."""

    input: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int
    output: int
    reasoning: int
    tokens: int
    web_searches: int
    cost_usd: str
    imputed_usd: str
    unpriced_calls: int


def usd(nano: float) -> str:
    """Nano-dollars as a decimal string of dollars, exact."""
    text = f"{Decimal(round(nano)).scaleb(-9):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def share_out(passed: int, graded: int, ungraded: int) -> ShareOut:
    """A share with its interval; unknown where nothing was graded."""
    interval = wilson(passed, graded) if graded else None
    return ShareOut(
        passed=passed,
        graded=graded,
        ungraded=ungraded,
        share=passed / graded if graded else None,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
    )


def owner_out(owner: OwnerRow | None, heartbeat_at: datetime | None) -> OwnerOut | None:
    """A process, and whether it lives."""
    if owner is None:
        return None
    return OwnerOut(pid=owner.pid, host=owner.host, alive=is_alive(owner, heartbeat_at))


def job_out(line: JobSummary) -> JobOut:
    """A line of the list of jobs."""
    job, figures = line.job, line.figures
    return JobOut(
        id=job.job_id,
        name=job.name,
        state=job.state,
        config_digest=job.config_digest,
        datasets=list(line.datasets),
        agents=list(line.agents),
        models=list(line.models),
        trials=job.trials,
        ended=figures.ended,
        running=figures.running,
        result=share_out(figures.passed, figures.graded, figures.ungraded),
        tokens=figures.tokens,
        cost_usd=usd(figures.billed_nano),
        imputed_usd=usd(figures.imputed_nano),
        created_at=job.created_at,
        started_at=job.started_at,
        ended_at=job.ended_at,
        heartbeat_at=job.heartbeat_at,
        owner=owner_out(job.owner, job.heartbeat_at),
    )


def job_detail_out(line: JobSummary) -> JobDetailOut:
    """One job."""
    return JobDetailOut(config=json.loads(line.job.config), **job_out(line).model_dump())


def trial_out(row: TrialRow) -> TrialOut:
    """A trial from its row."""
    key = row.key
    names = ("job_id", "dataset", "task", "task_digest", "agent", "model", "repeat")
    same = ("state", "outcome", "graded", "passed", "reward", "tries", "turns", "tokens")
    rest = ("started_at", "ended_at", "fault", "fault_reason", "blame")
    return TrialOut(
        id=key.trial_id,
        name=key.trial_name,
        **{name: getattr(key, name) for name in names},
        **{name: getattr(row, name) for name in (*same, *rest)},
        cost_usd=usd(row.billed_nano),
        imputed_usd=usd(row.imputed_nano),
        duration_s=row.duration_s if row.tries else None,
    )


def event_out(event: Event) -> EventOut:
    """An event with its body as JSON."""
    return EventOut(
        subject=event.subject,
        seq=event.seq,
        at=event.at,
        try_number=event.try_number,
        kind=event.body.kind,
        body=json.loads(body_to_json(event.body)),
    )


def told_json(told: Told, *, topics: AbstractSet[str], whole: bool) -> str:
    """An event of a stream as JSON, its body passed on as it is kept.

    `topics` tell a reader that follows for several pages which of them it is for.
    """
    at = told.at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    envelope: dict[str, Json] = {
        "position": told.position,
        "topics": sorted(topics),
        "subject": told.subject,
        "seq": told.seq,
        "at": at,
        "try_number": told.try_number,
        "kind": told.kind,
    }
    body = told.body if whole and told.body is not None else "null"
    return f'{json.dumps(envelope)[:-1]}, "body": {body}}}'


def op_out(view: OpView) -> OpOut:
    """An op and how it stands."""
    op = view.op
    return OpOut(
        op_id=op.op_id,
        job_id=op.job_id,
        kind=op.op.kind,
        state=view.state,
        detail=op.detail,
        author=op.author,
        at=op.at,
        worker_id=op.worker_id,
        taken_at=op.taken_at,
        ended_at=op.ended_at,
        payload=json.loads(to_json(op.op)),
    )


def spend_out(spend: Spend) -> SpendOut:
    """What was spent."""
    usage = spend.usage
    return SpendOut(
        input=usage.input,
        cache_read=usage.cache_read,
        cache_write_5m=usage.cache_write_5m,
        cache_write_1h=usage.cache_write_1h,
        output=usage.output,
        reasoning=usage.reasoning,
        tokens=usage.tokens,
        web_searches=usage.web_searches,
        cost_usd=usd(spend.billed_nano),
        imputed_usd=usd(spend.imputed_nano),
        unpriced_calls=spend.unpriced_calls,
    )
