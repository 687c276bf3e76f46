"""The time that figures are of, as the URL says it."""

from datetime import datetime, timedelta
from typing import Literal, get_args

from mechagym.records import now

Window = Literal["24h", "7d", "30d", "90d", "all"]
"""Not all there is unless one asks: figures over everything cost the most and say the least."""

WINDOWS: tuple[Window, ...] = get_args(Window)
WORDS = {"24h": "24 hours", "7d": "7 days", "30d": "30 days", "90d": "90 days", "all": "all time"}
_DAYS = {"24h": 1, "7d": 7, "30d": 30, "90d": 90}


def began(window: Window) -> datetime | None:
    """Since when; None: there is no beginning."""
    return now() - timedelta(days=_DAYS[window]) if window in _DAYS else None
