"""Running a stored suite where a person says: in a task's box, or on what a trial left."""

from collections.abc import Sequence
from dataclasses import dataclass

from mechagym import wiring
from mechagym.cli.found import find_trial
from mechagym.cli.terminal.page import Page
from mechagym.cli.terminal.testgen_page import report_page
from mechagym.cli.testgen_found import find_run
from mechagym.cli.testgen_making import tasks_named
from mechagym.config import Settings
from mechagym.errors import ConfigError
from mechagym.records import from_json, to_dict
from mechagym.run.config import JobConfig
from mechagym.store import JobRow, Store
from mechagym.tasks.model import Task
from mechagym.testgen.service import TestGenService
from mechagym.wiring.testgen import Ground, OpenBox, try_folder

PASSED, FAILED = 0, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where: exactly one of the two."""

    task: str | None
    trial: str | None
    trusts_host: bool


async def try_suite(settings: Settings, called: str, place: Place, as_json: bool) -> int:
    """Run it and say how each test did; gives the exit code."""
    if bool(place.task) == bool(place.trial):
        raise ConfigError("say where: --task TASK or --trial TRIAL")
    async with (
        wiring.open_sandbox(settings.sandbox, settings, trusts_host=place.trusts_host) as chosen,
        Store.open(settings.store) as store,
        TestGenService.open(store) as service,
    ):
        saved = await service.result((await find_run(store, called)).run_id)
        opens = await _opens(settings, store, place, Ground.of(chosen.sandbox))
        async with opens() as box:
            report = await service.run(saved.suite, box)
    page = Page(settings.terminal)
    if as_json:
        page.json(to_dict(report))
    else:
        report_page(page, report)
    return PASSED if report.passed else FAILED


async def _opens(settings: Settings, store: Store, place: Place, ground: Ground) -> OpenBox:
    if place.task:
        tasks = tasks_named(settings, [place.task])
        if len(tasks) > 1:
            raise ConfigError(f"--task {place.task}: {len(tasks)} tasks, and one is wanted")
        return ground.of_task(tasks[0])
    job, trial = await find_trial(store, str(place.trial))
    by_digest = {task.digest: task for task in tasks_of(settings, job)}
    task = by_digest.get(trial.key.task_digest)
    if task is None:
        raise ConfigError(f"task {trial.key.task} of this trial is gone or has changed")
    return ground.of_trial(task, try_folder(job, trial))


def tasks_of(settings: Settings, job: JobRow) -> Sequence[Task]:
    """The tasks that a job was run on, as they are now."""
    return tasks_named(settings, from_json(JobConfig, job.config).sources.sources)
