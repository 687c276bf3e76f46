"""One task: what is known of it, what became of it with each agent, and the form that runs it."""

from collections.abc import Iterable
from dataclasses import dataclass
from glob import escape
from itertools import groupby
from typing import Annotated

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.responses import HTMLResponse, RedirectResponse, Response

from mechagym.cli.job_file import JobEntry
from mechagym.records import from_json, new_id
from mechagym.run.config import JobConfig
from mechagym.store import JobRow, TaskRow, TrialRow
from mechagym.store.views.task_page import TaskPage, task_page
from mechagym.store.views.tasks import TaskLine
from mechagym.web.api.asks import Name
from mechagym.web.api.jobs import start_job
from mechagym.web.api.shapes import ShareOut, share_out
from mechagym.web.desk import At
from mechagym.web.pages.form import read_form
from mechagym.web.pages.frame import Live, page
from mechagym.web.problems import Refused, not_found
from mechagym.wiring.plugins import names

router = APIRouter()

Digest = Annotated[str, Path(max_length=120)]
Many = Annotated[int, Field(ge=0, le=10**15)]


class RunAsk(BaseModel):
    """What the form says; what it leaves out is as the host has it set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    agent: Name
    model: Name | None = None
    repeats: Annotated[int, Field(ge=1, le=1_000)] = 1
    sandbox: Name | None = None
    usd: Annotated[float, Field(ge=0, le=1e15, allow_inf_nan=False)] | None = None
    tokens: Many | None = None

    def entry(self, task: TaskRow, sources: tuple[str, ...]) -> JobEntry:
        """The job: this task alone, from where it was found before."""
        said = {
            "sources": sources,
            "include": escape(f"{task.dataset}/{task.name}" if task.dataset else task.name),
            "agents": self.agent,
            "models": self.model,
            "repeats": self.repeats,
            "sandbox": self.sandbox,
            "budget": self.model_dump(include={"usd", "tokens"}, exclude_none=True),
        }
        return JobEntry.model_validate({key: value for key, value in said.items() if value})


_RUN: TypeAdapter[RunAsk] = TypeAdapter(RunAsk)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The trials of one agent with one model, newest first."""

    agent: str
    model: str | None
    trials: tuple[TrialRow, ...]
    share: ShareOut


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskModel:
    """What the page shows. `sources` empty: where its files lie is not known."""

    line: TaskLine
    share: ShareOut
    groups: tuple[Group, ...]
    instructions: tuple[str, ...]
    shown: int
    sources: tuple[str, ...]
    agents: tuple[str, ...]
    sandboxes: tuple[str, ...]
    last: TrialRow | None
    key: str

    @property
    def agent(self) -> str:
        """Who tried it last, without the version: the form begins with it."""
        return self.last.key.agent.partition("@")[0] if self.last else ""

    @property
    def models(self) -> tuple[str, ...]:
        """The models it was tried with."""
        return tuple(sorted({group.model for group in self.groups if group.model}))


@router.get("/tasks/{digest}")
async def show_task(request: Request, desk: At, digest: Digest) -> HTMLResponse:
    """A task by its digest."""
    found = await desk.store.ask_at(task_page, digest)
    if found.value is None:
        raise not_found("task", digest)
    live = Live(topics=("jobs",), position=found.position)
    model = _model(found.value, desk.settings.tasks)
    return await page(request, desk, "task.html", live=live, model=model)


@router.post("/tasks/{digest}/run")
async def run_task(request: Request, desk: At, digest: Digest) -> Response:
    """Ask a worker to run the task. Raises Refused for what is no job."""
    found = await desk.store.ask(task_page, digest)
    if found is None:
        raise not_found("task", digest)
    ask, key = await read_form(request, _RUN)
    sources = _sources(found.newest, desk.settings.tasks)
    if not sources:
        raise Refused(422, "where the files of this task lie is not known here")
    asked = await start_job(desk, ask.entry(found.line.task, sources), key)
    return RedirectResponse(f"/ops/{asked.op_id}", status_code=303)


def _model(found: TaskPage, dataset: str | None) -> TaskModel:
    line = found.line
    return TaskModel(
        line=line,
        share=share_out(line.passed, line.graded, line.ungraded),
        groups=tuple(_groups(found.history)),
        instructions=found.instructions,
        shown=len(found.history),
        sources=_sources(found.newest, dataset),
        agents=tuple(names("agent")),
        sandboxes=tuple(name for name in names("sandbox") if name != "host"),
        last=found.history[0] if found.history else None,
        key=new_id(16),
    )


def _sources(newest: JobRow | None, dataset: str | None) -> tuple[str, ...]:
    """Where the last job had it from; else the host's own dataset."""
    if newest is not None:
        try:
            return from_json(JobConfig, newest.config).sources.sources
        except ValidationError:  # a job of another make: it is shown, and not repeated
            pass
    return (dataset,) if dataset else ()


def _groups(history: Iterable[TrialRow]) -> Iterable[Group]:
    def who(row: TrialRow) -> tuple[str, str]:
        return (row.key.agent, row.key.model or "")

    for (agent, model), members in groupby(sorted(history, key=who), who):
        rows = tuple(members)
        graded = [row for row in rows if row.graded]
        ended = sum(row.state == "ended" for row in rows)
        share = share_out(sum(bool(row.passed) for row in graded), len(graded), ended - len(graded))
        yield Group(agent=agent, model=model or None, trials=rows, share=share)
