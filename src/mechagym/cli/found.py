"""Jobs and trials by what a person calls them, in a store that is open as long as it is needed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from mechagym.cli.spelling import did_you_mean
from mechagym.config import Settings
from mechagym.errors import ConfigError
from mechagym.store import JobRow, Store, TrialFilter, TrialPage, TrialRow

LAST = "last"


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Store]:
    """The store of the settings; what dead processes left running is put right first."""
    async with Store.open(settings.store) as store:
        await store.reconcile()
        yield store


async def find_job(store: Store, called: str) -> JobRow:
    """A job by name, id, folder, or `last`. Raises ConfigError with the nearest name."""
    jobs = await store.jobs()
    if called == LAST and jobs:
        return jobs[0]
    for job in jobs:
        if called in (job.name, job.job_id) or Path(called).absolute() == Path(job.folder):
            return job
    raise ConfigError(
        f"no job is called {called!r}{did_you_mean(called, (job.name for job in jobs))}",
        remedy="see `mechagym jobs list`" if jobs else "no job was run yet: see `mechagym run`",
    )


async def find_trial(store: Store, called: str) -> tuple[JobRow, TrialRow]:
    """A trial by name, id, or `JOB/TASK` where that is one. Raises ConfigError."""
    job_called, slash, task = called.rpartition("/")
    if slash:
        return await _in_job(await find_job(store, job_called), task, store)
    if record := await store.record(called):
        return await _in_job(await find_job(store, record.key.job_id), called, store)
    task = called.rpartition("__")[0] or called
    near = await store.search_trials(TrialFilter(text=task), TrialPage(limit=10_000))
    for trial in near:
        if called == trial.key.trial_name:
            return await find_job(store, trial.key.job_id), trial
    raise ConfigError(
        f"no trial is called {called!r}{did_you_mean(called, (t.key.trial_name for t in near))}",
        remedy="see `mechagym jobs show JOB`; JOB/TASK is understood too, also last/TASK",
    )


async def _in_job(job: JobRow, task: str, store: Store) -> tuple[JobRow, TrialRow]:
    trials = await store.trials(job.job_id)
    wanted = [t for t in trials if task in (t.key.task, t.key.trial_name, t.key.trial_id)]
    if len(wanted) == 1:
        return job, wanted[0]
    if wanted:
        raise ConfigError(
            f"job {job.name} has {len(wanted)} trials of {task}",
            remedy="name one: " + ", ".join(t.key.trial_name for t in wanted[:8]),
        )
    raise ConfigError(
        f"job {job.name} has no task {task!r}{did_you_mean(task, {t.key.task for t in trials})}"
    )
