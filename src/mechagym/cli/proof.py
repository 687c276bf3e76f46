"""`mechagym doctor sandbox`: breaks are tried for real, and told as held, failed or not tested."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from mechagym.cli.completing import sandboxes
from mechagym.cli.options import json_option, with_settings

if TYPE_CHECKING:
    from mechagym.config import Settings
    from mechagym.sandbox.base import Image, Sandbox
    from mechagym.sandbox.selftest import Line

DEFAULT_IMAGE = "debian:bookworm-slim"


@click.command("sandbox")
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=sandboxes)
@click.option(
    "--image",
    metavar="REF",
    help=f"Image to try in.  [default: the host's root, or {DEFAULT_IMAGE}]",
)
@json_option
@with_settings()
def sandbox(settings: "Settings", names: tuple[str, ...], image: str | None, as_json: bool) -> None:
    """Try to break out of boxes, for real, and say what held.

    NAME is a backend; without it all that are usable here and isolate. Exit code 1 if an attempt
    got through.
    """
    import anyio

    from mechagym.cli.terminal.proof_page import proof_page

    found = anyio.run(_prove, settings, names, image)
    proof_page(settings, found, as_json=as_json)
    failed = any(line.result == "failed" for lines in found.values() for line in lines)
    raise SystemExit(1 if failed else 0)


async def _prove(
    settings: "Settings", names: Sequence[str], image: str | None
) -> "dict[str, list[Line]]":
    """Try each backend in turn. Raises SandboxUnusable where a named one is not usable."""
    from mechagym import wiring
    from mechagym.sandbox.detect import choose, probed
    from mechagym.sandbox.selftest import escape_table

    found: dict[str, list[Line]] = {}
    for name in names or wiring.AUTO:
        async with wiring.made_sandbox(name, settings) as sandbox:
            if names:
                await choose([sandbox])
            elif not (await probed(sandbox)).usable:
                continue
            found[name] = await escape_table(sandbox, _image(sandbox, image))
    return found


def _image(sandbox: "Sandbox", reference: str | None) -> "Image":
    from mechagym.sandbox.base import HostRoot, RegistryImage

    if reference is None and "host" in sandbox.capabilities.images:
        return HostRoot()
    return RegistryImage(reference=reference or DEFAULT_IMAGE)
