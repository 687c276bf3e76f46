"""What it takes to verify three candidates side by side, against one, in turn. The checks wait as
those of a service do, and do not compute: two cores then have room for three.

usage: python -m benchmarks.candidates [--rounds N] [--sandbox NAME]…
"""

import argparse
import statistics
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass

import anyio

from benchmarks.pairs import Figure, report
from mechagym import config, wiring
from mechagym.agents.map.evaluator import GeneratedEvaluator, look_at_untouched
from mechagym.agents.map.types import Trigger
from mechagym.sandbox.base import Box, BoxSpec, HostRoot, NetworkPolicy, RegistryImage, Sandbox
from mechagym.testing.checks import ShellChecks

FOLDER = "/tmp/.map/checks"
CHECKS_S = 6.0
RATIO = 1.4
CANDIDATE = Trigger(kind="candidate", revision=-1)
IMAGES: dict[str, RegistryImage | HostRoot] = {
    "docker": RegistryImage(reference="debian:bookworm-slim"),
    "local": HostRoot(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """All that shell checks ask for."""

    box: Box
    folder: str


async def evaluator(box: Box) -> GeneratedEvaluator:
    """Six checks of a second each."""
    lines = {f"check_{i}": f"sleep {CHECKS_S / 6:g}; test -e /tmp/done" for i in range(6)}
    checks = ShellChecks(lines=lines)
    suite = await checks.prepare(Request(box=box, folder=FOLDER))
    untouched = await look_at_untouched(box, suite)
    return GeneratedEvaluator(checks, suite=suite, untouched=untouched, emit=lambda _: None)


async def verified_s(judge: GeneratedEvaluator, forks: list[Box]) -> float:
    """Seconds until the checks have run in all of these, side by side."""
    began = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for fork in forks:
            tasks.start_soon(judge.evaluate, fork, CANDIDATE)
    return time.perf_counter() - began


async def measured(sandbox: Sandbox, rounds: int) -> Figure:
    """One and three in turn, in the same forks."""
    image = IMAGES[sandbox.name]
    await sandbox.probe()
    await sandbox.prepare(image, lambda _: None)
    spec = BoxSpec(image=image, workdir="/tmp", network=NetworkPolicy(mode="no-network"))
    async with sandbox.open(spec) as box, AsyncExitStack() as stack:
        judge = await evaluator(box)
        forks = [await stack.enter_async_context(box.fork()) for _ in range(3)]
        pairs = [
            (await verified_s(judge, forks[:1]), await verified_s(judge, forks))
            for _ in range(rounds)
        ]
    one, three = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    return Figure(
        what=f"{sandbox.name}: three candidates verified side by side, checks of {CHECKS_S:g} s",
        value=f"{three:.2f} s, one alone {one:.2f} s: {ratio:.2f} ×",
        goal=f"≤ {RATIO:g} × one",
        held=ratio <= RATIO,
    )


async def run(names: list[str], rounds: int) -> None:
    """Measure and print."""
    figures: list[Figure] = []
    for name in names:
        async with wiring.made_sandbox(name, config.load()) as sandbox:
            figures.append(await measured(sandbox, rounds))
    report("What candidates cost", figures)


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(usage=(__doc__ or "").split("usage: ")[1])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sandbox", action="append", choices=list(IMAGES))
    args = parser.parse_args()
    anyio.run(run, args.sandbox or list(IMAGES), args.rounds)


if __name__ == "__main__":
    main()
