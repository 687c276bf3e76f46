"""`mechagym doctor`: what works on this host, and what to do about what does not."""

from typing import TYPE_CHECKING

import click

from mechagym.cli.lazy import later
from mechagym.cli.options import json_option, with_settings

if TYPE_CHECKING:
    from mechagym.config import Settings
    from mechagym.sandbox.base import Probe


@click.group(
    invoke_without_command=True,
    commands=later("mechagym.cli", {"sandbox": ("proof:sandbox", "Try to break out of boxes.")}),
)
@json_option
@with_settings("store", "tasks")
@click.pass_context
def doctor(ctx: click.Context, settings: "Settings", as_json: bool) -> None:
    """Say what works on this host, and what to do about the rest.

    Exit code 1 if no sandbox that isolates is usable, or a part is lacking.
    """
    if ctx.invoked_subcommand is not None:
        return
    import anyio

    from mechagym.cli.parts import parts_of
    from mechagym.cli.terminal.doctor_page import doctor_page

    parts = anyio.run(parts_of, settings)
    probes = anyio.run(_probes, settings)
    doctor_page(settings, parts, probes, as_json=as_json)
    lacking = any(part.state == "lacking" for part in parts)
    isolated = any(probe.usable and probe.isolation != "none" for probe in probes)
    raise SystemExit(0 if isolated and not lacking else 1)


async def _probes(settings: "Settings") -> "list[Probe]":
    """Ask every installed backend whether it is usable; one that cannot even be made says why."""
    from mechagym import wiring
    from mechagym.errors import MechagymError
    from mechagym.sandbox.base import Probe
    from mechagym.sandbox.detect import probed

    probes: list[Probe] = []
    for name in wiring.names("sandbox"):
        try:
            async with wiring.made_sandbox(name, settings) as sandbox:
                probes.append(await probed(sandbox))
        except MechagymError as error:
            refusal = Probe(usable=False, backend=name, reason=error.message, remedy=error.remedy)
            probes.append(refusal)
    return probes
