"""`mechagym testgen evolve|calibrate`: what makes better suites, and how far to trust them."""

from typing import TYPE_CHECKING, Any

import click

from mechagym.cli.completing import jobs
from mechagym.cli.options import json_option, trust_option, with_settings
from mechagym.cli.testgen import model_options

if TYPE_CHECKING:
    from mechagym.config import Settings


@click.command()
@click.option(
    "--tasks",
    "names",
    multiple=True,
    required=True,
    metavar="TASK,…",
    help="Search tasks to measure on.",
)
@click.option(
    "--holdout", multiple=True, metavar="TASK", help="Tasks never to be used, as DATASET/NAME."
)
@click.option(
    "--job",
    metavar="JOB",
    shell_complete=jobs,
    help="Accept by agreement with this job's verdicts, from 30 kept end states on.",
)
@click.option(
    "--preset",
    type=click.Choice(["full", "map", "quick"]),
    default="full",
    show_default=True,
    help="The limits of each run.",
)
@click.option("--max-runs", type=click.IntRange(min=1), default=100, show_default=True)
@click.option("--sleep-ms", type=click.IntRange(min=0), default=5000, show_default=True)
@click.option("--dry-run", is_flag=True, help="Say what would be run, and run nothing.")
@model_options
@trust_option
@json_option
@with_settings("store", "sandbox")
def evolve(settings: "Settings", **given: Any) -> None:
    """Look for a better config: propose, clamp, compare on the same tasks, accept or not.

    A change is accepted where the lower bound of the paired difference is above 0. The first
    Ctrl-C ends it after the present run, the second at once.
    """
    from mechagym.cli.testgen_evolving import Evolving, evolve_shown

    raise SystemExit(evolve_shown(settings, Evolving(**given)))


@click.command()
@click.option("--job", required=True, shell_complete=jobs, metavar="JOB", help="Whose verdicts.")
@click.option("--config", "digest", metavar="DIGEST", help="Whose suites.  [default: the current]")
@trust_option
@json_option
@with_settings("store", "sandbox", "tasks")
def calibrate(
    settings: "Settings", job: str, digest: str | None, trusts_host: bool, as_json: bool
) -> None:
    """Run suites on what sealed trials left, and count where they disagree with the verdicts.

    Nothing flows back into the trials. Each task's newest ready suite of the config is taken; make
    them first with `testgen generate`.
    """
    import anyio

    from mechagym.cli.testgen_calibrating import calibrate_job

    anyio.run(calibrate_job, settings, job, digest, trusts_host, as_json)
