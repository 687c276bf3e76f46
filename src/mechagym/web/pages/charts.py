"""Where the parts of a chart lie. A chart is SVG without a size of its own: its marks are stretched
to the page, and all its words stand beside it as text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from mechagym.store.views.dashboard import Share
from mechagym.web.api.shapes import ShareOut, share_out

DAYS, FEWEST = 92, 14
"""As many days as an axis has at most, and at least."""
TALL = 100.0
WIDE = 0.72
"""Of a day's place, so much is its column."""


def limits(first: date, after: date, since: datetime | None) -> dict[str, str]:
    """`since` and `until` of the URL that shows some days of what began at `since`."""
    begin = first.isoformat()
    if since is not None and since.date() == first:
        begin = f"{since:%Y-%m-%dT%H:%M:%S.%fZ}"
    return {"since": begin, "until": after.isoformat()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A day: its share as a column from 0, and the interval as a line over it. y runs downwards."""

    day: str
    since: str
    until: str
    share: ShareOut
    place: int

    @property
    def x(self) -> float:
        """Its left side."""
        return self.place + (1 - WIDE) / 2

    @property
    def middle(self) -> float:
        """Where the interval stands."""
        return self.place + 0.5

    def y(self, share: float) -> float:
        """How far from the top a share lies."""
        return round(TALL * (1 - share), 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """Columns for each day on which a trial ended, on an axis of `places` days; newest last."""

    columns: tuple[Column, ...]
    places: int
    first: str
    last: str
    left_out: int
    wide: float = WIDE


def by_day(found: Sequence[tuple[str, Share]], since: datetime | None, today: date) -> Days | None:
    """The last days, on a true axis of time up to today: a day without a trial is a gap. None
    without any. `since` is where the figures begin, which is inside of the first day.
    """
    if not found:
        return None
    days = [(date.fromisoformat(name), share) for name, share in found]
    last = max(days[-1][0], today)
    first = min(since.date() if since else days[0][0], last - timedelta(days=FEWEST - 1))
    first = max(first, last - timedelta(days=DAYS - 1))
    columns = tuple(
        Column(
            day=day.isoformat(),
            **limits(day, day + timedelta(days=1), since),
            share=share_out(share.passed, share.graded, share.ungraded),
            place=(day - first).days,
        )
        for day, share in days
        if day >= first
    )
    return Days(
        columns=columns,
        places=(last - first).days + 1,
        first=first.isoformat(),
        last=last.isoformat(),
        left_out=len(days) - len(columns),
    )
