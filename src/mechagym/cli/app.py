"""The root of the command line: what commands there are, and what becomes of their errors."""

from typing import Any

import click

from mechagym import __version__
from mechagym.cli.failures import failure_of
from mechagym.cli.lazy import later

COMMANDS = {
    "run": ("run:run", "Run agents on tasks and print what it came to."),
    "tasks": ("tasks:tasks", "List, show, check, fetch, import and make tasks."),
    "jobs": ("jobs:jobs", "List, show, compare, retry, resume, stop and remove jobs."),
    "trials": ("trials:trials", "Look into single trials: record, logs, changes."),
    "testgen": ("testgen:testgen", "Make tests from an instruction, look at them, run them."),
    "trajectory": ("trajectory:trajectory", "Work with ATIF trajectory files."),
    "models": ("models:models", "List models with limits and prices; check if they can be used."),
    "gateway": ("gateway:gateway", "Serve models to agents on this host, up to a hard limit."),
    "view": ("view:view", "Watch and steer it all in a browser."),
    "worker": ("view:worker", "Carry out what is asked from pages of a store."),
    "doctor": ("doctor:doctor", "Say what works on this host, and what to do about the rest."),
    "clean": ("clean:clean", "Remove what dead processes of ours left behind."),
    "completion": ("completion:completion", "Print the completion script of a shell."),
}


class Root(click.Group):
    """The root group. Whatever a command raises is told to the person here, and nowhere else."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 – click's signature
        """Name the commands in the order of use, not of the alphabet."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; errors leave as click's, with the exit code that fits the blame."""
        try:
            return super().invoke(ctx)
        except BaseException as error:
            told = failure_of(error)
            if told is error:
                raise
            raise told from error


@click.group(
    cls=Root,
    commands=later("mechagym.cli", COMMANDS),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", message="mechagym %(version)s")
def mechagym() -> None:
    """Measure, improve and put to work coding agents.

    \b
    Try:  mechagym doctor
          mechagym run examples/tasks -a oracle
    """
