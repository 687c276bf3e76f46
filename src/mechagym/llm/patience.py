"""How long one call is tried: which failed try is followed by another, and after what wait."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from anyio import to_thread

from mechagym.llm.faults import Fault
from mechagym.llm.settings import RetryLimits

LONGEST_ASKED_S = 120.0
"""A provider that asks for more than this is not waited for."""

LEAST_LEFT_S = 5.0
"""With less time left than this, a try is not worth beginning."""


@dataclass(slots=True, kw_only=True)
class Patience:
    """The tries of one call. `reread` looks for another key and says whether there is one; it may
    ask a command, so it runs in a thread.

    `left_s` is the time left to the caller, 0 once somebody asked it to stop.
    """

    limits: RetryLimits
    left_s: Callable[[], float]
    reread: Callable[[], bool]
    uniform: Callable[[float, float], float] = random.uniform
    tried: int = field(default=0, init=False)
    waited_s: float = field(default=0.0, init=False)
    _another_key: bool = field(default=False, init=False)

    async def wait_after(self, fault: Fault) -> float | None:
        """How long to wait before the next try; None: there is none. Does not wait itself."""
        self.tried += 1
        if fault.kind == "unauthorised" and not self._another_key:
            self._another_key = await to_thread.run_sync(self.reread)
            return 0.0 if self._another_key else None
        if self.tried >= min(fault.tries, self.limits.tries):
            return None
        doubled: float = self.limits.base_s * 2 ** (self.tried - 1)
        wait = min(self.limits.cap_s, doubled) * self.uniform(0.5, 1)
        if (asked := fault.retry_after_s) is not None:
            if asked > LONGEST_ASKED_S:
                return None
            wait = max(asked, wait) + self.uniform(0, 1)
        if self.waited_s + wait > self.limits.total_s or self.left_s() - wait < LEAST_LEFT_S:
            return None
        self.waited_s += wait
        return wait
