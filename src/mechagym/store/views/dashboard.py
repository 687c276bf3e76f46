"""The dashboard: what the trials of a time came to, what is under way, what needs a person."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, Integer, case, cast, func, select

from mechagym.records import now
from mechagym.store.ops import list_workers, open_ops, untaken
from mechagym.store.owner import is_alive
from mechagym.store.queries import find_job, trial_of
from mechagym.store.reading import Reading
from mechagym.store.rows import OpRow, TrialRow
from mechagym.store.tables import events, jobs, tasks, trials, usage
from mechagym.store.views.jobs import JobFilter, JobSummary, job_list

OpState = Literal["asked", "done", "refused", "untaken"]

LAST = 50
SILENT = timedelta(minutes=10)
UNTAKEN = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many of some graded trials passed, and how many beside them entered no mean."""

    passed: int
    graded: int
    ungraded: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What was spent in a time, in both ledgers."""

    billed_nano: int = 0
    imputed_nano: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The figures of the dashboard. What nothing is known of is None, never 0. `today` is the last
    24 hours: where a day begins for who reads is not known here.
    """

    window: Share
    last: Share
    running: int
    waiting: int
    turns_mean: float | None
    duration_median_s: float | None
    duration_p90_s: float | None
    today: Cost
    week: Cost
    by_day: tuple[tuple[str, Share], ...]
    by_difficulty: tuple[tuple[str | None, Share], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Something that waits for a person. `subject` is the job, trial or op it is about."""

    kind: Literal["budget", "silent", "untaken"]
    subject: str
    what: str
    since: datetime


def overview(reading: Reading, since: datetime | None = None) -> Overview:
    """What the trials that ended since then came to; None: all there are."""
    at, window = now(), _ended_since(since)
    turns, median_s, p90_s = _spread(reading, window)
    states, by_day = _states(reading), _by_day(reading, window)
    return Overview(
        window=_sum(each for _, each in by_day),
        last=_last(reading),
        running=states.get("running", 0),
        waiting=states.get("pending", 0),
        turns_mean=turns,
        duration_median_s=median_s,
        duration_p90_s=p90_s,
        today=cost_since(reading, at - timedelta(days=1)),
        week=cost_since(reading, at - timedelta(days=7)),
        by_day=by_day,
        by_difficulty=_by_difficulty(reading, window),
    )


def recent_jobs(reading: Reading, limit: int = 5) -> tuple[JobSummary, ...]:
    """The newest."""
    return job_list(reading, JobFilter(), None, limit).items


def recent_trials(reading: Reading, limit: int = 10) -> tuple[TrialRow, ...]:
    """Those that began last."""
    newest = select(trials.c.id).where(trials.c.started_at.is_not(None))
    newest = newest.order_by(trials.c.started_at.desc(), trials.c.id.desc()).limit(limit)
    rows = reading.connection.execute(
        select(trials)
        .where(trials.c.id.in_(newest.scalar_subquery()))
        .order_by(trials.c.started_at.desc(), trials.c.id.desc())
    )
    return tuple(trial_of(row) for row in rows)


def attention(reading: Reading) -> tuple[Need, ...]:
    """What needs a person, the oldest first."""
    needs = [*_budgets(reading), *_silent(reading), *_untaken(reading)]
    return tuple(sorted(needs, key=lambda need: need.since))


def state_of(reading: Reading, op: OpRow) -> OpState:
    """How an op stands: `untaken` where after 10 s nobody alive is at it."""
    if op.ended_at is not None:
        return "done" if op.applied else "refused"
    if now() - op.at < UNTAKEN:
        return "asked"
    held_by = {
        each.worker_id
        for each in list_workers(reading.connection)
        if is_alive(each.owner, each.heartbeat_at)
    }
    return "untaken" if untaken(op, held_by, _job_alive(reading, op.job_id)) else "asked"


def _job_alive(reading: Reading, job_id: str | None) -> bool:
    job = find_job(reading.connection, job_id) if job_id else None
    return job is not None and job.owner is not None and is_alive(job.owner, job.heartbeat_at)


def _ended_since(since: datetime | None) -> ColumnElement[bool]:
    known = trials.c.ended_at.is_not(None)
    return known if since is None else trials.c.ended_at >= since


def _ones(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(cast(case((condition, 1), else_=0), Integer)), 0)


_COUNTS = (
    _ones(trials.c.passed.is_(True)).label("passed"),
    _ones(trials.c.graded.is_(True)).label("graded"),
    _ones(trials.c.graded.is_(False)).label("ungraded"),
)


def _share_of(counts: Sequence[int]) -> Share:
    passed, graded, ungraded = counts
    return Share(passed=passed, graded=graded, ungraded=ungraded)


def _sum(shares: Iterable[Share]) -> Share:
    counts = [(each.passed, each.graded, each.ungraded) for each in shares]
    return _share_of([sum(column) for column in zip((0, 0, 0), *counts, strict=True)])


def share(reading: Reading, *window: ColumnElement[bool]) -> Share:
    """Of the trials that are meant, which must have ended."""
    return _share_of(reading.connection.execute(select(*_COUNTS).where(*window)).one())


def _last(reading: Reading) -> Share:
    """Of the last graded ones, and what ended ungraded since the first of them."""
    newest = trials.c.ended_at.desc()
    query = select(trials.c.ended_at).where(trials.c.ended_at.is_not(None), trials.c.graded)
    ends = list(reading.connection.execute(query.order_by(newest).limit(LAST)).scalars())
    return share(reading, trials.c.ended_at >= ends[-1]) if ends else Share(passed=0, graded=0)


def _states(reading: Reading) -> dict[str, int]:
    """Running and waiting ones; those that ended, the many, are not counted here."""
    live = trials.c.state.in_(("running", "pending"))
    unfinished = select(jobs.c.id).where(jobs.c.state.in_(("pending", "running")))
    query = select(trials.c.state, func.count()).where(trials.c.job_id.in_(unfinished), live)
    rows = reading.connection.execute(query.group_by(trials.c.state))
    return {state: count for state, count in rows}  # noqa: C416 – a Row is no pair for mypy


def _spread(
    reading: Reading, window: ColumnElement[bool]
) -> tuple[float | None, float | None, float | None]:
    """Mean turns, median and 90th percentile of the duration, of the graded."""
    graded = (window, trials.c.graded.is_(True))
    turns = reading.connection.execute(select(func.avg(trials.c.turns)).where(*graded)).scalar()
    # sorted here: a database that ranks 100,000 rows makes rows of them first, for twice the time
    query = select(trials.c.duration_s).where(*graded)
    times_s = sorted(reading.connection.execute(query).scalars())
    if not times_s:
        return None, None, None
    middle, most = (len(times_s) + 1) // 2 - 1, -(-len(times_s) * 9 // 10) - 1
    return float(turns) if turns is not None else None, times_s[middle], times_s[most]


def cost_since(reading: Reading, since: datetime) -> Cost:
    """What all calls since then cost."""
    sums = (func.coalesce(func.sum(usage.c[n]), 0) for n in ("billed_nano", "imputed_nano"))
    billed, imputed = reading.connection.execute(select(*sums).where(usage.c.at >= since)).one()
    return Cost(billed_nano=int(billed), imputed_nano=int(imputed))


def day_of(reading: Reading, column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The UTC day of a time, as a group."""
    if reading.connection.dialect.name == "postgresql":
        return func.to_char(func.timezone("UTC", column), "YYYY-MM-DD")
    return func.substr(column, 1, 10)


def _by_day(reading: Reading, window: ColumnElement[bool]) -> tuple[tuple[str, Share], ...]:
    day = day_of(reading, trials.c.ended_at).label("day")
    query = select(day, *_COUNTS).where(window).group_by(day).order_by(day)
    return tuple((row[0], _share_of(row[1:])) for row in reading.connection.execute(query))


def _by_difficulty(
    reading: Reading, window: ColumnElement[bool]
) -> tuple[tuple[str | None, Share], ...]:
    by_task = select(trials.c.task_digest, *_COUNTS).where(window).group_by(trials.c.task_digest)
    inner = by_task.subquery()
    sums = (func.sum(inner.c[name]) for name in ("passed", "graded", "ungraded"))
    query = (
        select(tasks.c.difficulty, *sums)
        .select_from(inner)
        .outerjoin(tasks, tasks.c.digest == inner.c.task_digest)
        .group_by(tasks.c.difficulty)
        .order_by(tasks.c.difficulty)
    )
    rows = reading.connection.execute(query)
    return tuple((row[0], _share_of([int(count) for count in row[1:]])) for row in rows)


def _budgets(reading: Reading) -> list[Need]:
    warned = (
        select(func.max(events.c.at))
        .where(events.c.subject == jobs.c.id, events.c.kind == "budget_warned")
        .scalar_subquery()
    )
    query = select(jobs.c.id, warned.label("at")).where(jobs.c.state == "running")
    return [
        Need(kind="budget", subject=row.id, what="over 75 % of a limit", since=row.at)
        for row in reading.connection.execute(query)
        if row.at is not None
    ]


def _silent(reading: Reading) -> list[Need]:
    newest = select(func.max(events.c.at)).where(events.c.subject == trials.c.id).scalar_subquery()
    running = select(jobs.c.id).where(jobs.c.state == "running")
    query = select(trials.c.id, trials.c.name, newest.label("at")).where(
        trials.c.job_id.in_(running), trials.c.state == "running"
    )
    return [
        Need(kind="silent", subject=row.id, what=f"{row.name} says nothing", since=row.at)
        for row in reading.connection.execute(query)
        if row.at is not None and now() - row.at > SILENT
    ]


def _untaken(reading: Reading) -> list[Need]:
    return [
        Need(kind="untaken", subject=str(op.op_id), what=f"nobody took: {op.op.kind}", since=op.at)
        for op in open_ops(reading.connection)
        if state_of(reading, op) == "untaken"
    ]
