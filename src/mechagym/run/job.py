"""A job: its trials admitted, tried again where the infrastructure failed, sealed, and stopped in
order.

One bad trial never stops a job. A trial is sealed by its end record and never run again by a
resume; a cancelled one has no end record, so that a resume goes on with it. One process owns a
job at a time.
"""

import math
import os
import random
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, assert_never

import anyio
import anyio.to_thread

from mechagym.budget import LIMITS
from mechagym.errors import NoSpace
from mechagym.events import (
    ErrorRaised,
    JobEnded,
    JobOp,
    JobStarted,
    ModelSelected,
    OpTaken,
    SetBudgetOp,
    StopOp,
    TrialEnded,
)
from mechagym.records import Outcome, TrialKey, TrialRecord, TryRecord, now
from mechagym.run.engines.base import Engine
from mechagym.run.kit import Kit
from mechagym.run.outcome import error_record
from mechagym.run.plan import TrialPlan
from mechagym.run.trial import Try
from mechagym.sandbox.base import ReapScope
from mechagym.store import JobRow, TrialRow

OP_POLL_S = 0.5
BACKOFF_MAX_S = 30.0
SAME_PRESS_S = 0.5
"""One Ctrl-C comes twice where a program around us (`timeout`, a package runner) passes it on."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

JobState = Literal["finished", "cancelled", "stopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReport:
    """What a job came to: every trial that was begun, now or before; `waiting` were not."""

    job: JobRow
    state: JobState
    started_at: datetime
    ended_at: datetime
    trials: tuple[TrialRecord, ...]
    waiting: int

    @property
    def unscored(self) -> tuple[TrialRecord, ...]:
        """The trials that enter no mean."""
        return tuple(trial for trial in self.trials if not trial.graded)


class Job:
    """One process's work on a job."""

    def __init__(
        self, row: JobRow, plans: Sequence[TrialPlan], *, kit: Kit, engine: Engine, retries: int
    ) -> None:
        """`plans` are the trials that are still to be done; the row is claimed by us.

        `retries`: further tries after an infrastructure fault.
        """
        self._row, self._plans, self._kit, self._engine = row, plans, kit, engine
        self._retries = retries
        self._emit = kit.emitter(row.job_id)
        self._state: JobState = "finished"
        self._scope = anyio.CancelScope()
        self._before: dict[str, int] = {}

    async def run(self, *, resumed: bool, selected: Sequence[ModelSelected] = ()) -> JobReport:
        """Sweep up what dead owners left, then carry out all plans.

        Ctrl-C once cancels in order, twice ends this process at once.
        """
        started_at = now()
        rows = await self._kit.store.trials(self._row.job_id)
        self._before = {row.key.trial_id: row.tries for row in rows}
        self._emit(JobStarted(owner_pid=os.getpid(), trials=len(rows), resumed=resumed))
        for selection in selected:
            self._emit(selection)
        await self._kit.sandbox.reap(ReapScope())
        keys = [row.key for row in rows]
        await self._begin_folder(keys)
        await self._mend([row for row in rows if row.tries])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch_signals)
            tasks.start_soon(self._watch_ops)
            with self._scope:
                await self._engine.run(self._plans, self._evaluate)
            tasks.cancel_scope.cancel()
        self._emit(JobEnded(state=self._state))
        await self._kit.store.release_job(self._row.job_id, self._state)
        return await self._report(started_at)

    async def _begin_folder(self, keys: Sequence[TrialKey]) -> None:
        """Raises NoSpace: where not even this fits, no trial's evidence would."""
        root = self._kit.folder.root
        try:
            await anyio.to_thread.run_sync(self._kit.folder.begin, keys)
        except OSError as error:
            remedy = "make room there, or choose another folder with -o"
            raise NoSpace(f"{root}: cannot be written: {error}", remedy=remedy) from error

    async def _mend(self, tried: Sequence[TrialRow]) -> None:
        """Write again the folders that a crash left torn, missing or unredacted, from the store."""
        names = [row.key.trial_name for row in tried]
        whole = await anyio.to_thread.run_sync(
            lambda: set(filter(self._kit.folder.is_whole, names))
        )
        for row in tried:
            if row.key.trial_name not in whole:
                await self._keep(row.key)

    async def _evaluate(self, plan: TrialPlan) -> None:
        if self._spent_up(plan.model):
            self._state = "stopped"
            self._engine.drain()
            return
        queued_at = now()
        try:
            last = await self._tries(plan, queued_at)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await self._keep(plan.key)
            raise
        emit = self._kit.emitter(plan.key.trial_id, last.number)
        emit(TrialEnded(outcome=last.outcome, tries=last.number))
        await self._keep(plan.key)

    async def _tries(self, plan: TrialPlan, queued_at: datetime) -> TryRecord:
        """Try until an outcome stands: faults of the infrastructure are tried again, with
        backoff.
        """
        first = self._before.get(plan.key.trial_id, 0) + 1
        for number in range(first, first + self._retries + 1):
            record = await Try(plan, number, self._kit, queued_at).run()
            again = record.outcome is Outcome.INFRA_ERROR and record.error and record.error.retry
            if not again:
                break
            if number < first + self._retries:
                pause_s = min(BACKOFF_MAX_S, 2 ** (number - first))
                await anyio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311
                queued_at = now()
        return record

    async def _keep(self, key: TrialKey) -> None:
        """Write the trial's folder from what the store holds."""
        with self._told(f"{key.trial_name}: its folder"):
            await self._kit.write_trial(key)

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """A folder is a fold that can be made again: where it cannot be written that is told and
        ends nothing; the next start tries again.
        """
        try:
            yield
        except OSError as error:
            remedy = f"make room there, then `mechagym jobs resume {self._row.name}` writes it"
            self._emit(ErrorRaised(error=error_record(NoSpace(f"{what}: {error}", remedy=remedy))))

    def _spent_up(self, model: str | None) -> bool:
        """Whether nothing is left: not even for one call, where the trial has a model."""
        kit = self._kit
        if any((left := kit.meter.left(name)) is not None and left <= 0 for name in LIMITS):
            return True
        return (
            kit.access is not None
            and model is not None
            and not kit.access.affords(model, kit.meter)
        )

    async def _watch_signals(self) -> None:
        with anyio.open_signal_receiver(*SIGNALS) as signals:
            pressed_at = math.inf
            async for number in signals:
                if anyio.current_time() > pressed_at + SAME_PRESS_S:
                    os.kill(os.getpid(), signal.SIGKILL)
                pressed_at = min(pressed_at, anyio.current_time())
                if self._scope.cancel_called:
                    continue
                self._stop(OpTaken(op_id=0, op=signal.Signals(number).name, applied=True))
                self._state = "cancelled"

    async def _watch_ops(self) -> None:
        while True:
            for op_id, op in await self._kit.store.pending_ops(self._row.job_id):
                self._apply(op_id, op)
                await self._kit.store.end_op(op_id, applied=True)
            await anyio.sleep(OP_POLL_S)

    def _apply(self, op_id: int, op: JobOp) -> None:
        match op:
            case StopOp(drain=True):
                self._state = "stopped"
                self._engine.drain()
                self._emit(OpTaken(op_id=op_id, op="drain", applied=True))
            case StopOp():
                self._state = "stopped"
                self._stop(OpTaken(op_id=op_id, op="stop", applied=True))
            case SetBudgetOp(limit=limit, value=value):
                self._kit.meter.set_limit(limit, value)
                self._emit(OpTaken(op_id=op_id, op="set_budget", applied=True))
            case _:
                assert_never(op)

    def _stop(self, why: OpTaken) -> None:
        self._emit(why)
        self._scope.cancel()

    async def _report(self, started_at: datetime) -> JobReport:
        trials = await self._kit.store.records(self._row.job_id)
        events = await self._kit.store.events(self._row.job_id, limit=100_000)
        with self._told("the job's folder"):
            await anyio.to_thread.run_sync(self._kit.folder.write_job, trials, events)
        return JobReport(
            job=self._row,
            state=self._state,
            started_at=started_at,
            ended_at=now(),
            trials=tuple(trials),
            waiting=self._row.trials - len(trials),
        )
