"""What was spent, by whatever one wants to see it grouped; the sums are those of the tries."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, RowMapping, func, select

from mechagym.records import Spend, Usage
from mechagym.store.reading import Reading
from mechagym.store.tables import trials, usage
from mechagym.store.views.dashboard import day_of

Group = Literal["model", "provider", "agent", "job", "trial", "day", "week", "month", "total"]
TIMES = ("day", "week", "month")
"""Groups that are in order; a week is named by its Monday, and all of them are UTC."""

_COUNTS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning")
_SUMS = (*_COUNTS, "web_searches", "billed_nano", "imputed_nano", "unpriced_calls")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendFilter:
    """Whose spending is meant; None does not bind. `until` is not part of the time."""

    since: datetime | None = None
    until: datetime | None = None
    job_id: str | None = None
    model: str | None = None
    agent: str | None = None
    provider: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """The spending of one group: `name` None is what has none (a trial without a model)."""

    name: str | None
    tries: int
    spend: Spend


def spend(
    reading: Reading, group: Group, wanted: SpendFilter, limit: int | None = None
) -> tuple[Spent, ...]:
    """What tries that ended cost, the dearest group first (times: in order)."""
    named = _named(reading, group)
    sums = [func.coalesce(func.sum(usage.c[name]), 0).label(name) for name in _SUMS]
    query = select(named.label("name"), func.count().label("tries"), *sums)
    if group in ("agent", "job") or (wanted.job_id, wanted.agent) != (None, None):
        query = query.join(trials, trials.c.id == usage.c.trial_id)
    query = query.where(*_conditions(wanted))
    if group != "total":
        name = func.coalesce(named, "")
        dear = (func.sum(usage.c[each]).desc() for each in ("billed_nano", "imputed_nano"))
        query = query.group_by(named).order_by(*(() if group in TIMES else dear), name)
    return tuple(_spent(row) for row in reading.connection.execute(query.limit(limit)).mappings())


def _spent(row: RowMapping) -> Spent:
    return Spent(
        name=row["name"],
        tries=row["tries"],
        spend=Spend(
            usage=Usage(**{n: int(row[n]) for n in (*_COUNTS, "web_searches")}),
            billed_nano=int(row["billed_nano"]),
            imputed_nano=int(row["imputed_nano"]),
            unpriced_calls=int(row["unpriced_calls"]),
        ),
    )


def _named(reading: Reading, group: Group) -> ColumnElement[Any]:
    match group:
        case "model":
            return usage.c.model
        case "provider":
            return _provider(reading)
        case "agent":
            return trials.c.agent
        case "job":
            return trials.c.job_id
        case "trial":
            return usage.c.trial_id
        case "day":
            return day_of(reading, usage.c.at)
        case "week":
            return _monday(reading)
        case "month":
            return func.substr(day_of(reading, usage.c.at), 1, 7)
        case "total":
            return func.max("total")


def _provider(reading: Reading) -> ColumnElement[Any]:
    """What stands before the colon of a model's name."""
    if reading.connection.dialect.name == "postgresql":
        return func.split_part(usage.c.model, ":", 1)
    return func.substr(usage.c.model, 1, func.instr(usage.c.model, ":") - 1)


def _monday(reading: Reading) -> ColumnElement[Any]:
    if reading.connection.dialect.name == "postgresql":
        week = func.date_trunc("week", func.timezone("UTC", usage.c.at))
        return func.to_char(week, "YYYY-MM-DD")
    return func.date(usage.c.at, "weekday 0", "-6 days")


def _conditions(wanted: SpendFilter) -> list[ColumnElement[bool]]:
    return _within(wanted, usage.c.at, usage.c.model)


def conditions_of_trials(wanted: SpendFilter) -> list[ColumnElement[bool]]:
    """The same asked of trials, by when they ended."""
    return [trials.c.ended_at.is_not(None), *_within(wanted, trials.c.ended_at, trials.c.model)]


def _within(
    wanted: SpendFilter, at: ColumnElement[Any], model: ColumnElement[Any]
) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.since is not None:
        found.append(at >= wanted.since)
    if wanted.until is not None:
        found.append(at < wanted.until)
    if wanted.model is not None:
        found.append(model == wanted.model)
    if wanted.provider is not None:
        found.append(model.startswith(f"{wanted.provider}:", autoescape=True))
    if wanted.job_id is not None:
        found.append(trials.c.job_id == wanted.job_id)
    if wanted.agent is not None:
        found.append(trials.c.agent == wanted.agent)
    return found
