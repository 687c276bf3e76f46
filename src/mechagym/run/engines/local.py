"""Trials on this machine: as many tasks of one event loop as are wanted at once."""

import random
from collections.abc import Iterator, Sequence

import anyio

from mechagym.run.engines.base import Evaluate
from mechagym.run.plan import TrialPlan

JITTER_S = 0.05


class LocalEngine:
    """A fixed number of workers that take trials in order."""

    def __init__(self, workers: int) -> None:
        """`workers`: trials at once."""
        self._workers = workers
        self._draining = False

    async def run(self, plans: Sequence[TrialPlan], evaluate: Evaluate) -> None:
        """Evaluate all; the first ones start a little apart, so that no herd meets the engine."""
        queue = iter(plans)
        async with anyio.create_task_group() as tasks:
            for index in range(min(self._workers, len(plans))):
                tasks.start_soon(self._work, queue, evaluate, index)

    def drain(self) -> None:
        """Begin nothing more."""
        self._draining = True

    def capacity(self) -> int:
        """The number of workers."""
        return self._workers

    async def _work(self, queue: Iterator[TrialPlan], evaluate: Evaluate, index: int) -> None:
        await anyio.sleep(random.uniform(0, JITTER_S) * min(index, 4) / 4)  # noqa: S311
        for plan in queue:
            if self._draining:
                return
            await evaluate(plan)
