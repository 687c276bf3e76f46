"""What stands behind `--model`, for every command that has it: full ids, or a refusal."""

from collections.abc import Sequence

import click

from mechagym import wiring
from mechagym.config import Settings
from mechagym.llm.admission import Asked


def named(settings: Settings, texts: Sequence[str]) -> Asked:
    """Read `MODEL` and `ROLE=MODEL`; what is soon retired is told on stderr.

    Raises ConfigError for what is unknown or retired, with what to take instead.
    """
    if not texts:
        return Asked()
    asked = wiring.admission(settings).asked(texts)
    for warning in asked.warnings:
        click.echo(f"warning: {warning}", err=True)
    return asked
