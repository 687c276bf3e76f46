"""Whoever follows the store hears of each commit soon, and never misses a smaller position."""

import subprocess
import sys

import anyio
import pytest

from mechagym.events import MessageSaid
from mechagym.store import Store
from mechagym.store.views import live

WRITERS, EACH = 8, 150
WRITER = """
import sys, anyio, random
from mechagym.events import MessageSaid
from mechagym.store import Store

async def main(url, name, each):
    async with Store.open(url) as store:
        emit = store.emitter(name)
        for number in range(each):
            emit(MessageSaid(text=f"{name}-{number}"))
            if random.random() < 0.3:
                await store.flush()

anyio.run(main, sys.argv[1], sys.argv[2], int(sys.argv[3]))
"""


@pytest.mark.must("web-13")
async def test_eight_writers_at_once_and_no_position_is_skipped(url: str):
    """A reader that only ever goes forward sees all, though eight processes commit."""
    async with Store.open(url) as store:
        writers = [
            subprocess.Popen([sys.executable, "-c", WRITER, url, f"writer-{n}", str(EACH)])
            for n in range(WRITERS)
        ]
        seen: list[live.Told] = []
        async with store.watch() as watch:
            with anyio.fail_after(120):
                while len(seen) < WRITERS * EACH:
                    await watch.wait()
                    after = seen[-1].position if seen else 0
                    while found := await store.ask(live.tail, after, 200):
                        seen += found
                        after = found[-1].position
        assert [writer.wait(60) for writer in writers] == [0] * WRITERS
        positions = [told.position for told in seen]
        assert positions == sorted(set(positions))
        for number in range(WRITERS):
            ours = [told.seq for told in seen if told.subject == f"writer-{number}"]
            assert ours == list(range(1, EACH + 1))


async def test_a_commit_of_another_is_heard_within_a_second(url: str):
    async with Store.open(url) as store, Store.open(url) as other, store.watch() as watch:
        with anyio.move_on_after(2):
            await watch.wait()  # what was committed while both opened
        other.emitter("s")(MessageSaid(text="x"))
        with anyio.fail_after(10):
            while not await store.ask(live.tail, 0, 1):
                await watch.wait()


async def test_a_wait_ends_with_the_task_that_waits(url: str):
    async with Store.open(url) as store, store.watch() as watch:
        with anyio.move_on_after(0.3):
            while True:
                await watch.wait()
