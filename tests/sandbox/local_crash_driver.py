"""A controller to be killed: opens boxes on a cache folder, keeps them busy, forks, closes, again
and again.
"""

import sys
from pathlib import Path

import anyio

from mechagym.sandbox.base import BoxSpec, ExecOptions, HostRoot, Labels, NetworkPolicy
from mechagym.sandbox.local import LocalSandbox

SPEC = BoxSpec(
    image=HostRoot(),
    network=NetworkPolicy(mode="no-network"),
    labels=Labels(job_id="crash"),
    env={"MARK": sys.argv[1]},
)


async def churn(sandbox: LocalSandbox) -> None:
    while True:
        async with sandbox.open(SPEC) as box:
            loop = ["sh", "-c", "trap '' TERM HUP; while :; do :; done"]
            await box.exec(loop, ExecOptions(background=True))
            await box.put(b"x" * 100_000, "/f")
            async with box.fork() as fork:
                await fork.exec(["sleep", "0.2"])
            await box.exec(["sleep", "0.2"])


async def main(cache: Path, boxes: int) -> None:
    sandbox = LocalSandbox(cache=cache)
    await sandbox.prepare(SPEC.image, lambda _: None)
    print("ready", flush=True)  # noqa: T201
    async with anyio.create_task_group() as tasks:
        for _ in range(boxes):
            tasks.start_soon(churn, sandbox)


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]), int(sys.argv[2]))
