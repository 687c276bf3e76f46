"""One trial: what it is, how long each phase took, what the agent did, what the tests said."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import HTMLResponse

from mechagym.records import BoxInfo, PhaseTime, TestResult, TryRecord
from mechagym.store import TrialRow
from mechagym.store.views.trial_page import WINDOW, TrialPage, trial_page
from mechagym.web.desk import At
from mechagym.web.pages.frame import Live, page
from mechagym.web.pages.thread import Step, thread
from mechagym.web.problems import not_found

router = APIRouter()

TrialId = Annotated[str, Path(max_length=120)]
First = Annotated[int | None, Query(ge=0, le=2**31)]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialModel:
    """What the page shows; `counted` is the newest try that ended."""

    row: TrialRow
    job_name: str
    tries: tuple[TryRecord, ...]
    box: BoxInfo | None
    steps: tuple[Step, ...]
    first: int
    total: int
    window: int = WINDOW

    @property
    def counted(self) -> TryRecord | None:
        """The try whose outcome is the trial's."""
        return self.tries[-1] if self.tries else None

    @property
    def phases(self) -> tuple[PhaseTime, ...]:
        """Those of the counted try."""
        return self.counted.phases if self.counted else ()

    @property
    def bar(self) -> tuple[tuple[str, float, str], ...]:
        """The phases as parts of the try's time."""
        whole_s = sum(phase.duration_s for phase in self.phases) or 1.0
        return tuple(
            (f"phase-{p.phase}", p.duration_s / whole_s, f"{p.phase} {p.duration_s:.1f} s")
            for p in self.phases
        )

    @property
    def tests(self) -> tuple[TestResult, ...]:
        """What the task's own tests said, one by one."""
        verdict = self.counted.verdict if self.counted else None
        return verdict.tests if verdict else ()


@router.get("/trials/{trial_id}")
async def show_trial(
    request: Request, desk: At, trial_id: TrialId, first: First = None
) -> HTMLResponse:
    """A trial by id, its thread from a step on, or its end."""
    found = await desk.store.ask_at(trial_page, trial_id, first)
    if found.value is None:
        raise not_found("trial", trial_id)
    live = Live(topics=(f"trial:{trial_id}",), position=found.position)
    return await page(request, desk, "trial.html", live=live, model=_model(found.value))


def _model(found: TrialPage) -> TrialModel:
    row, events = found.view.row, found.steps.items
    began_at = row.started_at or (events[0].at if events else None)
    return TrialModel(
        row=row,
        job_name=found.job.name if found.job else row.key.job_id,
        tries=tuple(each.record for each in found.view.tries if each.record),
        box=found.box,
        steps=tuple(thread(events, began_at)) if began_at else (),
        first=found.steps.first,
        total=found.steps.total,
    )
