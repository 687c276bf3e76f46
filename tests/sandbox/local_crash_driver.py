"""A controller to be killed: keeps opening, using, forking and closing local boxes."""

import os
from pathlib import Path

import anyio

from mechagym.sandbox.base import BoxSpec, ExecOptions, HostRoot, Labels, Limits, NetworkPolicy
from mechagym.sandbox.local import LocalSandbox
from tests.sandbox.crash import serve


async def churn(sandbox: LocalSandbox, spec: BoxSpec, number: int) -> None:
    while True:
        async with sandbox.open(spec) as box:
            loop = ["sh", "-c", "trap '' TERM HUP; while :; do :; done"]
            await box.exec(loop, ExecOptions(background=True))
            await box.put(b"x" * 100_000, "/f")
            if number % 3 == 0:
                async with box.fork() as fork:
                    await fork.exec(["sleep", "0.2"])
            await box.exec(["sleep", "0.2"])


async def main(cache: str, boxes: int) -> None:
    sandbox = LocalSandbox(cache=Path(cache))
    spec = BoxSpec(
        image=HostRoot(),
        network=NetworkPolicy(mode="no-network"),
        labels=Labels(job_id="crash"),
        limits=Limits(storage_mb=64),
        env={"MARK": cache},
    )
    await sandbox.prepare(spec.image, lambda _: None)
    print("ready", os.getpid(), flush=True)  # noqa: T201
    async with anyio.create_task_group() as tasks:
        for number in range(boxes):
            tasks.start_soon(churn, sandbox, spec, number)


if __name__ == "__main__":
    serve(main)
