"""`mechagym testgen …`: tests made from a task's instruction, looked at, run, and improved upon."""

from typing import TYPE_CHECKING, Any

import click

from mechagym.cli.completing import models
from mechagym.cli.lazy import later
from mechagym.cli.options import json_option, trust_option, with_settings
from mechagym.cli.run_options import together

if TYPE_CHECKING:
    from mechagym.config import Settings

model_options = together(
    click.option(
        "-m",
        "--model",
        metavar="MODEL",
        shell_complete=models,
        help="Model: provider:name or an alias.  [default: that of the settings]",
    ),
    click.option("--budget", metavar="USD", help="At most so much money for all of it."),
    click.option(
        "--allow-unpriced", is_flag=True, help="Call a model without a price too: tokens bind."
    ),
)


@click.group(
    commands=later(
        "mechagym.cli",
        {
            "run": ("testgen_runs:run", "Run a suite in a task's box, or on what a trial left."),
            "show": ("testgen_runs:show", "Show a run: its tests, why some were rejected."),
            "list": ("testgen_runs:list_runs", "List runs, newest first."),
            "stats": ("testgen_runs:stats", "What configs are worth, and how far to trust them."),
            "export": ("testgen_runs:export", "Write a suite to a folder, for pytest."),
            "config": ("testgen_config:config", "Show, list, create, compare and choose configs."),
            "evolve": ("testgen_learning:evolve", "Look for a better config on search tasks."),
            "calibrate": ("testgen_learning:calibrate", "Hold suites against sealed verdicts."),
            "check-protocol": ("testgen_runs:check_protocol", "Did an agent test first?"),
            "rebuild": ("testgen_runs:rebuild", "Make all rows again from the events."),
        },
    )
)
def testgen() -> None:
    """Make tests from a task's instruction and its untouched box alone.

    RUN is a run's id, or `last`. A task's own tests and solution are never looked at.
    """


@testgen.command()
@click.argument("names", nargs=-1, metavar="[TASK]...")
@click.option(
    "--instruction",
    type=click.Path(dir_okay=False, exists=True),
    metavar="FILE",
    help="An instruction of your own, with --image.",
)
@click.option("--image", metavar="IMAGE", help="The box for --instruction.")
@click.option(
    "--context",
    type=click.Choice(["benchmark", "interactive", "build", "custom"]),
    default="benchmark",
    show_default=True,
    help="Which categories of tests.",
)
@click.option("--category", "categories", multiple=True, help="With --context custom.")
@click.option(
    "--preset",
    type=click.Choice(["full", "map", "quick"]),
    default="full",
    show_default=True,
    help="How much may be made and spent.",
)
@model_options
@click.option("--config", "digest", metavar="DIGEST", help="Instead of the best for the task.")
@click.option("--output", type=click.Path(file_okay=False), metavar="DIR", help="Write suites.")
@trust_option
@json_option
@with_settings("store", "sandbox", "tasks")
def generate(settings: "Settings", **given: Any) -> None:
    """Make a suite for each task, and say of every test how it stands.

    \b
    mechagym testgen generate examples/tasks/hello -m claude
    mechagym testgen generate --instruction do.md --image debian:bookworm-slim -m gpt-4o

    Exit code: 0 every suite is ready, 1 some is not, 2 wrong usage, 130 stopped.
    """
    import anyio

    from mechagym.cli.testgen_making import Wanted, make

    raise SystemExit(anyio.run(make, settings, Wanted(**given)))
