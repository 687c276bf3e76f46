"""`mechagym jobs …`: what was run, and what is to become of it."""

import shutil
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mechagym.cli.lazy import later
from mechagym.cli.options import Age, job_argument, json_option, with_settings, yes_option

if TYPE_CHECKING:
    from mechagym.config import Settings
    from mechagym.store import JobRow, Store

ENDED = frozenset({"finished", "cancelled", "stopped", "interrupted"})


@click.group(
    commands=later(
        "mechagym.cli",
        {
            "compare": ("compare:compare", "Compare two jobs on the tasks they share."),
            "raise": ("job_ops:raise_limit", "Change a job's budget, also while it runs."),
            "resume": ("again:resume", "Go on with a job that was interrupted."),
            "retry": ("again:retry", "Run some of a job's trials again."),
            "stop": ("job_ops:stop", "Stop a job that runs, here or elsewhere."),
        },
    )
)
def jobs() -> None:
    """List, show, compare, retry, resume, stop and remove jobs, and change their budgets.

    JOB is a job's name, its folder, or `last`.
    """


@jobs.command("list")
@click.option("--limit", default=20, show_default=True, help="How many, newest first.")
@json_option
@with_settings("store")
def list_jobs(settings: "Settings", limit: int, as_json: bool) -> None:
    """List jobs, newest first."""
    import anyio

    from mechagym.cli.terminal.figures import ago
    from mechagym.cli.terminal.page import Column, Page

    rows = anyio.run(_listed, settings, limit)
    page = Page(settings.terminal)
    if as_json:
        page.json(rows)
    elif not rows:
        page.note("no job was run yet: see `mechagym run --help`")
    else:
        columns = [Column(name="job", cut=True), Column(name="state")]
        columns += [Column(name=n, align="right") for n in ("ended", "passed", "made")]
        page.table(
            columns,
            [
                (
                    r["name"],
                    r["state"],
                    f"{r['ended']}/{r['trials']}",
                    str(r["passed"]),
                    ago(r["created_at"]),
                )
                for r in rows
            ],
        )


@jobs.command()
@job_argument
@click.option("--trials", "with_trials", is_flag=True, help="List every trial too.")
@json_option
@with_settings("store")
def show(settings: "Settings", job: str, with_trials: bool, as_json: bool) -> None:
    """Show a job: its config, what it came to, and what is not graded and why."""
    import anyio

    from mechagym.cli.terminal.job_page import show_job

    anyio.run(show_job, settings, job, with_trials, as_json)


@jobs.command()
@click.argument("job", nargs=-1, required=True)
@yes_option
@with_settings("store")
def rm(settings: "Settings", job: tuple[str, ...], yes: bool) -> None:
    """Remove jobs: their records and their folders."""
    import anyio

    anyio.run(_remove_named, settings, job, yes)


@jobs.command()
@click.option("--older-than", type=Age(), default="30d", show_default=True)
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@yes_option
@with_settings("store")
def prune(settings: "Settings", older_than: float, dry_run: bool, yes: bool) -> None:
    """Remove all jobs that ended longer ago than this."""
    import anyio

    anyio.run(_prune, settings, timedelta(seconds=older_than), dry_run, yes)


async def _listed(settings: "Settings", limit: int) -> list[dict[str, Any]]:
    from mechagym.cli.found import opened
    from mechagym.records import Outcome
    from mechagym.store import TrialFilter

    async with opened(settings) as store:
        return [
            {
                "name": job.name,
                "job_id": job.job_id,
                "state": job.state,
                "trials": job.trials,
                "ended": await store.count_trials(TrialFilter(job_id=job.job_id, state="ended")),
                "passed": await store.count_trials(
                    TrialFilter(job_id=job.job_id, outcome=Outcome.PASSED)
                ),
                "created_at": job.created_at,
                "folder": job.folder,
                "config_digest": job.config_digest,
            }
            for job in (await store.jobs())[:limit]
        ]


async def _remove_named(settings: "Settings", called: tuple[str, ...], yes: bool) -> None:
    from mechagym.cli.found import find_job, opened

    async with opened(settings) as store:
        await _remove(store, [await find_job(store, name) for name in called], yes)


async def _prune(settings: "Settings", age: timedelta, dry_run: bool, yes: bool) -> None:
    from mechagym.cli.found import opened
    from mechagym.records import now

    async with opened(settings) as store:
        before = now() - age
        old = [
            job
            for job in await store.jobs()
            if job.state in ENDED and (job.ended_at or job.created_at) < before
        ]
        if dry_run:
            for job in old:
                click.echo(f"would remove {job.name} ({job.folder})")
        elif old:
            await _remove(store, old, yes)
        else:
            click.echo("no job is that old")


async def _remove(store: "Store", doomed: "list[JobRow]", yes: bool) -> None:
    """Forget each job, then delete its folder: a crash in between leaves only files."""
    for job in doomed:
        if not yes:
            click.confirm(f"remove {job.name} and {job.folder}?", abort=True, err=True)
        await store.remove_job(job.job_id)
        folder = Path(job.folder)
        if (folder / "config.json").is_file():
            shutil.rmtree(folder)
        click.echo(f"removed {job.name}")
