"""The time of a trial as the planner divides it: work, the last stretch, and an end before the end.

An agent is told a little less than its deadline (`run.stint.told`). The loop stops 15 s before the
deadline itself; in a trial so short that this is more than its half, at its half.
"""

import math
import time
from collections.abc import Callable

STOP_BEFORE_S = 15.0
TOLD_MARGIN_SHARE, TOLD_MARGIN_MAX_S = 0.05, 15.0
LAST_S, LAST_SHARE = 30.0, 0.10
NOTE_SHARE = 0.75


class Clock:
    """Counts from its making."""

    def __init__(self, told_s: float | None, now: Callable[[], float] = time.monotonic) -> None:
        """`told_s`: the seconds the agent was told it has; None: there is no deadline."""
        self._now, self._began = now, now()
        self.whole_s = math.inf if told_s is None else _stop_after_s(told_s)

    @property
    def elapsed_s(self) -> float:
        """Since it began."""
        return self._now() - self._began

    @property
    def left_s(self) -> float:
        """Until the loop stops; infinite where there is no deadline."""
        return max(0.0, self.whole_s - self.elapsed_s)

    @property
    def is_last(self) -> bool:
        """Whether it is the last stretch: nothing new begins, the work is finished."""
        return self.left_s <= max(LAST_S, LAST_SHARE * self.whole_s) < math.inf

    @property
    def is_late(self) -> bool:
        """Whether three quarters are over."""
        return self.elapsed_s >= NOTE_SHARE * self.whole_s

    def bounded(self, timeout_s: float) -> float:
        """A time-out that does not reach past the end."""
        return max(1.0, min(timeout_s, self.left_s))


def _stop_after_s(told_s: float) -> float:
    shares = told_s / (1 - TOLD_MARGIN_SHARE)
    short = shares * TOLD_MARGIN_SHARE < TOLD_MARGIN_MAX_S
    deadline_s = shares if short else told_s + TOLD_MARGIN_MAX_S
    return min(told_s, max(deadline_s - STOP_BEFORE_S, deadline_s / 2))
