"""What all pages share: the templates, the navigation, and the values that every template has."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from mechagym.cli.terminal.figures import duration, tokens
from mechagym.store.views.strip import strip
from mechagym.web.api.shapes import ShareOut, usd
from mechagym.web.desk import Desk, may_write
from mechagym.web.text.ansi import coloured
from mechagym.web.text.markdown import rendered
from mechagym.web.text.marks import marked, plain

FOLDER = Path(__file__).parent.parent / "templates"
UNKNOWN = "–"
LETTERS = {
    "passed": "PASS",
    "failed": "FAIL",
    "timed_out": "TOUT",
    "agent_error": "AERR",
    "budget_exhausted": "BUDG",
    "infra_error": "INFR",
    "cancelled": "ABRT",
    "refused": "REFU",
    "running": "RUN",
    "pending": "WAIT",
}
"""A trial in a cell: never a colour alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A place in the navigation; `key` goes there after `g`."""

    name: str
    path: str
    key: str


NAVIGATION = (
    Entry(name="Dashboard", path="/", key="d"),
    Entry(name="Tasks", path="/tasks", key="t"),
    Entry(name="Jobs", path="/jobs", key="j"),
    Entry(name="Usage", path="/usage", key="u"),
    Entry(name="API", path="/api", key="a"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What a page follows, and the position of the answer it shows: it goes on from there."""

    topics: Sequence[str]
    position: int


async def page(
    request: Request, desk: Desk, template: str, *, live: Live | None = None, **model: Any
) -> HTMLResponse:
    """A whole page; `live` None: nothing on it changes."""
    shared = {
        "asset": desk.assets.url,
        "navigation": NAVIGATION,
        "here": request.url.path,
        "may_write": may_write(request),
        "live": live,
        "strip": await desk.store.ask(strip),
    }
    return HTMLResponse(_environment().get_template(template).render(**shared, **model))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "marked": marked,
        "plain": plain,
        "coloured": coloured,
        "rendered": rendered,
        "usd": _money,
        "percent": _percent,
        "when": _when,
        "short": tokens,
        "lasted": duration,
        "price": lambda text: f"{float(text):,.2f}",
        "letters": lambda word: LETTERS.get(word, str(word)[:4].upper()),
        "or_unknown": lambda value: UNKNOWN if value is None else value,
    }
    return environment


def _money(nano: int | None) -> str:
    return UNKNOWN if nano is None else f"${float(usd(nano)):,.2f}"


def _percent(share: ShareOut) -> str:
    """`62 % · 55 of 89`; what was not graded is named by who uses this."""
    if share.share is None:
        return UNKNOWN
    return f"{share.share * 100:.0f} % · {share.passed} of {share.graded}"


def _when(at: datetime | None) -> str:
    """RFC 3339; the page's script shows it as local time."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ") if at else ""
