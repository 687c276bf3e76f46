"""One job: what it came to, its matrix, its faults, and what one may ask of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated

from fastapi import APIRouter, Path, Request
from pydantic import TypeAdapter
from starlette.responses import HTMLResponse, RedirectResponse, Response

from mechagym.records import Outcome, new_id
from mechagym.store.views.job_page import Asked, JobPage, job_page
from mechagym.store.views.jobs import Cell, FaultCount, Ranked
from mechagym.web.api.asks import JobAsk, keep
from mechagym.web.api.jobs import found_job
from mechagym.web.api.shapes import JobOut, job_out
from mechagym.web.api.stats import GroupOut, stats_out
from mechagym.web.desk import At
from mechagym.web.pages.form import read_form
from mechagym.web.pages.frame import Live, page
from mechagym.web.problems import not_found

router = APIRouter()

JobName = Annotated[str, Path(max_length=120)]
_ASK: TypeAdapter[JobAsk] = TypeAdapter(JobAsk)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the matrix: a task with an agent and a model."""

    task: str
    agent: str
    model: str | None
    cells: tuple[Cell, ...]

    @property
    def cost_nano(self) -> int:
        """What its trials cost."""
        return sum(cell.billed_nano for cell in self.cells)

    @property
    def passed(self) -> int:
        """How many passed."""
        return sum(bool(cell.passed) for cell in self.cells)

    @property
    def duration_s(self) -> float:
        """How long its trials took in all."""
        return sum(cell.duration_s for cell in self.cells)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobModel:
    """What the page shows."""

    job: JobOut
    rows: tuple[Row, ...]
    repeats: int
    groups: tuple[GroupOut, ...]
    outcomes: tuple[tuple[Outcome, int], ...]
    flaky: tuple[str, ...]
    slowest: tuple[Ranked, ...]
    dearest: tuple[Ranked, ...]
    faults: tuple[FaultCount, ...]
    asked: tuple[Asked, ...]
    key: str

    @property
    def bar(self) -> tuple[tuple[str, float, str], ...]:
        """The outcomes as parts of all trials; what is missing to the whole has not ended."""
        return tuple(
            (str(outcome), count / self.job.trials, f"{count} {outcome}")
            for outcome, count in self.outcomes
        )


@router.get("/jobs/{job_id}")
async def show_job(request: Request, desk: At, job_id: JobName) -> HTMLResponse:
    """A job by id or name."""
    found = await desk.store.ask_at(job_page, job_id)
    if found.value is None:
        raise not_found("job", job_id)
    model = _model(found.value)
    live = Live(topics=(f"job:{model.job.id}", "ops"), position=found.position)
    return await page(request, desk, "job.html", live=live, model=model)


@router.post("/jobs/{job_id}/ask")
async def ask_job(request: Request, desk: At, job_id: JobName) -> Response:
    """Ask something of the job by a form. Raises Refused for what is no op."""
    line = await found_job(desk, job_id)
    ask, key = await read_form(request, _ASK)
    await keep(desk, key, ask.op(), line.job.job_id)
    return RedirectResponse(f"/jobs/{line.job.job_id}#asked", status_code=303)


def _model(found: JobPage) -> JobModel:
    stats = stats_out(found.line, found.stats)
    rows = tuple(_rows(found.cells))
    return JobModel(
        job=job_out(found.line),
        rows=rows,
        repeats=max((len(row.cells) for row in rows), default=0),
        groups=tuple(stats.groups),
        outcomes=tuple((o, n) for o in Outcome if (n := stats.outcomes.get(o))),
        flaky=tuple(stats.flaky),
        slowest=found.stats.slowest,
        dearest=found.stats.dearest,
        faults=found.faults,
        asked=found.asked,
        key=new_id(16),
    )


def _rows(cells: Iterable[Cell]) -> Iterable[Row]:
    """By agent and model, then by task, each with its repeats in order."""

    def place(cell: Cell) -> tuple[str, str, str]:
        return (cell.agent, cell.model or "", cell.task)

    for (agent, model, task), members in groupby(sorted(cells, key=place), place):
        ordered = tuple(sorted(members, key=lambda cell: cell.repeat))
        yield Row(task=task, agent=agent, model=model or None, cells=ordered)
