"""Tasks and datasets that the store knows of, with what became of them so far."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from mechagym.store.views import tasks
from mechagym.web.api import API
from mechagym.web.api.paging import Listing, ListOut, cursor, key_of
from mechagym.web.api.shapes import ShareOut, TrialOut, share_out, trial_out, usd
from mechagym.web.desk import At
from mechagym.web.problems import not_found

router = APIRouter(prefix=API, tags=["tasks"])

Word = Annotated[str | None, Field(max_length=300)]
Digest = Annotated[str, Path(max_length=120, description="The digest of its files.")]


class TaskOut(BaseModel):
    """A task. What its folder was not read for yet is null or empty."""

    digest: str
    dataset: str
    name: str
    difficulty: str | None
    category: str | None
    tags: list[str]
    author: str | None
    agent_timeout_s: float | None
    image: str | None
    needs: list[str]
    trials: int
    result: ShareOut
    flaky: bool
    mean_cost_usd: str | None
    last_at: datetime | None


class TaskDetailOut(TaskOut):
    """A task with its trials, the newest first."""

    history: list[TrialOut]


class DatasetOut(BaseModel):
    """A dataset by the name its tasks have it under."""

    name: str
    tasks: int


class TaskQuery(Listing):
    """Which tasks."""

    text: Word = None
    dataset: Word = None
    difficulty: Word = None
    category: Word = None
    tag: Word = None
    author: Word = None
    needs: Word = None
    state: tasks.TaskState | None = None
    job_id: Word = None


@router.get("/tasks")
async def list_tasks(desk: At, query: Annotated[TaskQuery, Query()]) -> ListOut[TaskOut]:
    """Tasks by dataset and name."""
    wanted = tasks.TaskFilter(**query.model_dump(exclude={"after", "limit"}))
    key = key_of(query.after, str, str, str)
    page = await desk.store.ask(tasks.task_list, wanted, key, query.limit)
    return ListOut(items=[_task_out(line) for line in page.items], next=cursor(page.next))


@router.get("/tasks/{digest}")
async def read_task(desk: At, digest: Digest) -> TaskDetailOut:
    """One task with its history."""
    line = await desk.store.ask(tasks.task, digest)
    if line is None:
        raise not_found("task", digest)
    rows = await desk.store.ask(tasks.task_history, digest)
    return TaskDetailOut(**_task_out(line).model_dump(), history=[trial_out(row) for row in rows])


@router.get("/datasets")
async def list_datasets(desk: At) -> list[DatasetOut]:
    """The datasets that tasks are known of."""
    found = await desk.store.ask(tasks.datasets)
    return [DatasetOut(name=name, tasks=count) for name, count in found]


def _task_out(line: tasks.TaskLine) -> TaskOut:
    task = line.task
    return TaskOut(
        digest=task.digest,
        dataset=task.dataset,
        name=task.name,
        difficulty=task.difficulty,
        category=task.category,
        tags=list(task.tags),
        author=task.author,
        agent_timeout_s=task.agent_timeout_s,
        image=task.image,
        needs=list(task.needs),
        trials=line.trials,
        result=share_out(line.passed, line.graded, line.ungraded),
        flaky=line.flaky,
        mean_cost_usd=usd(line.billed_nano) if line.billed_nano is not None else None,
        last_at=line.last_at,
    )
