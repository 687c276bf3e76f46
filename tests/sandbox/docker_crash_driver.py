"""A controller to be killed: keeps opening, using, forking and closing Docker boxes of one job."""

import os
from pathlib import Path

import anyio

from mechagym.sandbox.base import (
    BoxSpec,
    ExecOptions,
    Labels,
    NetworkPolicy,
    RegistryImage,
)
from mechagym.sandbox.docker import DockerSandbox
from tests.sandbox.crash import serve


async def churn(sandbox: DockerSandbox, spec: BoxSpec, number: int) -> None:
    while True:
        async with sandbox.open(spec) as box:
            loop = ["sh", "-c", "trap '' TERM HUP; while :; do sleep 1; done"]
            await box.exec(loop, ExecOptions(background=True))
            await box.put(b"x" * 100_000, "/f")
            if number % 4 == 0:
                async with box.fork() as fork:
                    await fork.exec(["true"])
            await box.exec(["sleep", "0.5"])


async def main(cache: str, image: str, job: str, boxes: int) -> None:
    sandbox = DockerSandbox(cache=Path(cache))
    await sandbox.probe()
    networks = (NetworkPolicy(mode="no-network"), NetworkPolicy(mode="allowlist"), NetworkPolicy())
    print("ready", os.getpid(), flush=True)  # noqa: T201
    async with anyio.create_task_group() as tasks:
        for number in range(boxes):
            spec = BoxSpec(
                image=RegistryImage(reference=image),
                network=networks[number % 3],
                labels=Labels(job_id=job),
            )
            tasks.start_soon(churn, sandbox, spec, number)


if __name__ == "__main__":
    serve(main)
