"""What was asked of the workers: how it stands, and the job that came of it."""

import json
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Path, Request
from pydantic import ValidationError
from starlette.responses import HTMLResponse

from mechagym.cli.job_file import JobEntry
from mechagym.events import StartOp
from mechagym.records import now, to_json
from mechagym.store import JobRow, OpRow
from mechagym.store.views import health
from mechagym.store.views.dashboard import UNTAKEN, OpState
from mechagym.web.desk import At, Desk
from mechagym.web.pages.frame import Live, page
from mechagym.web.problems import not_found
from mechagym.web.worker import name_of

router = APIRouter()

OpId = Annotated[int, Path(ge=1, le=2**62)]
MARGIN_S = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class OpModel:
    """What the page shows. `job`: the one it is about, or the one that it began."""

    op: OpRow
    state: OpState
    job: JobRow | None

    @property
    def asked(self) -> tuple[tuple[str, str], ...]:
        """What was asked, field by field."""
        said = json.loads(to_json(self.op.op))
        said = said.get("entry", said)
        return tuple((name, _words(value)) for name, value in said.items() if name != "kind")

    @property
    def looks_again_s(self) -> int | None:
        """When silence will mean that nobody takes it: no event tells of that."""
        left_s = (UNTAKEN - (now() - self.op.at)).total_seconds()
        return int(left_s) + MARGIN_S if self.state == "asked" and left_s > 0 else None


@router.get("/ops/{op_id}")
async def show_op(request: Request, desk: At, op_id: OpId) -> HTMLResponse:
    """An op by its number."""
    found = await desk.store.ask_at(health.op, op_id)
    view = found.value
    if view is None:
        raise not_found("op", op_id)
    model = OpModel(op=view.op, state=view.state, job=view.job or await _begun(desk, view.op))
    live = Live(topics=(f"op:{op_id}", "jobs"), position=found.position)
    answer = await page(request, desk, "op.html", live=live, model=model)
    if model.looks_again_s is not None:
        answer.headers["refresh"] = str(model.looks_again_s)
    return answer


async def _begun(desk: Desk, op: OpRow) -> JobRow | None:
    """The job that an op to start began, once it is there."""
    if not isinstance(op.op, StartOp):
        return None
    try:
        entry = JobEntry.model_validate(op.op.entry)
    except ValidationError:  # the worker refuses it with the reason
        return None
    return await desk.store.find_job(name_of(entry, op)) if entry.agents else None


def _words(value: object) -> str:
    match value:
        case str():
            return value
        case [str() as only]:
            return only
        case _:
            return json.dumps(value, ensure_ascii=False)
