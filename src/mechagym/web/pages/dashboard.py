"""The first page: what trials came to, what is under way, what needs a person, what began last."""

from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from mechagym.records import now
from mechagym.store import TrialRow
from mechagym.store.views.dashboard import Need, Overview, Share
from mechagym.store.views.dashboard_page import DashboardPage, dashboard_page
from mechagym.web.api.shapes import JobOut, ShareOut, job_out, share_out
from mechagym.web.desk import At
from mechagym.web.pages.charts import Days, by_day
from mechagym.web.pages.frame import Live, page
from mechagym.web.pages.window import WINDOWS, WORDS, Window, began

router = APIRouter()

LEVELS = ("easy", "medium", "hard")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Something that needs a person, and where to go."""

    need: Need
    href: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DashboardModel:
    """What the page shows. `levels` are difficulties, from easy to hard, then the others."""

    window: Window
    overview: Overview
    share: ShareOut
    last: ShareOut
    days: Days | None
    levels: tuple[tuple[str | None, ShareOut], ...]
    needs: tuple[Item, ...]
    jobs: tuple[JobOut, ...]
    trials: tuple[TrialRow, ...]
    windows: tuple[Window, ...] = WINDOWS

    @property
    def words(self) -> str:
        """The window, to be read."""
        return WORDS[self.window]


@router.get("/")
async def show_dashboard(request: Request, desk: At, window: Window = "30d") -> HTMLResponse:
    """The dashboard over a window of time."""
    since = began(window)
    found = await desk.store.ask_at(dashboard_page, since)
    live = Live(topics=("jobs", "ops"), position=found.position)
    model = _model(window, since, found.value)
    return await page(request, desk, "dashboard.html", live=live, model=model)


def _model(window: Window, since: datetime | None, found: DashboardPage) -> DashboardModel:
    overview = found.overview
    levels = sorted(overview.by_difficulty, key=lambda level: _place(level[0]))
    return DashboardModel(
        window=window,
        overview=overview,
        share=_out(overview.window),
        last=_out(overview.last),
        days=by_day(overview.by_day, since, now().date()),
        levels=tuple((name, _out(share)) for name, share in levels),
        needs=tuple(Item(need=need, href=_where(need)) for need in found.needs),
        jobs=tuple(map(job_out, found.jobs)),
        trials=found.trials,
    )


def _out(share: Share) -> ShareOut:
    return share_out(share.passed, share.graded, share.ungraded)


def _place(level: str | None) -> tuple[int, str]:
    if level in LEVELS:
        return (LEVELS.index(level), "")
    return (len(LEVELS) + (level is None), level or "")


def _where(need: Need) -> str:
    match need.kind:
        case "budget":
            return f"/jobs/{need.subject}"
        case "silent":
            return f"/trials/{need.subject}"
        case "untaken":
            return f"/ops/{need.subject}"
