"""What was spent: grouped and bounded by the URL, each line leading on to what it is made of."""

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from pydantic import field_validator
from starlette.responses import HTMLResponse, Response

from mechagym.store.views import money
from mechagym.store.views.usage_page import UsagePage, usage_page
from mechagym.web.api.shapes import spend_out
from mechagym.web.api.usage import UsageQuery
from mechagym.web.desk import At
from mechagym.web.pages.charts import limits
from mechagym.web.pages.frame import Live, page
from mechagym.web.pages.window import WINDOWS, WORDS, Window, began

router = APIRouter()

LINES = 200
GROUPS: tuple[money.Group, ...] = (
    *("model", "provider", "agent", "job", "trial", "day", "week", "month"),
)
FILTERS = ("job_id", "provider", "model", "agent")
COUNTS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning")


class Asked(UsageQuery):
    """What the URL says: `window` counts where it names no time itself. An empty field is none."""

    window: Window = "30d"

    @field_validator("since", "until", *FILTERS, mode="before")
    @classmethod
    def _empty(cls, value: object) -> object:
        return None if value == "" else value

    @property
    def is_dated(self) -> bool:
        """Whether the URL names a time itself."""
        return (self.since, self.until) != (None, None)

    @property
    def begins(self) -> datetime | None:
        """Since when."""
        return self.since if self.is_dated else began(self.window)

    def url(self, path: str = "/usage", /, **changes: str | None) -> str:
        """The same page but for some of it."""
        kept = self.model_dump(mode="json", exclude_none=True, exclude_defaults=True) | changes
        words = urlencode({name: value for name, value in kept.items() if value is not None})
        return f"{path}?{words}" if words else path


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A group: its name, where it leads (None: nowhere), and its bars as shares of the longest."""

    name: str | None
    href: str | None
    spent: money.Spent
    billed: float
    imputed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageModel:
    """What the page shows. `by_tokens`: there is no money in it, so the bars are of tokens."""

    asked: Asked
    found: UsagePage
    lines: tuple[Line, ...]
    by_tokens: bool
    groups: tuple[money.Group, ...] = GROUPS
    windows: tuple[Window, ...] = WINDOWS
    counts: tuple[str, ...] = COUNTS

    @property
    def words(self) -> str:
        """The time, to be read."""
        if not self.asked.is_dated:
            return WORDS[self.asked.window]
        ends = (self.asked.since, self.asked.until)
        return " to ".join(f"{at:%Y-%m-%d %H:%M}" if at else "…" for at in ends) + " UTC"

    @property
    def filters(self) -> tuple[tuple[str, str, str], ...]:
        """What binds: its field, its value, and the page without it."""
        given = ((name, getattr(self.asked, name)) for name in FILTERS)
        return tuple((n, v, self.asked.url(**{n: None})) for n, v in given if v is not None)

    @property
    def cached(self) -> float | None:
        """The share of what was read that came from a cache."""
        usage = self.found.total.spend.usage
        read = usage.input + usage.cache_read + usage.cache_write_5m + usage.cache_write_1h
        return usage.cache_read / read if read else None


Wanted = Annotated[Asked, Query()]


@router.get("/usage")
async def show_usage(request: Request, desk: At, asked: Wanted) -> HTMLResponse:
    """What was spent, grouped and bounded as the URL says."""
    found = await desk.store.ask_at(usage_page, asked.group, _wanted(asked), LINES)
    live = Live(topics=("jobs",), position=found.position)
    return await page(request, desk, "usage.html", live=live, model=_model(asked, found.value))


@router.get("/usage.csv")
async def download_usage(desk: At, asked: Wanted) -> Response:
    """All lines of the same view, as CSV."""
    found = await desk.store.ask(usage_page, asked.group, _wanted(asked))
    headers = {"content-disposition": 'attachment; filename="usage.csv"'}
    return Response(_csv(found), media_type="text/csv; charset=utf-8", headers=headers)


def _wanted(asked: Asked) -> money.SpendFilter:
    return asked.model_copy(update={"since": asked.begins}).wanted()


def _model(asked: Asked, found: UsagePage) -> UsageModel:
    total = found.total.spend
    by_tokens = not (total.billed_nano or total.imputed_nano)
    return UsageModel(
        asked=asked, found=found, lines=tuple(_lines(asked, found, by_tokens)), by_tokens=by_tokens
    )


def _lines(asked: Asked, found: UsagePage, by_tokens: bool) -> Iterator[Line]:
    def lengths(spent: money.Spent) -> tuple[int, int]:
        spend = spent.spend
        return (spend.usage.tokens, 0) if by_tokens else (spend.billed_nano, spend.imputed_nano)

    longest = max((max(lengths(each)) for each in found.groups), default=0) or 1
    for spent in found.groups:
        billed, imputed = lengths(spent)
        yield Line(
            name=found.names.get(spent.name or "", spent.name),
            href=_leads(asked, spent.name) if spent.name else None,
            spent=spent,
            billed=billed / longest,
            imputed=imputed / longest,
        )


def _leads(asked: Asked, name: str) -> str | None:
    """What a group is made of: one step nearer to the trials, in the same time."""
    match asked.group:
        case "provider":
            return asked.url(group="model", provider=name)
        case "model":
            return asked.url(group="job", model=name)
        case "agent":
            return asked.url(group="job", agent=name)
        case "job":
            return asked.url(group="trial", job_id=name)
        case "trial":
            return f"/trials/{name}"
        case "day" | "week" | "month":
            first, after = _days(asked.group, name)
            return asked.url(group="job", window=None, **limits(first, after, asked.begins))
        case "total":
            return asked.url(group="model")


def _days(group: str, name: str) -> tuple[date, date]:
    """The first day of a group of time, and the day after its last."""
    first = date.fromisoformat(name if len(name) == 10 else f"{name}-01")
    if group == "month":
        return first, (first + timedelta(days=31)).replace(day=1)
    return first, first + timedelta(days=7 if group == "week" else 1)


def _csv(found: UsagePage) -> str:
    """A line for each group, then what they come to; what a sheet would take for a formula is
    quoted.
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(("group", "name", "tries", *_FIELDS))
    for spent in found.groups:
        writer.writerow(
            (_plain(spent.name), _plain(found.names.get(spent.name or "")), *_cells(spent))
        )
    return out.getvalue()


_FIELDS = (*COUNTS, "tokens", "web_searches", "cost_usd", "imputed_usd", "unpriced_calls")


def _cells(spent: money.Spent) -> Iterable[Any]:
    out = spend_out(spent.spend)
    return (spent.tries, *(getattr(out, name) for name in _FIELDS))


def _plain(text: str | None) -> str:
    text = text or ""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
