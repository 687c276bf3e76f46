"""Trials: the list, one with its tries, its steps, tests, files, logs, trajectory and events."""

import json
import pathlib
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal

import anyio.to_thread
from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response, StreamingResponse

from mechagym.events import RetryOp
from mechagym.records import Outcome, TestStatus, to_json
from mechagym.store import TrialFilter, TrialState
from mechagym.store.views import health, jobs, trials
from mechagym.trajectory import atif
from mechagym.web.api import API
from mechagym.web.api.asks import Key, RetryOneAsk, keep
from mechagym.web.api.events import EventsOut, Seq, events_of
from mechagym.web.api.paging import Limit, Listing, ListOut, cursor, key_of
from mechagym.web.api.shapes import (
    AskedOut,
    EventOut,
    OpOut,
    SpendOut,
    TrialOut,
    event_out,
    op_out,
    spend_out,
    trial_out,
)
from mechagym.web.desk import At, Desk
from mechagym.web.downloads import download
from mechagym.web.evidence import Evidence, files_of
from mechagym.web.problems import Refused, not_found

router = APIRouter(prefix=f"{API}/trials", tags=["trials"])

TrialId = Annotated[str, Path(max_length=120)]
OpId = Annotated[int, Path(ge=1, le=2**62)]
Word = Annotated[str | None, Field(max_length=300)]
ALL = 1_000_000


class TryOut(BaseModel):
    """A try. `record` is all that is kept of it once it ended."""

    number: int
    started_at: datetime
    ended_at: datetime | None
    outcome: Outcome | None
    spend: SpendOut | None
    record: dict[str, Any] | None


class TrialDetailOut(TrialOut):
    """A trial with its tries; the last one counts."""

    attempts: list[TryOut]
    events: int


class StepsOut(BaseModel):
    """A window of the thread: `first` is the place of its first step, from 0, of `total`."""

    total: int
    first: int
    items: list[EventOut]


class FoundOut(BaseModel):
    """The numbers (`seq`) of the steps that hold a text."""

    items: list[int]


class TestOut(BaseModel):
    """One row of the tests' report. A skip is not a pass."""

    name: str
    status: TestStatus
    duration_ms: float | None
    message: str | None
    trace: str | None
    suite: str | None


class VerdictOut(BaseModel):
    """What the tests said; `reward` decides."""

    reward: float
    rewards: dict[str, float]
    passed: bool
    tests: list[TestOut]
    findings: list[dict[str, str | None]]


class FileOut(BaseModel):
    """A file of a trial; its content is an attachment under its id."""

    file_id: str
    part: str
    name: str
    size_bytes: int


class TrialQuery(Listing):
    """Which trials."""

    job_id: Word = None
    task: Word = None
    dataset: Word = None
    agent: Word = None
    model: Word = None
    state: TrialState | None = None
    outcome: Outcome | None = None
    text: Word = None


@router.get("")
async def list_trials(desk: At, query: Annotated[TrialQuery, Query()]) -> ListOut[TrialOut]:
    """Trials by job and place in its plan."""
    wanted = TrialFilter(**query.model_dump(exclude={"after", "limit"}))
    page = await desk.store.ask(
        trials.trial_list, wanted, key_of(query.after, str, int), query.limit
    )
    return ListOut(items=[trial_out(row) for row in page.items], next=cursor(page.next))


@router.get("/{trial_id}")
async def read_trial(desk: At, trial_id: TrialId) -> TrialDetailOut:
    """One trial with its tries."""
    view = await _found(desk, trial_id)
    attempts = [_try_out(each) for each in view.tries]
    return TrialDetailOut(**trial_out(view.row).model_dump(), attempts=attempts, events=view.events)


@router.get("/{trial_id}/steps")
async def read_steps(
    desk: At,
    trial_id: TrialId,
    first: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Limit = 50,
    step: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Begin there.")] = None,
) -> StepsOut:
    """A window of the thread, from a place or from a step's number on."""
    await _found(desk, trial_id)
    if step is not None:
        first = await desk.store.ask(trials.place_of, trial_id, step)
    window = await desk.store.ask(trials.steps, trial_id, first, limit)
    items = [event_out(each) for each in window.items]
    return StepsOut(total=window.total, first=window.first, items=items)


@router.get("/{trial_id}/steps/search")
async def search_steps(
    desk: At, trial_id: TrialId, text: Annotated[str, Query(min_length=1, max_length=300)]
) -> FoundOut:
    """The steps that hold a text, in the whole trial."""
    await _found(desk, trial_id)
    return FoundOut(items=list(await desk.store.ask(trials.find_steps, trial_id, text)))


@router.get("/{trial_id}/tests")
async def read_tests(
    desk: At, trial_id: TrialId, number: Annotated[int | None, Query(ge=1, le=10_000)] = None
) -> VerdictOut | None:
    """What the tests of a try said, of the counted one by default; null: nothing was judged."""
    await _found(desk, trial_id)
    found = await desk.store.ask(trials.verdict, trial_id, number)
    if found is None:
        return None
    return VerdictOut(
        reward=found.reward,
        rewards=found.rewards,
        passed=found.passed,
        tests=[TestOut.model_validate(each, from_attributes=True) for each in found.tests],
        findings=[{"rule": f.rule, "detail": f.detail, "path": f.path} for f in found.findings],
    )


@router.get("/{trial_id}/files")
async def list_files(desk: At, trial_id: TrialId) -> list[FileOut]:
    """All files of a trial that lie in the data folders."""
    return [_file_out(each) for each in await _files(desk, trial_id)]


@router.get("/{trial_id}/logs")
async def list_logs(desk: At, trial_id: TrialId) -> list[FileOut]:
    """The logs among its files: of the trial, the agent and the verifier."""
    found = await _files(desk, trial_id)
    return [_file_out(each) for each in found if each.part in ("trial", "agent", "verifier")]


@router.get(
    "/{trial_id}/files/{file_id}",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/octet-stream": {}}}},
)
async def read_file(
    desk: At,
    trial_id: TrialId,
    file_id: Annotated[str, Path(max_length=40)],
    show: Annotated[
        Literal["attachment", "picture"], Query(description="Pictures may be shown.")
    ] = "attachment",
) -> Response:
    """A file, to be kept and not to be shown, but for pictures."""
    folder = await _folder(desk, trial_id)
    answer = await anyio.to_thread.run_sync(
        partial(download, folder, file_id, as_picture=show == "picture")
    )
    if answer is None:
        raise not_found("file of this trial", file_id)
    return answer


@router.get("/{trial_id}/atif")
async def read_atif(
    desk: At, trial_id: TrialId, number: Annotated[int | None, Query(ge=1, le=10_000)] = None
) -> dict[str, Any]:
    """The trajectory of a try as an ATIF document; of the counted one by default."""
    view = await _found(desk, trial_id)
    tried = number or (view.tries[-1].number if view.tries else None)
    if tried is None or tried not in {each.number for each in view.tries}:
        raise not_found("try of this trial", number or "")
    events = await desk.store.events(trial_id, limit=ALL)
    return await anyio.to_thread.run_sync(atif.fold, view.row.key, tried, events)


@router.get("/{trial_id}/events", response_model=EventsOut)
async def read_events(
    request: Request, desk: At, trial_id: TrialId, after: Seq = 0, limit: Limit = 50
) -> EventsOut | Response:
    """All that was told of a trial, as a page or (by `Accept`) as a stream."""
    await _found(desk, trial_id)
    return await events_of(request, desk, f"trial:{trial_id}", after, limit)


@router.post("/{trial_id}/ops", status_code=202)
async def ask_trial(desk: At, trial_id: TrialId, ask: RetryOneAsk, key: Key) -> AskedOut:  # noqa: ARG001
    """Try one trial again."""
    view = await _found(desk, trial_id)
    return await keep(desk, key, RetryOp(trial_id=trial_id), view.row.key.job_id)


@router.get("/{trial_id}/ops/{op_id}")
async def read_op(desk: At, trial_id: TrialId, op_id: OpId) -> OpOut:
    """How an op of this trial stands."""
    view = await desk.store.ask(health.op, op_id)
    if view is None or getattr(view.op.op, "trial_id", None) != trial_id:
        raise not_found("op of this trial", op_id)
    return op_out(view)


async def _found(desk: Desk, trial_id: str) -> trials.TrialView:
    view = await desk.store.ask(trials.trial, trial_id)
    if view is None:
        raise not_found("trial", trial_id)
    return view


async def _folder(desk: Desk, trial_id: str) -> pathlib.Path:
    view = await _found(desk, trial_id)
    line = await desk.store.ask(jobs.job, view.row.key.job_id)
    folder = desk.folders.of_trial(line.job.folder, view.row.key.trial_name) if line else None
    if folder is None:
        raise Refused(404, "its folder is not in the data folders of this server", code="no_folder")
    return folder


async def _files(desk: Desk, trial_id: str) -> list[Evidence]:
    return await anyio.to_thread.run_sync(files_of, await _folder(desk, trial_id))


def _file_out(each: Evidence) -> FileOut:
    name = each.name.encode("utf-8", "replace").decode()
    return FileOut(file_id=each.file_id, part=each.part, name=name, size_bytes=each.size_bytes)


def _try_out(each: trials.Attempt) -> TryOut:
    record = each.record
    return TryOut(
        number=each.number,
        started_at=each.started_at,
        ended_at=each.ended_at,
        outcome=record.outcome if record else None,
        spend=spend_out(record.spend) if record else None,
        record=json.loads(to_json(record)) if record else None,
    )
