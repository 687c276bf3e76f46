"""The seam of all engines: run many trials at once; admission, retry and records stay with the
job.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from mechagym.run.plan import TrialPlan

Evaluate = Callable[[TrialPlan], Awaitable[None]]
"""Runs one trial to its end record, whatever happens in it; raises only when cancelled."""


class Engine(Protocol):
    """Something that can carry trials."""

    async def run(self, plans: Sequence[TrialPlan], evaluate: Evaluate) -> None:
        """Evaluate all, as many at once as there is room for; a cancel ends them all."""
        ...

    def drain(self) -> None:
        """Begin nothing more; what runs may finish."""
        ...

    def capacity(self) -> int:
        """How many trials may run at once."""
        ...
