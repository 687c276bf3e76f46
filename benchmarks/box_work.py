"""What is done with boxes to see what they cost. Each work is written once and done on both sides.

A work opens its own boxes, times its own part, and returns one figure: seconds, or megabytes.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Protocol

import anyio
import psutil

from mechagym.records import BoxInfo
from mechagym.sandbox.base import ExecResult

COMMANDS = 10
FORKS = 3


class Room(Protocol):
    """What the works need of a box."""

    @property
    def info(self) -> BoxInfo:
        """Its ids."""
        ...

    async def exec(self, argv: Sequence[str]) -> ExecResult:
        """Run a command; the exit code may be None for unknown."""
        ...

    async def put(self, source: Path, target: str) -> None:
        """Copy a folder in."""
        ...

    def fork(self) -> "AbstractAsyncContextManager[Room]":
        """An equal box."""
        ...


Opens = Callable[[], AbstractAsyncContextManager[Room]]


class Gate:
    """All who pass wait until the last has come; `opened_at` is that moment."""

    def __init__(self, expected: int) -> None:
        self._missing = expected
        self._open = anyio.Event()
        self.opened_at = 0.0

    async def enter(self) -> None:
        """Come, and wait for the others."""
        self._missing -= 1
        if self._missing == 0:
            self.opened_at = time.perf_counter()
            self._open.set()
        await self._open.wait()


async def run(box: Room, script: str) -> bytes:
    """Run shell text; its output. Raises RuntimeError where it is known to have failed."""
    result = await box.exec(["sh", "-c", script])
    _succeeded(result)
    return result.stdout


async def life(opens: Opens) -> float:
    """Open, one command, close."""
    return await boxes_at_once(opens, 1)


async def boxes_at_once(opens: Opens, boxes: int) -> float:
    """Open them at once, one command in each, close when all have been open."""
    began = time.perf_counter()
    await _crowd(opens, boxes, 1)
    return time.perf_counter() - began


async def commands_at_once(opens: Opens, boxes: int, each: int) -> float:
    """`true`, so often in each of so many open boxes, in all of them at once."""
    began_at, ended_at = await _crowd(opens, boxes, each, warm=True)
    return ended_at - began_at


async def _crowd(
    opens: Opens, boxes: int, commands: int, *, warm: bool = False
) -> tuple[float, float]:
    """When the last box was open, and when the last had done its commands."""
    ready, done = Gate(boxes), Gate(boxes)

    async def one() -> None:
        async with opens() as box:
            if warm:
                _succeeded(await box.exec(["true"]))
            await ready.enter()
            for _ in range(commands):
                _succeeded(await box.exec(["true"]))
            await done.enter()

    async with anyio.create_task_group() as tasks:
        for _ in range(boxes):
            tasks.start_soon(one)
    return ready.opened_at, done.opened_at


async def best_of_3(opens: Opens, folder: Path) -> float:
    """Files, ten commands, three forks at once with two commands and a verifier's each."""

    async def attempt(parent: Room, number: int) -> None:
        async with parent.fork() as fork:
            await run(fork, f"echo {number} > /app/answer")
            await run(fork, "cat /app/part0/* > /app/all")
            said = await run(fork, f"test -s /app/all && grep -x {number} /app/answer")
            if str(number).encode() not in said:
                raise RuntimeError(f"attempt {number} did not pass")

    began = time.perf_counter()
    async with opens() as box:
        await box.put(folder, "/app")
        for number in range(COMMANDS):
            await run(box, f"echo {number} >> /app/log")
        async with anyio.create_task_group() as tasks:
            for number in range(FORKS):
                tasks.start_soon(attempt, box, number)
    return time.perf_counter() - began


async def put(opens: Opens, folder: Path) -> float:
    """A folder into an open box."""
    async with opens() as box:
        began = time.perf_counter()
        await box.put(folder, "/workspace")
        return time.perf_counter() - began


async def copy(opens: Opens, folder: Path) -> float:
    """The same folder again by `cp`, inside of the box: what its file system takes for that."""
    async with opens() as box:
        await box.put(folder, "/workspace")
        began = time.perf_counter()
        await run(box, "cp -r /workspace /copy")
        return time.perf_counter() - began


async def fork(opens: Opens, size_mb: int) -> float:
    """Fork a box that has written so much; until the fork is open."""
    async with opens() as box:
        await run(box, f"dd if=/dev/zero of=/workspace bs=1M count={size_mb} 2>/dev/null")
        began = time.perf_counter()
        async with box.fork():
            return time.perf_counter() - began


async def idle_memory(opens: Opens) -> float:
    """MB of host memory, beside the page cache, of all processes that a box keeps on the host.

    They are those whose control group or command line names it: Docker's shim counts as well.
    """
    async with opens() as box:
        _succeeded(await box.exec(["true"]))
        name = box.info.container_id or box.info.box_id
        found = [private_kb(p) for p in Path("/proc").glob("[0-9]*") if _names(p, name)]
        if not found:
            raise RuntimeError(f"no process on this host names the box {name}")
        return sum(found) / 1024


async def controller_growth(opens: Opens, boxes: int) -> float:
    """Threads and processes of this process that each box adds while it is open."""

    def now() -> int:
        process = psutil.Process()
        return process.num_threads() + len(process.children(recursive=True))

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(opens())  # what all boxes share is there from now on
        before = now()
        for _ in range(boxes):
            _succeeded(await (await stack.enter_async_context(opens())).exec(["true"]))
        return (now() - before) / boxes


def private_kb(process: Path) -> int:
    """Its proportional share of memory that no file backs; 0 for one that has ended."""
    try:
        lines = (process / "smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    shares = {"Pss_Anon:", "Pss_Shmem:"}
    return sum(int(line.split()[1]) for line in lines if line.split()[0] in shares)


def _names(process: Path, name: str) -> bool:
    try:
        known = (process / "cgroup").read_bytes() + (process / "cmdline").read_bytes()
    except OSError:
        return False
    return name.encode() in known


def _succeeded(result: ExecResult) -> None:
    if result.exit_code not in {0, None}:
        raise RuntimeError(f"a command of the benchmark failed: {result}")
