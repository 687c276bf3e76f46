"""Tasks and what became of them: the list with its figures, and the history of one."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Integer, Row, Select, case, cast, func, select

from mechagym.store.queries import trial_of
from mechagym.store.reading import Reading
from mechagym.store.rows import TaskRow, TrialRow
from mechagym.store.tables import tasks, trials
from mechagym.store.views.paging import Key, Page, above, page_of

TaskState = Literal["never_run", "passed", "failed", "flaky"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter:
    """Which tasks a list shows; None does not bind."""

    text: str | None = None
    dataset: str | None = None
    difficulty: str | None = None
    category: str | None = None
    tag: str | None = None
    author: str | None = None
    needs: str | None = None
    state: TaskState | None = None
    job_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskLine:
    """A task with all its trials so far. `billed_nano` is the mean cost of those that ended."""

    task: TaskRow
    trials: int
    ended: int
    graded: int
    passed: int
    billed_nano: float | None
    last_at: datetime | None

    @property
    def ungraded(self) -> int:
        """Those that ended and enter no mean."""
        return self.ended - self.graded

    @property
    def flaky(self) -> bool:
        """Some passed and some did not."""
        return 0 < self.passed < self.graded


def task_list(
    reading: Reading, wanted: TaskFilter, after: Key | None = None, limit: int = 50
) -> Page[TaskLine]:
    """Tasks by dataset and name."""
    keys = (tasks.c.dataset, tasks.c.name, tasks.c.digest)
    query = _narrowed(_joined(), wanted).order_by(*keys).limit(limit + 1)
    if after is not None:
        query = query.where(above(keys, after))
    lines = [_line_of(row) for row in reading.connection.execute(query)]
    return page_of(
        [(line, (line.task.dataset, line.task.name, line.task.digest)) for line in lines], limit
    )


def task(reading: Reading, digest: str) -> TaskLine | None:
    """One task by its digest."""
    row = reading.connection.execute(_joined().where(tasks.c.digest == digest)).first()
    return _line_of(row) if row else None


def task_history(reading: Reading, digest: str, limit: int = 500) -> tuple[TrialRow, ...]:
    """The trials of a task, the newest first."""
    query = select(trials).where(trials.c.task_digest == digest)
    newest = query.order_by(trials.c.started_at.desc().nulls_last(), trials.c.id).limit(limit)
    return tuple(trial_of(row) for row in reading.connection.execute(newest))


def flaky(reading: Reading) -> tuple[TaskLine, ...]:
    """The tasks that sometimes pass and sometimes do not."""
    query = _narrowed(_joined(), TaskFilter(state="flaky"))
    rows = reading.connection.execute(query.order_by(tasks.c.dataset, tasks.c.name))
    return tuple(map(_line_of, rows))


def datasets(reading: Reading) -> tuple[tuple[str, int], ...]:
    """The datasets that tasks are known of, with how many."""
    query = select(tasks.c.dataset, func.count()).group_by(tasks.c.dataset)
    rows = reading.connection.execute(query.order_by(tasks.c.dataset))
    return tuple((name, count) for name, count in rows)


def _ones(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(cast(case((condition, 1), else_=0), Integer))


_FIGURES = (
    select(
        trials.c.task_digest,
        func.count().label("count"),
        func.count(trials.c.ended_at).label("ended"),
        _ones(trials.c.graded.is_(True)).label("graded"),
        _ones(trials.c.passed.is_(True)).label("passed"),
        func.avg(case((trials.c.ended_at.is_not(None), trials.c.billed_nano))).label("cost"),
        func.max(trials.c.ended_at).label("last_at"),
    )
    .group_by(trials.c.task_digest)
    .subquery()
)


def _joined() -> Select[Any]:
    names = ("count", "ended", "graded", "passed")
    counts = (func.coalesce(_FIGURES.c[name], 0).label(name) for name in names)
    return select(tasks, *counts, _FIGURES.c.cost, _FIGURES.c.last_at).outerjoin(
        _FIGURES, _FIGURES.c.task_digest == tasks.c.digest
    )


def _narrowed(query: Select[Any], wanted: TaskFilter) -> Select[Any]:
    for name in ("dataset", "difficulty", "category", "author"):
        if (value := getattr(wanted, name)) is not None:
            query = query.where(tasks.c[name] == value)
    if wanted.text:
        query = query.where(tasks.c.name.icontains(wanted.text, autoescape=True))
    for column, word in ((tasks.c.tags, wanted.tag), (tasks.c.needs, wanted.needs)):
        if word is not None:
            query = query.where(column.contains(json.dumps(word), autoescape=True))
    if wanted.job_id is not None:
        ours = select(trials.c.task_digest).where(trials.c.job_id == wanted.job_id)
        query = query.where(tasks.c.digest.in_(ours))
    return query.where(_in_state(wanted.state)) if wanted.state else query


def _in_state(state: TaskState) -> ColumnElement[bool]:
    count, graded, passed = (
        func.coalesce(_FIGURES.c[name], 0) for name in ("count", "graded", "passed")
    )
    match state:
        case "never_run":
            return count == 0
        case "passed":
            return (graded > 0) & (passed == graded)
        case "failed":
            return (graded > 0) & (passed == 0)
        case "flaky":
            return (passed > 0) & (passed < graded)


def _line_of(row: Row[Any]) -> TaskLine:
    values = {name: row._mapping[name] for name in TaskRow.__dataclass_fields__}
    lists = {name: tuple(json.loads(values[name])) for name in ("tags", "needs")}
    return TaskLine(
        task=TaskRow(**values | lists),
        trials=row._mapping["count"],
        ended=row.ended,
        graded=row.graded,
        passed=row.passed,
        billed_nano=float(row.cost) if row.cost is not None else None,
        last_at=row.last_at,
    )
