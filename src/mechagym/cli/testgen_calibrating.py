"""Calibration for a person: sealed trials are found, suites run on what they left, rates shown."""

from collections.abc import Sequence

import anyio
import click

from mechagym import wiring
from mechagym.cli.found import find_job
from mechagym.cli.terminal.page import Column, Page
from mechagym.cli.terminal.testgen_lists import rate_text
from mechagym.cli.testgen_config import STREAM, find_config
from mechagym.cli.testgen_trying import tasks_of
from mechagym.config import Settings
from mechagym.errors import ConfigError
from mechagym.records import to_dict
from mechagym.store import JobRow, Store, TrialRow
from mechagym.store.testgen_rows import RunFilter
from mechagym.tasks.model import Task
from mechagym.testgen.calibration import Calibration, Sealed, calibration, look_at
from mechagym.testgen.config import config_of, digest
from mechagym.testgen.service import TestGenService
from mechagym.testgen.types import TestSuite
from mechagym.wiring.testgen import Ground, sealed_trials

_LOOK_S = 1.0


async def calibrate_job(
    settings: Settings, called: str, asked: str | None, trusts_host: bool, as_json: bool
) -> None:
    """Count, keep the counts, and show them. Raises ConfigError where there is nothing to count."""
    async with (
        wiring.open_sandbox(settings.sandbox, settings, trusts_host=trusts_host) as chosen,
        Store.open(settings.store) as store,
        TestGenService.open(store) as service,
    ):
        job = await find_job(store, called)
        known = digest(config_of(await find_config(store, asked)))
        trials = await sealed_by_then(store, job)
        tasks = tasks_of(settings, job)
        sealed, left_out = sealed_trials(job, trials, tasks, Ground.of(chosen.sandbox))
        suites = await suites_of(service, known, tasks)
        found = await measured(service, sealed, suites)
        if found is None:
            raise ConfigError(
                f"no sealed trial of {job.name} has a task with a ready suite of {known[:16]}",
                remedy="make suites: mechagym testgen generate TASK --config DIGEST",
            )
        store.emitter(STREAM)(found.event(known, job.job_id))
        await store.flush()
    left_out += [f"{one.task_id}: no ready suite" for one in sealed if one.task_id not in suites]
    _show(Page(settings.terminal), found, left_out, as_json=as_json)


async def sealed_by_then(store: Store, job: JobRow) -> list[TrialRow]:
    """The trials of a job, once those are sealed that a live process works on."""
    told = False
    while True:
        await store.reconcile()
        rows = await store.trials(job.job_id)
        row = await store.find_job(job.job_id)
        if row is None or row.state != "running" or all(t.state == "ended" for t in rows):
            return rows
        if not told:
            click.echo(f"waiting until the trials of {job.name} are sealed", err=True)
            told = True
        await anyio.sleep(_LOOK_S)


async def suites_of(
    service: TestGenService, config_digest: str, tasks: Sequence[Task]
) -> dict[str, TestSuite]:
    """The newest ready suite of a config for each task that has one."""
    suites: dict[str, TestSuite] = {}
    for task in tasks:
        wanted = RunFilter(task_id=task.task_id, config_digest=config_digest, limit=100)
        rows = [r for r in await service.list(wanted) if r.ready and r.task_digest == task.digest]
        if rows:
            suites[task.task_id] = (await service.result(rows[0].run_id)).suite
    return suites


async def measured(
    service: TestGenService, sealed: Sequence[Sealed], suites: dict[str, TestSuite]
) -> Calibration | None:
    """Each end state with the suite of its task; None: there is none."""
    seen = [
        await look_at(one, suites[one.task_id], service.run)
        for one in sealed
        if one.task_id in suites
    ]
    return calibration(seen, suites) if seen else None


def _show(page: Page, found: Calibration, left_out: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        rates = {"false_fail": found.false_fail, "false_pass": found.false_pass}
        page.json(
            {
                "end_states": len(found.seen),
                **{
                    name: {category: to_dict(rate) for category, rate in by.items()}
                    for name, by in rates.items()
                },
                "toxic_tests": to_dict(found.toxic),
                "selection_gain": to_dict(found.gain) if found.gain else None,
                "left_out": list(left_out),
            }
        )
        return
    columns = [Column(name="tests"), Column(name="false-fail"), Column(name="n", align="right")]
    columns += [Column(name="false-pass"), Column(name="n", align="right")]
    page.table(
        columns,
        [
            (
                name,
                rate_text(failing),
                str(failing.trials),
                rate_text(found.false_pass[name]),
                str(found.false_pass[name].trials),
            )
            for name, failing in found.false_fail.items()
        ],
    )
    page.line(f"toxic tests: {found.toxic.count} of {found.toxic.trials}")
    if found.gain is not None:
        page.line(f"selection gain: {found.gain.gain:+.2f}")
    for line in left_out:
        page.note(f"left out: {line}")
