"""What stands behind `--model`, for every command that has it: full ids, or a refusal."""

from collections.abc import Sequence

import click

from mechagym import wiring
from mechagym.config import Settings
from mechagym.errors import ConfigError
from mechagym.llm.admission import Asked


def named(settings: Settings, texts: Sequence[str], *, roles: bool = False) -> Asked:
    """Read `MODEL` and, where a command has `roles`, `ROLE=MODEL`; what is soon retired is told.

    Raises ConfigError for what is unknown or retired, with what to take instead.
    """
    if not texts:
        return Asked()
    asked = wiring.admission(settings).asked(texts)
    if asked.roles and not roles:
        raise ConfigError(f"--model {next(iter(asked.roles))}=…: this command knows no roles")
    for warning in asked.warnings:
        click.echo(f"warning: {warning}", err=True)
    return asked
