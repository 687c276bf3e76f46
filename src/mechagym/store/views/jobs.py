"""Jobs: the list, one of them, its matrix, its figures and its faults."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Integer, Select, case, cast, func, select

from mechagym.records import Outcome
from mechagym.store.queries import find_job, job_of
from mechagym.store.reading import Reading
from mechagym.store.rows import JobRow, JobState, TrialState
from mechagym.store.tables import jobs, trials
from mechagym.store.views.paging import Key, Page, below, page_of

FEW = 5
Source = Literal["local", "imported"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs a list shows; None does not bind. `text` is looked for in the name."""

    state: JobState | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFigures:
    """What the trials of a job come to now. Trials ended = graded + ungraded."""

    ended: int = 0
    running: int = 0
    graded: int = 0
    passed: int = 0
    billed_nano: int = 0
    imputed_nano: int = 0
    tokens: int = 0

    @property
    def ungraded(self) -> int:
        """Those that ended and enter no mean."""
        return self.ended - self.graded


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSummary:
    """A line of the list."""

    job: JobRow
    figures: JobFigures
    datasets: tuple[str, ...]
    agents: tuple[str, ...]
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A trial in the matrix."""

    trial_id: str
    dataset: str
    task: str
    agent: str
    model: str | None
    repeat: int
    state: TrialState
    outcome: Outcome | None
    passed: bool | None
    turns: int | None
    tries: int
    billed_nano: int
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskScore:
    """The graded trials of one task with one agent and model in a job."""

    dataset: str
    task: str
    agent: str
    model: str | None
    rewards: tuple[float, ...]
    passes: int

    @property
    def flaky(self) -> bool:
        """Some passed and some did not."""
        return 0 < self.passes < len(self.rewards)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A trial named for its time or its cost."""

    trial_id: str
    task: str
    duration_s: float
    billed_nano: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStats:
    """What the result of a job is made of."""

    outcomes: dict[Outcome, int]
    scores: tuple[TaskScore, ...]
    slowest: tuple[Ranked, ...]
    dearest: tuple[Ranked, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultCount:
    """How often a fault ended a counted try, by class, stable reason and blame."""

    fault: str
    reason: str
    blame: str
    trials: int


def job_list(
    reading: Reading, wanted: JobFilter, after: Key | None = None, limit: int = 50
) -> Page[JobSummary]:
    """Newest first."""
    keys: Sequence[ColumnElement[Any]] = (jobs.c.created_at, jobs.c.id)
    query = select(jobs).order_by(*(key.desc() for key in keys)).limit(limit + 1)
    if wanted.state is not None:
        query = query.where(jobs.c.state == wanted.state)
    if wanted.text:
        query = query.where(jobs.c.name.icontains(wanted.text, autoescape=True))
    if after is not None:
        query = query.where(below(keys, (datetime.fromisoformat(after[0]), after[1])))
    found = [job_of(row) for row in reading.connection.execute(query)]
    lines = summaries(reading, found)
    return page_of(
        [(line, (line.job.created_at.isoformat(), line.job.job_id)) for line in lines], limit
    )


def job(reading: Reading, name_or_id: str) -> JobSummary | None:
    """One job with what its trials come to."""
    found = find_job(reading.connection, name_or_id)
    return summaries(reading, [found])[0] if found else None


def job_matrix(reading: Reading, job_id: str) -> tuple[Cell, ...]:
    """All trials of a job, in the order of its plan."""
    columns = [trials.c[name] for name in Cell.__dataclass_fields__ if name != "trial_id"]
    query = select(trials.c.id.label("trial_id"), *columns).where(trials.c.job_id == job_id)
    return tuple(
        Cell(**row | {"outcome": Outcome(row["outcome"]) if row["outcome"] else None})
        for row in map(
            dict, reading.connection.execute(query.order_by(trials.c.ordinal)).mappings()
        )
    )


def job_stats(reading: Reading, job_id: str) -> JobStats:
    """Outcomes, scores by task, and the trials that took and cost most."""
    execute, ours = reading.connection.execute, trials.c.job_id == job_id
    ended = select(trials.c.outcome, func.count()).where(ours, trials.c.outcome.is_not(None))
    outcomes = {Outcome(name): count for name, count in execute(ended.group_by(trials.c.outcome))}
    of = (trials.c.dataset, trials.c.task, trials.c.agent, trials.c.model)
    graded = select(*of, trials.c.reward, trials.c.passed).where(ours, trials.c.graded)
    groups: dict[tuple[str, str, str, str | None], list[tuple[float, bool]]] = {}
    for dataset, task, agent, model, reward, passed in execute(graded.order_by(trials.c.ordinal)):
        groups.setdefault((dataset, task, agent, model), []).append((reward, passed))
    return JobStats(
        outcomes=outcomes,
        scores=tuple(
            TaskScore(
                dataset=dataset,
                task=task,
                agent=agent,
                model=model,
                rewards=tuple(reward for reward, _ in members),
                passes=sum(passed for _, passed in members),
            )
            for (dataset, task, agent, model), members in groups.items()
        ),
        slowest=_first(reading, ours, trials.c.duration_s),
        dearest=_first(reading, ours, trials.c.billed_nano),
    )


def job_errors(reading: Reading, job_id: str) -> tuple[FaultCount, ...]:
    """What went wrong in a job, the most frequent first."""
    kinds = (trials.c.fault, trials.c.fault_reason, trials.c.blame)
    count = func.count()
    query = (
        select(*kinds, count)
        .where(trials.c.job_id == job_id, trials.c.fault.is_not(None))
        .group_by(*kinds)
        .order_by(count.desc(), *kinds)
    )
    return tuple(
        FaultCount(fault=fault, reason=reason, blame=blame, trials=found)
        for fault, reason, blame, found in reading.connection.execute(query)
    )


def summaries(reading: Reading, found: Sequence[JobRow]) -> list[JobSummary]:
    """The lines of some jobs, with two statements for all of them."""
    ids = [row.job_id for row in found]
    figures = {
        row.job_id: JobFigures(
            **{name: int(row._mapping[name] or 0) for name in JobFigures.__dataclass_fields__}
        )
        for row in reading.connection.execute(_figures(ids))
    }
    named: dict[str, list[set[str]]] = {each: [set(), set(), set()] for each in ids}
    what = (trials.c.dataset, trials.c.agent, trials.c.model)
    query = select(trials.c.job_id, *what).where(trials.c.job_id.in_(ids)).distinct()
    for job_id, *names in reading.connection.execute(query):
        for place, name in enumerate(names):
            named[job_id][place] |= {name} - {None, ""}
    return [
        JobSummary(
            job=row,
            figures=figures.get(row.job_id, JobFigures()),
            datasets=tuple(sorted(named[row.job_id][0])),
            agents=tuple(sorted(named[row.job_id][1])),
            models=tuple(sorted(named[row.job_id][2])),
        )
        for row in found
    ]


def _figures(ids: Sequence[str]) -> Select[Any]:
    def count(condition: ColumnElement[bool]) -> ColumnElement[int]:
        return func.sum(cast(case((condition, 1), else_=0), Integer))

    sums = (func.sum(trials.c[n]).label(n) for n in ("billed_nano", "imputed_nano", "tokens"))
    return (
        select(
            trials.c.job_id,
            count(trials.c.state == "ended").label("ended"),
            count(trials.c.state == "running").label("running"),
            count(trials.c.graded.is_(True)).label("graded"),
            count(trials.c.passed.is_(True)).label("passed"),
            *sums,
        )
        .where(trials.c.job_id.in_(ids))
        .group_by(trials.c.job_id)
    )


def _first(
    reading: Reading, ours: ColumnElement[bool], by: ColumnElement[Any]
) -> tuple[Ranked, ...]:
    columns = (trials.c.task, trials.c.duration_s, trials.c.billed_nano)
    query = select(trials.c.id.label("trial_id"), *columns).where(ours, by > 0)
    rows = reading.connection.execute(query.order_by(by.desc(), trials.c.id).limit(FEW))
    return tuple(Ranked(**row) for row in rows.mappings())
