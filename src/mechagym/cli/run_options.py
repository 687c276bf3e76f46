"""The flags of `mechagym run`, by what they are about; each fills the key of a job file."""

from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import click

from mechagym.cli.completing import agents, models
from mechagym.cli.options import trust_option

Decorator = Callable[[Any], Any]


def together(*options: Decorator) -> Decorator:
    """Several options as one decorator, in the order of `--help`."""
    return lambda command: reduce(lambda inner, option: option(inner), reversed(options), command)


what_options = together(
    click.option(
        "-t", "--task", "include", multiple=True, metavar="GLOB", help="Only these tasks."
    ),
    click.option("-x", "--exclude", multiple=True, metavar="GLOB", help="Not these tasks."),
    click.option(
        "-a",
        "--agent",
        "agents",
        multiple=True,
        metavar="AGENT[@VERSION]",
        shell_complete=agents,
        help="Agent, by name or package.module:Class. Several make a matrix.",
    ),
    click.option(
        "-m",
        "--model",
        "models",
        multiple=True,
        metavar="[ROLE=]MODEL",
        shell_complete=models,
        help="Model: provider:name or an alias; for one role of an agent: actor=MODEL.",
    ),
    click.option(
        "--protocol",
        type=click.Choice(["none", "testgen-v2"]),
        help="testgen-v2: every agent is told to write its own tests first.",
    ),
    click.option("-k", "--repeats", type=int, help="Trials of each task.  [default: 1]"),
    click.option("--name", metavar="JOB", help="The job's name.  [default: time and agent]"),
    click.option(
        "-f",
        "--file",
        type=click.Path(dir_okay=False, exists=True),
        help="Job file, YAML or TOML; flags win over it.",
    ),
    click.option(
        "--set",
        "sets",
        multiple=True,
        metavar="KEY=VALUE",
        help="A key of the job file, or agent.KEY for an option of the agents.",
    ),
)

limit_options = together(
    click.option("--budget", metavar="USD", help="At most so much money for the job."),
    click.option("--trial-budget", metavar="USD", help="At most so much for a trial."),
    click.option(
        "--allow-unpriced",
        is_flag=True,
        default=None,
        help="Call models without a price too, under a limit in tokens.",
    ),
    click.option("--agent-timeout", type=float, metavar="S", help="Instead of the tasks' own."),
    click.option(
        "--timeout-multiplier", type=float, metavar="F", help="On all the tasks' own times."
    ),
    click.option("--retries", type=int, help="Further tries after infra faults.  [default: 2]"),
    click.option(
        "--require-limits", is_flag=True, default=None, help="Refuse limits that are not enforced."
    ),
    click.option(
        "--min-isolation",
        type=click.Choice(["none", "namespace", "container", "vm"]),
        help="Refuse a weaker box.",
    ),
)

how_options = together(
    click.option("--engine", type=click.Choice(["local", "ray"]), help="What spreads the trials."),
    click.option(
        "--base",
        type=click.Choice(["image", "host"]),
        help="host: run on this host's own root, where a task has no image to be had.",
    ),
    click.option("--force-build", is_flag=True, default=None, help="Build, also where pulled."),
    click.option(
        "--verify",
        type=click.Choice(["task", "pristine"]),
        help="pristine: judge in a fresh box, with only what the agent changed.",
    ),
    click.option(
        "--on-tamper",
        type=click.Choice(["flag", "fail"]),
        help="When the agent touched what decides the reward.",
    ),
    trust_option,
)

show_options = together(
    click.option(
        "--record",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Keep every exchange with a model on a new tape, without keys.",
    ),
    click.option("--dry-run", is_flag=True, help="Print the plan and what it needs; run nothing."),
    click.option("-q", "--quiet", is_flag=True, help="Print only the table at the end."),
    click.option("--json", "as_json", is_flag=True, help="Print events as JSON lines."),
)
