"""`mechagym trajectory …`: work on ATIF files, ours and those of others."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mechagym.cli.options import json_option, with_settings

if TYPE_CHECKING:
    from mechagym.config import Settings


@click.group()
def trajectory() -> None:
    """Work with ATIF trajectory files."""


@trajectory.command()
@click.argument(
    "file", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@json_option
@with_settings()
def validate(settings: "Settings", file: tuple[Path, ...], as_json: bool) -> None:
    """Check ATIF files: each fault is named with its path in the document.

    Stricter than the format: call ids are unique, totals are the sums, times go forward. Exit code
    2 if a file has a fault.
    """
    from mechagym.cli.terminal.page import Page
    from mechagym.trajectory.validate import validate_file

    faults = {str(path): validate_file(path) for path in file}
    if as_json:
        Page(settings.terminal).json(
            {path: [str(fault) for fault in found] for path, found in faults.items()}
        )
    else:
        for path, found in faults.items():
            for fault in found:
                click.echo(f"{path}: {fault}")
            if not found:
                click.echo(f"{path}: valid")
    raise SystemExit(2 if any(faults.values()) else 0)
