"""Jobs: the list, one with its config, its events; start one, or tell one something."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from mechagym.cli.job_file import JobEntry
from mechagym.events import StartOp
from mechagym.store import JobState
from mechagym.store.views import health, jobs
from mechagym.web.api import API
from mechagym.web.api.asks import JobAsk, Key, keep
from mechagym.web.api.events import EventsOut, Seq, events_of
from mechagym.web.api.paging import After, Limit, ListOut, cursor, key_of
from mechagym.web.api.shapes import (
    AskedOut,
    JobDetailOut,
    JobOut,
    OpOut,
    job_detail_out,
    job_out,
    op_out,
)
from mechagym.web.api.stats import FaultOut, StatsOut, faults_out, stats_out
from mechagym.web.desk import At, Desk
from mechagym.web.problems import Refused, not_found

router = APIRouter(prefix=f"{API}/jobs", tags=["jobs"])

JobId = Annotated[str, Path(max_length=120, description="A job's id or name.")]
OpId = Annotated[int, Path(ge=1, le=2**62)]


@router.get("")
async def list_jobs(
    desk: At,
    after: After = None,
    limit: Limit = 50,
    state: JobState | None = None,
    text: Annotated[str | None, Query(max_length=200, description="In its name.")] = None,
) -> ListOut[JobOut]:
    """Jobs, newest first."""
    wanted = jobs.JobFilter(state=state, text=text)
    page = await desk.store.ask(jobs.job_list, wanted, key_in(after), limit)
    return ListOut(items=[job_out(line) for line in page.items], next=cursor(page.next))


@router.post("", status_code=202)
async def start_job(desk: At, entry: JobEntry, key: Key) -> AskedOut:
    """Ask a worker to start a job; the body has the keys of a job file."""
    if entry.sandbox == "host":
        raise Refused(422, "the backend `host` is not started from here", loc="sandbox")
    said = entry.model_dump(mode="json", exclude_unset=True)
    return await keep(desk, key, StartOp(entry=said))


@router.get("/{job_id}")
async def read_job(desk: At, job_id: JobId) -> JobDetailOut:
    """One job."""
    return job_detail_out(await found_job(desk, job_id))


@router.get("/{job_id}/stats")
async def read_stats(desk: At, job_id: JobId) -> StatsOut:
    """Outcomes, the mean with its interval, pass@k, flaky tasks, slowest and dearest trials."""
    line = await found_job(desk, job_id)
    return stats_out(line, await desk.store.ask(jobs.job_stats, line.job.job_id))


@router.get("/{job_id}/faults")
async def read_faults(desk: At, job_id: JobId) -> list[FaultOut]:
    """What went wrong, by class and blame."""
    line = await found_job(desk, job_id)
    return faults_out(await desk.store.ask(jobs.job_errors, line.job.job_id))


@router.get("/{job_id}/events", response_model=EventsOut)
async def read_events(
    request: Request, desk: At, job_id: JobId, after: Seq = 0, limit: Limit = 50
) -> EventsOut | Response:
    """What the job told, as a page or (by `Accept`) as a stream."""
    line = await found_job(desk, job_id)
    return await events_of(request, desk, f"job:{line.job.job_id}", after, limit)


@router.post("/{job_id}/ops", status_code=202)
async def ask_job(desk: At, job_id: JobId, ask: JobAsk, key: Key) -> AskedOut:
    """Stop, drain, change a budget, resume or retry."""
    line = await found_job(desk, job_id)
    return await keep(desk, key, ask.op(), line.job.job_id)


@router.get("/{job_id}/ops/{op_id}")
async def read_op(desk: At, job_id: JobId, op_id: OpId) -> OpOut:
    """How an op of this job stands."""
    line = await found_job(desk, job_id)
    view = await desk.store.ask(health.op, op_id)
    if view is None or view.op.job_id != line.job.job_id:
        raise not_found("op of this job", op_id)
    return op_out(view)


async def found_job(desk: Desk, name_or_id: str) -> jobs.JobSummary:
    """A job by id or name. Raises Refused where there is none."""
    line = await desk.store.ask(jobs.job, name_or_id)
    if line is None:
        raise not_found("job", name_or_id)
    return line


def key_in(after: str | None) -> tuple[str, str] | None:
    """The keys in a cursor of this list. Raises Refused."""
    key = key_of(after, str, str)
    if key is None:
        return None
    try:
        datetime.fromisoformat(key[0])
    except ValueError:
        raise Refused(422, "this cursor is not one of this list", loc="after") from None
    return key[0], key[1]
