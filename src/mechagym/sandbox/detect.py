"""Which backend `auto` means on this host: the first one in order that can really be used."""

from collections.abc import Sequence

import anyio

from mechagym.errors import MechagymError, SandboxUnusable
from mechagym.sandbox.base import Probe, Sandbox

PROBE_S = 10.0


async def choose(candidates: Sequence[Sandbox]) -> tuple[Sandbox, list[Probe]]:
    """Probe in order and take the first usable one; also what was found on the way.

    Raises SandboxUnusable with the reason and the remedy of each.
    """
    probes: list[Probe] = []
    for sandbox in candidates:
        probes.append(await probed(sandbox))
        if probes[-1].usable:
            return sandbox, probes
    raise SandboxUnusable(
        "\n".join(["no sandbox can be used on this host:", *map(told, probes)]),
        remedy="Do one of these, or see `mechagym doctor`.",
    )


async def probed(sandbox: Sandbox) -> Probe:
    """Probe one backend; a probe that fails or hangs is a reason like any other."""
    try:
        with anyio.fail_after(PROBE_S):
            return await sandbox.probe()
    except TimeoutError:
        reason = f"it did not answer within {PROBE_S:.0f} s"
    except (MechagymError, OSError) as error:
        remedy = error.remedy if isinstance(error, MechagymError) else None
        said = error.message if isinstance(error, MechagymError) else str(error)
        return Probe(usable=False, backend=sandbox.name, reason=said, remedy=remedy)
    return Probe(usable=False, backend=sandbox.name, reason=reason, remedy="Restart its engine.")


def told(probe: Probe) -> str:
    """One backend's line of the refusal."""
    line = f"  {probe.backend}: {probe.reason or 'no reason given'}"
    return f"{line}\n    {probe.remedy}" if probe.remedy else line
