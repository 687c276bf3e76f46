"""What was spent, by whatever one wants to see it grouped; the sums are those of the tries."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, func, select

from mechagym.records import Spend, Usage
from mechagym.store.reading import Reading
from mechagym.store.tables import trials, usage
from mechagym.store.views.dashboard import day_of

Group = Literal["model", "provider", "agent", "job", "day", "trial", "total"]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """The spending of one group: `name` None is what has none (a trial without a model)."""

    name: str | None
    tries: int
    spend: Spend


def spend(reading: Reading, group: Group, wanted: SpendFilter) -> tuple[Spent, ...]:
    """What tries that ended cost, the dearest group first (days: in order)."""
    named = _named(reading, group)
    sums = [func.coalesce(func.sum(usage.c[name]), 0).label(name) for name in _SUMS]
    query = select(named.label("name"), func.count().label("tries"), *sums)
    if group in ("agent", "job") or (wanted.job_id, wanted.agent) != (None, None):
        query = query.join(trials, trials.c.id == usage.c.trial_id)
    for condition in _conditions(wanted):
        query = query.where(condition)
    if group != "total":
        query = query.group_by(named)
    rows = reading.connection.execute(query).mappings()
    found = [
        Spent(
            name=row["name"],
            tries=row["tries"],
            spend=Spend(
                usage=Usage(**{n: int(row[n]) for n in (*_COUNTS, "web_searches")}),
                billed_nano=int(row["billed_nano"]),
                imputed_nano=int(row["imputed_nano"]),
                unpriced_calls=int(row["unpriced_calls"]),
            ),
        )
        for row in rows
    ]
    by_day = group == "day"
    return tuple(sorted(found, key=lambda s: s.name or "") if by_day else sorted(found, key=_cost))


def _cost(spent: Spent) -> tuple[int, int, str]:
    return (-spent.spend.billed_nano, -spent.spend.imputed_nano, spent.name or "")


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
        case "total":
            return func.max("total")


def _provider(reading: Reading) -> ColumnElement[Any]:
    """What stands before the colon of a model's name."""
    if reading.connection.dialect.name == "postgresql":
        return func.split_part(usage.c.model, ":", 1)
    return func.substr(usage.c.model, 1, func.instr(usage.c.model, ":") - 1)


def _conditions(wanted: SpendFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.since is not None:
        found.append(usage.c.at >= wanted.since)
    if wanted.until is not None:
        found.append(usage.c.at < wanted.until)
    if wanted.model is not None:
        found.append(usage.c.model == wanted.model)
    if wanted.job_id is not None:
        found.append(trials.c.job_id == wanted.job_id)
    if wanted.agent is not None:
        found.append(trials.c.agent == wanted.agent)
    return found
