"""The list of tasks: what became of each so far, narrowed by what the URL says."""

from dataclasses import dataclass
from typing import Annotated, Literal, get_args
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import HTMLResponse

from mechagym.store.views.task_page import tasks_page
from mechagym.store.views.tasks import TaskFilter, TaskLine, TaskState
from mechagym.web.api.paging import cursor, key_of
from mechagym.web.api.shapes import ShareOut, share_out
from mechagym.web.desk import At
from mechagym.web.pages.frame import Live, page

router = APIRouter()

PAGE = 50
STATES: tuple[TaskState, ...] = get_args(TaskState)
Word = Annotated[str, Field(max_length=300)]


class Asked(BaseModel):
    """The filters of the URL; an empty one does not bind."""

    text: Word = ""
    dataset: Word = ""
    difficulty: Word = ""
    category: Word = ""
    tag: Word = ""
    author: Word = ""
    needs: Word = ""
    job_id: Word = ""
    state: TaskState | Literal[""] = ""
    after: Annotated[str | None, Field(max_length=400)] = None

    def wanted(self) -> TaskFilter:
        """The same for the query."""
        known = self.model_dump(exclude={"after"})
        return TaskFilter(**{name: value or None for name, value in known.items()})

    def said(self, *, without: str = "") -> dict[str, str]:
        """The filters that bind."""
        known = self.model_dump(exclude={"after"})
        return {name: value for name, value in known.items() if value and name != without}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A task of the list with its share."""

    line: TaskLine
    share: ShareOut


@dataclass(frozen=True, slots=True, kw_only=True)
class TasksModel:
    """What the page shows. `chips` are the filters without a control: name, value, URL without."""

    asked: Asked
    lines: tuple[Line, ...]
    datasets: tuple[tuple[str, int], ...]
    difficulties: tuple[str, ...]
    chips: tuple[tuple[str, str, str], ...]
    older: str | None
    states: tuple[TaskState, ...] = STATES


@router.get("/tasks")
async def list_tasks(request: Request, desk: At, asked: Annotated[Asked, Query()]) -> HTMLResponse:
    """Tasks by dataset and name."""
    key = key_of(asked.after, str, str, str)
    found = await desk.store.ask_at(tasks_page, asked.wanted(), key, PAGE)
    shown = found.value
    more = cursor(shown.found.next)
    model = TasksModel(
        asked=asked,
        lines=tuple(
            Line(line=each, share=share_out(each.passed, each.graded, each.ungraded))
            for each in shown.found.items
        ),
        datasets=shown.datasets,
        difficulties=shown.difficulties,
        chips=tuple(
            (name, value, f"/tasks?{urlencode(asked.said(without=name))}")
            for name, value in asked.said().items()
            if name in ("category", "tag", "author", "needs", "job_id")
        ),
        older=f"/tasks?{urlencode(asked.said() | {'after': more})}" if more else None,
    )
    live = Live(topics=("jobs",), position=found.position)
    return await page(request, desk, "tasks.html", live=live, model=model)
