"""The conformance suite of sandboxes: what any backend must do, as a table of small checks.

With pytest: parametrise a test over `conformance_params()` and call `perform`. From the command
line: `mechagym doctor sandbox NAME`. An image with `sh` and coreutils is enough (with `bash`
for the door).
"""

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import anyio

from mechagym.sandbox.base import Box, BoxSpec, Image, Limits, Sandbox
from mechagym.testing.conformance.commands import COMMANDS
from mechagym.testing.conformance.files import FILES
from mechagym.testing.conformance.lives import FORKS, LIVES
from mechagym.testing.conformance.processes import PROCESSES
from mechagym.testing.conformance.subject import Check, Subject, Way

SUITE: tuple[Check, ...] = (
    *COMMANDS.checks,
    *PROCESSES.checks,
    *FORKS.checks,
    *LIVES.checks,
    *FILES.checks,
)
PIDS = 128
CHECK_S = 120.0
WORKDIR = "/tmp/work dir"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    """A backend under test. `lacks`: needs of checks that it declares away."""

    sandbox: Sandbox
    image: Image
    destroy: Callable[[Box], Awaitable[None]] | None = None
    lacks: frozenset[str] = frozenset()

    @property
    def spec(self) -> BoxSpec:
        """What its boxes are opened with."""
        pids = PIDS if "pids" in self.sandbox.capabilities.limits else Limits().pids
        return BoxSpec(
            image=self.image,
            workdir=WORKDIR,
            env={"SPEC_ENV": "of the spec"},
            limits=Limits(pids=pids),
        )

    def missing(self, check: Check) -> frozenset[str]:
        """What the check needs and this backend does not have."""
        can = self.sandbox.capabilities
        has = {*can.limits, *can.networks, "devices"}
        has |= {"fork"} if can.fork else set()
        has |= {"door"} if can.door else set()
        has |= {"destroy"} if self.destroy is not None else set()
        return check.needs - (frozenset(has) - self.lacks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """How one check went."""

    name: str
    way: Way
    result: Literal["held", "failed", "not applicable"]
    detail: str = ""


def conformance_params() -> list[tuple[Check, Way]]:
    """Every check by every way it runs, for `pytest.mark.parametrize`."""
    return [(check, way) for check in SUITE for way in check.ways]


def param_id(value: object) -> str:
    """A name for pytest."""
    return value.name if isinstance(value, Check) else str(value)


@asynccontextmanager
async def opened(rig: Rig) -> AsyncIterator[Subject]:
    """A box to be shared by checks; each takes it with `subject_for`."""
    async with rig.sandbox.open(rig.spec) as box:
        yield Subject(
            sandbox=rig.sandbox, box=box, spec=rig.spec, folder=Path(), destroy=rig.destroy
        )


async def perform(rig: Rig, check: Check, way: Way) -> None:
    """Run one check in a box of its own. Raises AssertionError with what was seen."""
    with tempfile.TemporaryDirectory(prefix="mechagym-check-") as folder:
        async with opened(rig) as subject:
            with anyio.fail_after(CHECK_S):
                await check.run(replace(subject, folder=Path(folder), way=way))


async def examine(rig: Rig) -> AsyncIterator[Finding]:
    """Run the whole suite, one finding after the other; a failing check stops nothing."""
    for check, way in conformance_params():
        if missing := rig.missing(check):
            detail = f"needs {', '.join(sorted(missing))}"
            yield Finding(name=check.name, way=way, result="not applicable", detail=detail)
            continue
        try:
            await perform(rig, check, way)
        except Exception as error:  # noqa: BLE001 (whatever a backend raises is its finding)
            detail = f"{type(error).__name__}: {error}"
            yield Finding(name=check.name, way=way, result="failed", detail=detail)
        else:
            yield Finding(name=check.name, way=way, result="held")
