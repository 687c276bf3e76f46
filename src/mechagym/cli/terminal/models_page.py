"""How models are shown: a line each, wide or narrow as the terminal is; and how they fare."""

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from rich.text import Text

from mechagym.cli.model_list import ModelRow
from mechagym.cli.terminal.figures import tokens
from mechagym.cli.terminal.page import GREEN, RED, Cell, Column, Page
from mechagym.config import Settings
from mechagym.llm.health import Health
from mechagym.llm.prices import Price, Rate
from mechagym.records import now

UNKNOWN = "?"
WIDE_CHARS = 120
STATE_CHARS = 15
RATES = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A column of the list; `wide`: only where there is room."""

    column: Column
    cell: Callable[[ModelRow], Cell]
    wide: bool = False


def _right(name: str) -> Column:
    return Column(name=name, align="right")


def _rate(name: str) -> Callable[[ModelRow], Cell]:
    return lambda row: usd(getattr(row.price, name)) if row.price else UNKNOWN


FIELDS = (
    Field(column=Column(name="model", cut=True), cell=lambda row: str(row.info.id)),
    Field(column=_right("context"), cell=lambda row: _count(row.info.context_window)),
    Field(column=_right("max out"), cell=lambda row: _count(row.info.max_output)),
    Field(column=_right("in"), cell=_rate("input")),
    Field(column=_right("read"), cell=_rate("cache_read"), wide=True),
    Field(column=_right("write 5m"), cell=_rate("cache_write_5m"), wide=True),
    Field(column=_right("write 1h"), cell=_rate("cache_write_1h"), wide=True),
    Field(column=_right("out"), cell=_rate("output")),
    Field(column=Column(name="released"), cell=lambda row: _day(row.info.released_at), wide=True),
    Field(column=Column(name="retires"), cell=lambda row: _end(row.info.retires_at)),
    Field(
        column=Column(name="prices by", cut=True),
        cell=lambda row: row.price.ref if row.price else UNKNOWN,
        wide=True,
    ),
    Field(column=Column(name="key"), cell=lambda row: "yes" if row.has_key else "no"),
)


def models_page(settings: Settings, rows: Sequence[ModelRow], *, as_json: bool) -> None:
    """Write the list. Prices are USD per million tokens; `+`: more for long inputs."""
    page = Page(settings.terminal)
    if as_json:
        page.json([_json(row) for row in rows])
        return
    if not rows:
        page.note(
            "no model fits; --refresh asks the providers, --provider openrouter lists its own"
        )
        return
    wide = settings.terminal.width >= WIDE_CHARS
    fields = [field for field in FIELDS if wide or not field.wide]
    page.table([field.column for field in fields], [[f.cell(row) for f in fields] for row in rows])
    if not wide:
        page.note("cache prices, release dates and sources: --json, or a wider terminal")


def health_page(settings: Settings, found: Sequence[Health], *, as_json: bool) -> None:
    """Write of each model its state, the milliseconds it took, and below one sentence."""
    page = Page(settings.terminal)
    if as_json:
        page.json(list(map(asdict, found)))
        return
    for health in found:
        color = GREEN if health.state == "ok" else RED
        took = f"  {health.took_ms:.0f} ms" if health.took_ms is not None else ""
        page.line(Text.assemble((f"{health.state:<{STATE_CHARS}}", color), health.model, took))
        says = textwrap.fill(health.says, page.terminal.width - STATE_CHARS, break_on_hyphens=False)
        page.line(textwrap.indent(says, " " * STATE_CHARS))


def usd(rate: Rate) -> str:
    """`0.1`, `3`, `2+` where a long input costs more."""
    shown = f"{rate.usd.normalize():f}"
    return f"{shown}+" if rate.tiers else shown


def _count(number: int | None) -> str:
    return UNKNOWN if number is None else tokens(number)


def _day(day: date | None) -> str:
    return UNKNOWN if day is None else day.isoformat()


def _end(day: date | None) -> Cell:
    if day is None:
        return UNKNOWN
    return Text(day.isoformat(), style=RED if day <= now().date() else "")


def _json(row: ModelRow) -> dict[str, Any]:
    info = row.info
    return {
        "id": str(info.id),
        "wire_name": info.wire_name,
        "context_window": info.context_window,
        "max_output": info.max_output,
        "usd_per_mtok": _prices(row.price) if row.price else None,
        "price_ref": row.price.ref if row.price else None,
        "released_at": info.released_at,
        "deprecated_at": info.deprecated_at,
        "retires_at": info.retires_at,
        "replacement": info.replacement,
        "abilities": dict(info.abilities),
        "credential": row.has_key,
        "sources": dict(info.sources),
    }


def _prices(price: Price) -> dict[str, float]:
    return {name: float(getattr(price, name).usd) for name in RATES}
