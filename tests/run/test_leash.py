"""An agent's task in our own process that outlives its deadline reaches the box no more."""

from collections.abc import Awaitable, Callable

import anyio
import pytest

from mechagym.agents.base import AgentResult, Context
from mechagym.budget import Budget, Meter
from mechagym.errors import AgentError
from mechagym.run.access import Patience
from mechagym.run.leash import Leash
from mechagym.run.stint import let_work
from mechagym.sandbox.base import Box
from tests.actors import open_box


class Stubborn:
    """Writes once more when it is cancelled."""

    name, version = "stubborn", "1"

    def __init__(self) -> None:
        self.refusal = ""

    async def prepare(self, box: Box) -> None:
        """Nothing to prepare."""

    async def run(self, context: Context) -> AgentResult:
        """Wait for the end, then try to go on."""
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                try:
                    await context.box.exec(["sh", "-c", "echo late > /app/done.txt"])
                except AgentError as error:
                    self.refusal = error.reason
        return AgentResult()


@pytest.mark.must("trials-5")
async def test_an_agent_that_ignores_its_cancel_writes_no_more():
    agent = Stubborn()
    async with open_box("memory") as box:
        leash = Leash(box)
        meter = Meter(budget=Budget())
        context = Context(instruction="", box=leash, meter=meter, emit=lambda _: None)
        stint = await let_work(agent, context, leash, box, Patience(0.05))
        assert (stint.ending, agent.refusal) == ("deadline", "cut")
        assert not (await box.exec(["test", "-e", "/app/done.txt"])).ok


async def test_everything_is_refused_once_it_is_cut(tmp_path):
    async with open_box("memory") as box:
        leash = Leash(box, user="root")
        await leash.put(b"x", "/app/a.txt")
        async with leash.fork() as fork:
            leash.cut()
            await refused(lambda: leash.exec(["true"]))
            await refused(lambda: leash.put(b"x", "/app/a.txt"))
            await refused(lambda: leash.get("/app/a.txt", tmp_path / "a"))
            await refused(lambda: leash.adopt(fork))
            await refused(leash.fork().__aenter__)
            assert not await leash.alive()


async def refused(use: Callable[[], Awaitable[object]]) -> None:
    with pytest.raises(AgentError, match="no longer its own"):
        await use()
