"""`mechagym models`: what models there are, what they cost, and whether they can be used."""

from typing import TYPE_CHECKING

import click

from mechagym.cli import completing
from mechagym.cli.lazy import later
from mechagym.cli.options import json_option, with_settings

if TYPE_CHECKING:
    from mechagym.config import Settings


class Models(click.Group):
    """A group that lists where no subcommand is named: its first word may be a pattern."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Name the list, unless a subcommand or help is asked for."""
        known = {*self.commands, *ctx.help_option_names}
        return super().parse_args(ctx, args if args and args[0] in known else ["list", *args])


_COMMANDS = {
    "list": ("models:listed", "List models with their limits, prices and dates."),
    "check": ("models:checked", "Say whether models can be used from here."),
}


@click.group(cls=Models, commands=later("mechagym.cli", _COMMANDS))
def models() -> None:
    """List models with limits, prices and dates, or check whether they can be used.

    \b
    mechagym models haiku
    mechagym models --provider openai --json
    mechagym models check claude openai:gpt-4o
    """


@click.command("list")
@click.argument("pattern", required=False)
@click.option("--provider", metavar="NAME", help="Only models of this provider.")
@click.option("--refresh", is_flag=True, help="Ask the providers for their lists, and keep them.")
@json_option
@with_settings()
def listed(
    settings: "Settings", pattern: str | None, provider: str | None, refresh: bool, as_json: bool
) -> None:
    """List models with their limits, prices and dates; only --refresh asks the network.

    PATTERN is a part of an id, or a glob. Prices are USD per million tokens. `?` is what nobody
    said. Without PATTERN, retired models and those of openrouter are left out.
    """
    from mechagym.cli.model_list import Wanted, refreshed, rows
    from mechagym.cli.terminal.models_page import models_page

    wanted = Wanted.of(settings, pattern, provider)
    if refresh:
        for failure in refreshed(settings, wanted):
            click.echo(f"warning: {failure}", err=True)
    models_page(settings, rows(settings, wanted), as_json=as_json)


@click.command("check")
@click.argument("names", nargs=-1, metavar="[ID]...", shell_complete=completing.models)
@click.option("--deep", is_flag=True, help="Make one call of one token, too, and say its cost.")
@json_option
@with_settings()
def checked(settings: "Settings", names: tuple[str, ...], deep: bool, as_json: bool) -> None:
    """Say whether models can be used from here, by the lists of their providers: it costs nothing.

    ID is provider:name or an alias; without it, the default model and all aliases. Exit code 1 if
    one is not ok.
    """
    from mechagym.cli.model_check import checks
    from mechagym.cli.terminal.models_page import health_page

    found = checks(settings, names, deep=deep)
    health_page(settings, found, as_json=as_json)
    raise SystemExit(0 if all(health.state == "ok" for health in found) else 1)
