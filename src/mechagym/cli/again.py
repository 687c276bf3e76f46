"""`mechagym jobs resume` and `jobs retry`: going on with a job that is known."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from mechagym.cli.options import job_argument, with_settings

if TYPE_CHECKING:
    from mechagym.config import Settings
    from mechagym.store import TrialRow

quiet_option = click.option("-q", "--quiet", is_flag=True, help="Print only the table at the end.")
events_option = click.option("--json", "as_json", is_flag=True, help="Print events as JSON lines.")


@click.command()
@job_argument
@quiet_option
@events_option
@with_settings("concurrent", "store")
def resume(settings: "Settings", job: str, quiet: bool, as_json: bool) -> None:
    """Go on with a job: ended trials stay as they are, the others are run.

    Its config stays; only -n may be other than it was.
    """
    from mechagym.cli.launch import Showing, resumed

    raise SystemExit(resumed(settings, job, Showing(quiet=quiet, as_json=as_json)))


@click.command()
@job_argument
@click.option("--unscored", is_flag=True, help="All that entered no mean.")
@click.option("--outcome", "outcomes", multiple=True, help="All with this outcome.")
@click.option("--error", "errors", multiple=True, metavar="TYPE", help="By error class or reason.")
@quiet_option
@events_option
@with_settings("concurrent", "store")
def retry(
    settings: "Settings",
    job: str,
    quiet: bool,
    as_json: bool,
    **which: bool | tuple[str, ...],
) -> None:
    """Run some of a job's trials again. Their tries and costs so far are kept.

    Graded trials are sealed: to try those again, begin another job.
    """
    import anyio

    from mechagym.cli.launch import Showing, resumed
    from mechagym.cli.terminal.figures import counted

    count = anyio.run(_reopen, settings, job, which)
    click.echo(f"{counted(count, 'trial')} to be tried again", err=True)
    raise SystemExit(resumed(settings, job, Showing(quiet=quiet, as_json=as_json)))


async def _reopen(
    settings: "Settings", called: str, which: dict[str, bool | tuple[str, ...]]
) -> int:
    """Break the seal of what was asked for. Raises ConfigError where it is graded, or nothing."""
    from mechagym.cli.found import find_job, opened
    from mechagym.errors import ConfigError

    if not any(which.values()):
        raise ConfigError("which trials? say --unscored, --outcome X or --error TYPE")
    async with opened(settings) as store:
        job = await find_job(store, called)
        if job.owner is not None:
            raise ConfigError(
                f"job {job.name}: process {job.owner.pid} on {job.owner.host} works on it",
                remedy=f"wait for it, or stop it: mechagym jobs stop {job.name}",
            )
        rows = [row for row in await store.trials(job.job_id) if row.state == "ended"]
        failed = {
            record.key.trial_id: record.counted.error
            for record in await store.records(job.job_id)
            if record.counted.error
        }
        outcomes, errors = _checked(which["outcomes"]), which["errors"]
        assert isinstance(errors, tuple)
        wanted = [
            row
            for row in rows
            if (which["unscored"] and not row.graded)
            or (row.outcome and row.outcome.value in outcomes)
            or ((e := failed.get(row.key.trial_id)) and {e.type, e.reason} & set(errors))
        ]
        _refuse_graded(wanted)
        if not wanted:
            raise ConfigError(f"job {job.name} has no such trial")
        await store.reopen_trials([row.key.trial_id for row in wanted])
    return len(wanted)


def _checked(outcomes: object) -> Sequence[str]:
    from mechagym.cli.spelling import did_you_mean
    from mechagym.errors import ConfigError
    from mechagym.records import Outcome

    assert isinstance(outcomes, tuple)
    known = [outcome.value for outcome in Outcome]
    for name in outcomes:
        if name not in known:
            raise ConfigError(
                f"--outcome {name}: no such outcome{did_you_mean(name, known)}",
                remedy=f"there are: {', '.join(known)}",
            )
    return outcomes


def _refuse_graded(rows: "Sequence[TrialRow]") -> None:
    from mechagym.errors import ConfigError

    graded = [row.key.trial_name for row in rows if row.graded]
    if graded:
        raise ConfigError(
            f"{len(graded)} of these are graded and sealed, for example {graded[0]}",
            remedy="leave them out with --unscored, or begin another job",
        )
