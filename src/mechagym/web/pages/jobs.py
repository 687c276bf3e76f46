"""The list of jobs."""

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse

from mechagym.store import JobState
from mechagym.store.views import jobs
from mechagym.web.api.jobs import key_in
from mechagym.web.api.paging import After, cursor
from mechagym.web.api.shapes import JobOut, job_out
from mechagym.web.desk import At
from mechagym.web.pages.frame import Live, page

router = APIRouter()

PAGE = 50
STATES: tuple[JobState, ...] = (
    *("running", "pending", "finished", "stopped", "cancelled", "interrupted"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsModel:
    """What the page shows."""

    jobs: tuple[JobOut, ...]
    next: str | None
    state: JobState | None
    text: str
    states: tuple[JobState, ...] = STATES


@router.get("/jobs")
async def list_jobs(
    request: Request,
    desk: At,
    after: After = None,
    state: JobState | Literal[""] = "",
    text: Annotated[str, Query(max_length=200)] = "",
) -> HTMLResponse:
    """Jobs, newest first, filtered by what the URL says."""
    wanted = jobs.JobFilter(state=state or None, text=text or None)
    found = await desk.store.ask_at(jobs.job_list, wanted, key_in(after), PAGE)
    model = JobsModel(
        jobs=tuple(map(job_out, found.value.items)),
        next=cursor(found.value.next),
        state=state or None,
        text=text,
    )
    live = Live(topics=("jobs",), position=found.position)
    return await page(request, desk, "jobs.html", live=live, model=model)
