"""`mechagym clean`: the sweep that also happens at every start, asked for by hand."""

from typing import TYPE_CHECKING, Any

import click

from mechagym.cli.options import Age, Size, json_option, with_settings

if TYPE_CHECKING:
    from mechagym.config import Settings
    from mechagym.sandbox.base import ReapScope, Removed


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option("--images", is_flag=True, help="Also images that we made and nobody uses now.")
@click.option(
    "--older-than",
    "older_than_s",
    type=Age(),
    metavar="AGE",
    help="With --images: not used for so long, 7d.",
)
@click.option(
    "--keep",
    "keep_bytes",
    type=Size(),
    metavar="SIZE",
    help="With --images: as many as fit stay, those used last, 20GB.",
)
@json_option
@with_settings()
def clean(settings: "Settings", *, as_json: bool, **scope: Any) -> None:
    """Remove what dead processes of ours left: boxes, networks, mounts, folders, logins.

    Only what carries our label and whose owner is dead or expired is touched, on every backend
    that is usable here. With --images also images and unpacked root file systems that we built or
    pulled, but for those in use.
    """
    import anyio

    from mechagym.cli.terminal.figures import size
    from mechagym.cli.terminal.page import Page
    from mechagym.records import to_dict
    from mechagym.sandbox.base import ReapScope

    wanted = ReapScope(**scope)
    if not wanted.images and (wanted.older_than_s, wanted.keep_bytes) != (None, None):
        raise click.UsageError("--older-than and --keep say which images go: add --images")
    removed = anyio.run(_sweep, settings, wanted)
    if as_json:
        Page(settings.terminal).json([to_dict(thing) for thing in removed])
        return
    verb = "would remove" if wanted.dry_run else "removed"
    for thing in removed:
        about = [thing.owner] if thing.owner else []
        about += [size(thing.size_bytes)] if thing.size_bytes is not None else []
        said = f" ({', '.join(about)})" if about else ""
        click.echo(f"{verb} {thing.what} {thing.name}{said}")
    if any(thing.size_bytes is not None for thing in removed):
        click.echo(f"{verb} {size(sum(thing.size_bytes or 0 for thing in removed))} of images")
    if not removed:
        click.echo("nothing of ours is left behind")


async def _sweep(settings: "Settings", scope: "ReapScope") -> "list[Removed]":
    """Sweep each usable backend; what cannot be swept is told and the others go on."""
    from mechagym import wiring
    from mechagym.errors import MechagymError
    from mechagym.sandbox.detect import probed

    removed: list[Removed] = wiring.logins_of(settings).sweep(scope)
    for name in wiring.names("sandbox"):
        try:
            async with wiring.made_sandbox(name, settings) as sandbox:
                if (await probed(sandbox)).usable:
                    removed += await sandbox.reap(scope)
        except MechagymError as error:
            click.echo(f"{name}: {error}", err=True)
    return removed
