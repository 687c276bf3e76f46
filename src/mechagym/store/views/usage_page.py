"""What was spent, with all that its page shows, read at one position."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select

from mechagym.records import Spend
from mechagym.store.reading import Reading
from mechagym.store.tables import jobs, trials
from mechagym.store.views import money
from mechagym.store.views.dashboard import Share, share

NAMED = {"job": jobs, "trial": trials}
"""What is grouped by id, and where the names of these ids are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsagePage:
    """`groups` may be the dearest alone (`more`), `total` is of all. `names` has those of ids;
    `result` is what the trials that ended in the same time came to.
    """

    total: money.Spent
    groups: tuple[money.Spent, ...]
    more: bool
    names: Mapping[str, str]
    result: Share


def usage_page(
    reading: Reading, group: money.Group, wanted: money.SpendFilter, limit: int | None = None
) -> UsagePage:
    """What was spent; times are never cut, because the dearest of them would be no series."""
    most = None if limit is None or group in money.TIMES else limit
    groups = money.spend(reading, group, wanted, None if most is None else most + 1)
    shown = groups[:most]
    more = len(groups) > len(shown)
    return UsagePage(
        total=money.spend(reading, "total", wanted)[0] if more else _total(groups),
        groups=shown,
        more=more,
        names=_names(reading, group, {each.name for each in shown if each.name}),
        result=share(reading, *money.conditions_of_trials(wanted)),
    )


def _total(groups: Sequence[money.Spent]) -> money.Spent:
    """Where no group is left out, they need not be asked for again."""
    spend = sum((each.spend for each in groups), Spend())
    return money.Spent(name=None, tries=sum(each.tries for each in groups), spend=spend)


def _names(reading: Reading, group: money.Group, ids: Collection[str]) -> Mapping[str, str]:
    if group not in NAMED:
        return {}
    table = NAMED[group]
    known = reading.connection.execute(select(table.c.id, table.c.name).where(table.c.id.in_(ids)))
    return {row.id: row.name for row in known}
