"""`mechagym doctor sandbox`: the conformance suite, then attempts to break out, all for real."""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

import click

from mechagym.cli.completing import sandboxes
from mechagym.cli.options import json_option, with_settings

if TYPE_CHECKING:
    from mechagym.cli.terminal.proof_page import Proof
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
    """Prove that boxes hold: the suite that every backend must pass, and attempts to break out.

    NAME is a backend; without it all that are usable here and isolate. It takes a minute or two.
    Exit code 1 if a check failed or an attempt got through.
    """
    import anyio

    from mechagym.cli.terminal.proof_page import proof_page

    found = anyio.run(_prove, settings, names, image)
    proof_page(settings, found, as_json=as_json)
    raise SystemExit(1 if any(proof.failed for proof in found) else 0)


async def _prove(settings: "Settings", names: Sequence[str], image: str | None) -> "list[Proof]":
    """Try each backend in turn. Raises SandboxUnusable where a named one is not usable."""
    from mechagym import wiring
    from mechagym.cli.terminal.proof_page import Proof
    from mechagym.sandbox.detect import choose, probed
    from mechagym.sandbox.selftest import escape_table

    found: list[Proof] = []
    for name in names or wiring.AUTO:
        async with wiring.made_sandbox(name, settings) as sandbox:
            if names:
                await choose([sandbox])
            elif not (await probed(sandbox)).usable:
                continue
            click.echo(f"{name}: the suite, then attempts to break out …", err=True)
            base = _image(sandbox, image)
            suite = await _suite(sandbox, base)
            escapes = await escape_table(sandbox, base)
            found.append(Proof(backend=name, suite=suite, escapes=escapes))
    return found


async def _suite(sandbox: "Sandbox", image: "Image") -> "list[Line]":
    """Run the shipped suite. It is loaded by name: shipped code leans on no double."""
    from mechagym.sandbox.selftest import Line

    suite = import_module("mechagym.testing.conformance.sandbox")
    lines: list[Line] = []
    steps = len(suite.conformance_params())
    with click.progressbar(length=steps, label="suite", file=sys.stderr) as bar:
        async for finding in suite.examine(suite.Rig(sandbox=sandbox, image=image)):
            known = finding.result != "not applicable"
            line = Line(
                attempt=f"{finding.name.replace('_', ' ')}, {finding.way}",
                result=finding.result if known else "not tested",
                detail=finding.detail,
            )
            lines.append(line)
            bar.update(1)
    return lines


def _image(sandbox: "Sandbox", reference: str | None) -> "Image":
    from mechagym.sandbox.base import HostRoot, RegistryImage

    if reference is None and "host" in sandbox.capabilities.images:
        return HostRoot()
    return RegistryImage(reference=reference or DEFAULT_IMAGE)
