"""The list of tasks with what one may narrow it by, and one task with all that its page shows."""

from dataclasses import dataclass

from sqlalchemy import select

from mechagym.events import AgentStarted
from mechagym.store.queries import find_job
from mechagym.store.reading import Reading
from mechagym.store.rows import JobRow, TrialRow
from mechagym.store.tables import tasks as known
from mechagym.store.views import tasks, trials
from mechagym.store.views.paging import Key, Page

LOOKED_AT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class TasksPage:
    """Some tasks, and the datasets and difficulties that there are."""

    found: Page[tasks.TaskLine]
    datasets: tuple[tuple[str, int], ...]
    difficulties: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPage:
    """A task with its trials, newest first. `newest` is the job that tried it last.

    `instructions` are those of the newest trial that an agent began, one for each step.
    """

    line: tasks.TaskLine
    history: tuple[TrialRow, ...]
    newest: JobRow | None
    instructions: tuple[str, ...]


def tasks_page(
    reading: Reading, wanted: tasks.TaskFilter, after: Key | None = None, limit: int = 50
) -> TasksPage:
    """The tasks that are wanted, by dataset and name."""
    column = known.c.difficulty
    query = select(column).where(column.is_not(None)).distinct().order_by(column)
    return TasksPage(
        found=tasks.task_list(reading, wanted, after, limit),
        datasets=tasks.datasets(reading),
        difficulties=tuple(reading.connection.execute(query).scalars()),
    )


def task_page(reading: Reading, digest: str) -> TaskPage | None:
    """The task; None where none of this digest was seen."""
    line = tasks.task(reading, digest)
    if line is None:
        return None
    history = tasks.task_history(reading, digest)
    return TaskPage(
        line=line,
        history=history,
        newest=find_job(reading.connection, history[0].key.job_id) if history else None,
        instructions=_instructions(reading, history),
    )


def _instructions(reading: Reading, history: tuple[TrialRow, ...]) -> tuple[str, ...]:
    for row in history[:LOOKED_AT]:
        told = trials.steps(reading, row.key.trial_id, 0, 100, ("agent_started",)).items
        if told:
            last = told[-1].try_number
            bodies = (each.body for each in told if each.try_number == last)
            return tuple(body.instruction for body in bodies if isinstance(body, AgentStarted))
    return ()
