"""The money of a job: one meter for all its trials, continued where the process before left it.

What was spent stays spent, and what a person changed stays changed: going on with a job resets
neither.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from itertools import zip_longest

from mechagym.budget import LIMITS, Budget, Limit, Meter
from mechagym.events import BudgetRaised, Emit, Event, JobEnded, JobStarted
from mechagym.records import Spend, Usage, from_json
from mechagym.run.config import JobConfig
from mechagym.store import JobRow, Store, TrialRow

_MANY = 100_000


async def open_purse(store: Store, row: JobRow, budget: Budget, emit: Emit) -> Meter:
    """The job's meter, with all that its trials have cost until now.

    `budget` is what the person asks for now: where it differs from what the job was begun with, it
    counts; else what was changed while the job ran does.
    """
    events = await store.events(row.job_id, limit=_MANY)
    begun = from_json(JobConfig, row.config).budget
    meter = Meter(budget=changed(begun, events), emit=emit)
    meter.adopt(spent(await store.trials(row.job_id)), seconds=worked(events).total_seconds())
    for name in LIMITS:
        if budget.limit(name) != begun.limit(name):
            meter.set_limit(name, budget.limit(name))
    return meter


async def change_limit(store: Store, row: JobRow, limit: Limit, value: float | None) -> None:
    """Change a limit of a job that does not run: the next start begins with it."""
    events = await store.events(row.job_id, limit=_MANY)
    now = changed(from_json(JobConfig, row.config).budget, events)
    store.emitter(row.job_id)(BudgetRaised(limit=limit, before=now.limit(limit), after=value))
    await store.flush()


def changed(budget: Budget, events: Iterable[Event]) -> Budget:
    """The budget with what a person changed of it while the job ran."""
    for event in events:
        if isinstance(event.body, BudgetRaised):
            budget = budget.with_limit(event.body.limit, event.body.after)
    return budget


def spent(rows: Sequence[TrialRow]) -> Spend:
    """What all tries of these trials have cost; of their tokens the sum alone is known."""
    return Spend(
        usage=Usage(input=sum(row.tokens for row in rows)),
        billed_nano=sum(row.billed_nano for row in rows),
        imputed_nano=sum(row.imputed_nano for row in rows),
    )


def worked(events: Sequence[Event]) -> timedelta:
    """How long processes have worked on the job, from each start to its last word."""
    total, began = timedelta(), None
    for event, after in zip_longest(events, events[1:]):
        if isinstance(event.body, JobStarted):
            began = event.at
        last = isinstance(
            event.body, JobEnded
        )  # what comes then is of people, until the next start
        over = last or after is None or isinstance(after.body, JobStarted)
        if over and began is not None:
            total += event.at - began
            began = None
    return total
