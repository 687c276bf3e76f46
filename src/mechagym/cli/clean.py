"""`mechagym clean`: the sweep that also happens at every start, asked for by hand."""

from typing import TYPE_CHECKING

import click

from mechagym.cli.options import Age, json_option, with_settings

if TYPE_CHECKING:
    from mechagym.config import Settings
    from mechagym.sandbox.base import ReapScope, Removed


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option("--images", is_flag=True, help="Also images and root file systems that we made.")
@click.option(
    "--older-than", type=Age(), metavar="AGE", help="With --images: not used for so long, 7d."
)
@json_option
@with_settings()
def clean(
    settings: "Settings", dry_run: bool, images: bool, older_than: float | None, as_json: bool
) -> None:
    """Remove what dead processes of ours left: boxes, networks, mounts, folders.

    Only what carries our label and whose owner is dead or expired is touched, on every backend
    that is usable here.
    """
    import anyio

    from mechagym.cli.terminal.page import Page
    from mechagym.records import to_dict
    from mechagym.sandbox.base import ReapScope

    scope = ReapScope(dry_run=dry_run, images=images, older_than_s=older_than)
    removed = anyio.run(_sweep, settings, scope)
    if as_json:
        Page(settings.terminal).json([to_dict(thing) for thing in removed])
        return
    verb = "would remove" if dry_run else "removed"
    for thing in removed:
        owner = f" ({thing.owner})" if thing.owner else ""
        click.echo(f"{verb} {thing.what} {thing.name}{owner}")
    if not removed:
        click.echo("nothing of ours is left behind")


async def _sweep(settings: "Settings", scope: "ReapScope") -> "list[Removed]":
    """Sweep each usable backend; what cannot be swept is told and the others go on."""
    from mechagym import wiring
    from mechagym.errors import MechagymError
    from mechagym.sandbox.detect import probed

    removed: list[Removed] = []
    for name in wiring.names("sandbox"):
        try:
            async with wiring.made_sandbox(name, settings) as sandbox:
                if (await probed(sandbox)).usable:
                    removed += await sandbox.reap(scope)
        except MechagymError as error:
            click.echo(f"{name}: {error}", err=True)
    return removed
