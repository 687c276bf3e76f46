"""`mechagym trials …`: what one trial did, said, left behind and was judged on."""

from typing import TYPE_CHECKING, Literal, cast

import click

from mechagym.cli.options import json_option, with_settings

if TYPE_CHECKING:
    from pathlib import Path

    from mechagym.config import Settings


@click.group()
def trials() -> None:
    """Look into single trials: record, logs, changes.

    TRIAL is a trial's name or id, or JOB/TASK where the job has one trial of it; `last` is the
    newest job.
    """


@trials.command()
@click.argument("trial")
@json_option
@with_settings("store")
def show(settings: "Settings", trial: str, as_json: bool) -> None:
    """Show a trial: outcome, tests, tries, times, box, and what failed."""
    import anyio

    from mechagym.cli.terminal.trial_page import show_trial

    anyio.run(show_trial, settings, trial, as_json)


@trials.command()
@click.argument("trial")
@click.option(
    "--of",
    "part",
    type=click.Choice(["trial", "agent", "verifier"]),
    default="trial",
    show_default=True,
    help="The trial's events, the agent's own logs, or the tests' output.",
)
@with_settings("store")
def logs(settings: "Settings", trial: str, part: str) -> None:
    """Print the logs of a trial."""
    from mechagym.cli.evidence import log_files

    folder = _folder(settings, trial)
    for path in log_files(folder, cast('Literal["trial", "agent", "verifier"]', part)):
        if part != "trial":
            click.echo(f"==> {path.relative_to(folder)} <==", err=True)
        click.echo(path.read_text(encoding="utf-8", errors="replace"), nl=False)


@trials.command()
@click.argument("trial")
@click.argument("other", required=False)
@with_settings("store")
def diff(settings: "Settings", trial: str, other: str | None) -> None:
    """Show what the agent changed in its workdir; with OTHER, how two trials' changes differ."""
    from mechagym.cli.evidence import changes, differences

    ours = _folder(settings, trial)
    lines = differences(ours, _folder(settings, other)) if other else changes(ours)
    for line in lines:
        click.echo(_colored(line))


@trials.command("open")
@click.argument("trial")
@with_settings("store")
def open_(settings: "Settings", trial: str) -> None:
    """Print a trial's folder, and open it where there is a desktop."""
    folder = _folder(settings, trial)
    click.echo(folder)
    if settings.terminal.live:
        click.launch(str(folder))


def _folder(settings: "Settings", called: str) -> "Path":
    import anyio

    from mechagym.cli.evidence import trial_folder

    return anyio.run(trial_folder, settings, called)


def _colored(line: str) -> str:
    color = {"+": "green", "-": "red", "~": "yellow", "@": "cyan"}.get(line[:1])
    return click.style(line, fg=color) if color else line
