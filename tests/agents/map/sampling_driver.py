"""A sampler to be killed: its candidates work in forks of a local box, for ever."""

import sys
from pathlib import Path

import anyio

from mechagym.agents.map.base import SampleRequest
from mechagym.agents.map.sampler import ForkSampler
from mechagym.agents.map.types import CandidateBrief, EpisodeEnd
from mechagym.budget import Meter
from mechagym.records import Spend
from mechagym.sandbox.base import Box, ExecOptions, HostRoot
from mechagym.sandbox.local import LocalSandbox
from tests.agents.map.parts import STATE, surroundings
from tests.sandbox.local_parts import host_spec


class WorksForEver:
    """See `Episode`."""

    async def play(self, box: Box, brief: CandidateBrief, meter: Meter) -> EpisodeEnd:
        await box.exec(["sh", "-c", "echo mine >/app/f; sleep 1000"], ExecOptions(background=True))
        print("works", brief.index, flush=True)  # noqa: T201
        await anyio.sleep_forever()
        raise AssertionError


async def main(cache: str) -> None:
    sandbox = LocalSandbox(cache=Path(cache))
    await sandbox.prepare(HostRoot(), lambda _: None)
    async with sandbox.open(host_spec(workdir="/app")) as box:
        request = SampleRequest(
            box=box,
            state=STATE,
            surroundings=surroundings(),
            episode=WorksForEver(),
            evaluator=None,
            meter=Meter(),
            emit=lambda _: None,
            n=3,
            temperatures=(0.3,),
            turn_spend=Spend(),
            turn_s=1.0,
        )
        await ForkSampler().sample(request)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1])
