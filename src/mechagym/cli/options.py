"""Options that several commands share, each written once.

A command that needs the settings says `@with_settings("store", "sandbox")`: it gets the flags of
those settings, and one argument, `settings`, with everything resolved.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar

import click

from mechagym.cli.completing import jobs, sandboxes

Command = Callable[..., Any]

SETTING_FLAGS = {
    "store": click.option("--store", metavar="URL", help="Database; SQLite or PostgreSQL URL."),
    "jobs_dir": click.option("-o", "--jobs-dir", metavar="DIR", help="Folder of the job folders."),
    "sandbox": click.option(
        "--sandbox", metavar="NAME", shell_complete=sandboxes, help="Backend of the boxes, or auto."
    ),
    "tasks": click.option(
        "--tasks", metavar="SOURCE", help="Dataset of bare task names: folder, git+URL or name."
    ),
    "concurrent": click.option(
        "-n", "--concurrent", type=click.IntRange(min=1), help="Trials at once."
    ),
}


class Age(click.ParamType[float]):
    """A time span such as `7d`, `12h`, `30m`, `90s`; comes out in seconds."""

    name = "age"
    units: ClassVar = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read it."""
        if isinstance(value, float):
            return value
        number, unit = value[:-1], value[-1:]
        if unit not in self.units or not number.replace(".", "", 1).isdigit():
            self.fail(f"{value!r} is not a time span; write 7d, 12h, 30m or 90s", param, ctx)
        return float(number) * self.units[unit]


class Size(click.ParamType[int]):
    """An amount of disk such as `20GB`, `500MB`; comes out in bytes."""

    name = "size"
    units: ClassVar = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read it."""
        if isinstance(value, int):
            return value
        number = value.rstrip("BKMGTbkmgt").strip()
        unit = value[len(value.rstrip("BKMGTbkmgt")) :].upper().removesuffix("B") + "B"
        if unit not in self.units or not number.replace(".", "", 1).isdigit():
            self.fail(f"{value!r} is not a size; write 20GB or 500MB", param, ctx)
        return int(float(number) * self.units[unit])


job_argument = click.argument("job", shell_complete=jobs)
trust_option = click.option(
    "--i-trust-this",
    "trusts_host",
    is_flag=True,
    help="Allow --sandbox host, which isolates nothing.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


def with_settings(*offered: str) -> Callable[[Command], Command]:
    """Give a command `settings`; those named can be set by a flag of it. Warnings go to stderr."""

    def decorate(command: Command) -> Command:
        @wraps(command)
        def run(*args: Any, **kwargs: Any) -> Any:
            from mechagym import config

            flags = {name: kwargs.pop(name) for name in offered}
            settings = config.load(flags)
            for warning in settings.warnings:
                click.echo(f"warning: {warning}", err=True)
            return command(*args, settings=settings, **kwargs)

        for name in reversed(offered):
            run = SETTING_FLAGS[name](run)
        return run

    return decorate
