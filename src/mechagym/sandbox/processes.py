"""Which processes of a box die and which stay: killing a tree, stopping the agent.

The rule for what is left behind stands in docs/decisions/0001-stop-agent.md. Processes of ours
(init, shells) are never touched.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import anyio

from mechagym.sandbox.proc import (
    INIT,
    LIST,
    OWNERS,
    SOCKETS,
    Process,
    descendants,
    groups,
    parse,
    servers,
    split,
    units,
)

ROUNDS = 10
THAW_S = 5.0
Choice = Callable[[list["Process"]], Awaitable[set[int]]]
"""Names, of the whole table (zombies left out), the pids that are to die."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopReport:
    """What `stop_agent` ended and what it left, each as `pid comm: why`."""

    killed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


class ProcessTable(Protocol):
    """The processes of one box (`control.Control` where commands run on lanes)."""

    @property
    def ours(self) -> frozenset[int]:
        """Processes that run the box itself: its shells."""
        ...

    @property
    def background(self) -> frozenset[int]:
        """Commands that were started on purpose to outlive their call."""
        ...

    @property
    def own_namespace(self) -> bool:
        """Whether "every process" means this box's alone, so that all may be frozen at once."""
        ...

    @property
    def killing(self) -> anyio.Lock:
        """Held while processes are stopped and killed: who thaws must not thaw another's tree."""
        ...

    async def script(self, text: str, user: str | None = None) -> bytes:
        """Run shell text (builtins) as root, or as `user`, and return its stdout."""
        ...


@runtime_checkable
class HasProcesses(Protocol):
    """A box whose processes can be seen and whose shells can be renewed."""

    @property
    def processes(self) -> ProcessTable:
        """Its process table."""
        ...

    async def retire(self) -> None:
        """Use no shell again that was there until now."""
        ...


async def processes(box: ProcessTable) -> list[Process]:
    """Every process of the box."""
    return parse(await box.script(LIST))


async def kill_tree(box: ProcessTable, choose: Choice) -> set[int]:
    """Kill the processes that `choose` names of the table, and return them once they are dead.

    All are stopped before the first is killed, so that none can fork away; the choice is made again
    until it names nobody that still runs.
    """
    async with box.killing, _frozen(box):
        chosen: set[int] = set()
        for _ in range(ROUNDS):
            table = await _living(box)
            chosen = await choose(table) - box.ours - {INIT}
            running = {p.pid for p in table if p.pid in chosen and not p.stopped}
            if not running:
                break
            await send(box, "STOP", running)
        await send(box, "KILL", chosen)
        for _ in range(ROUNDS):
            if chosen.isdisjoint(p.pid for p in await _living(box)):
                break
            await anyio.sleep(0.01)
    return chosen


@asynccontextmanager
async def _frozen(box: ProcessTable) -> AsyncIterator[None]:
    """Stop every process of a box but init and the shell that is asked; go on afterwards."""
    if not box.own_namespace:
        yield
        return
    try:
        await box.script("kill -STOP -1\n")
        yield
    finally:
        with anyio.move_on_after(THAW_S, shield=True):
            await box.script("kill -CONT -1\n")


async def _living(box: ProcessTable) -> list[Process]:
    return [p for p in await processes(box) if not p.zombie]


async def send(box: ProcessTable, signal: str, pids: Iterable[int]) -> None:
    """Send a signal; who is gone already is no error."""
    words = " ".join(map(str, sorted(pids)))
    if words:
        await box.script(f"kill -{signal} {words} 2>/dev/null\n")


async def stop_agent(box: object) -> StopReport:
    """End what the agent runs and what it left behind, but for services (see the decision).

    What comes next runs in shells that the agent never shared. A box without a process table (in
    memory) has nothing that outlives its command.
    """
    if not isinstance(box, HasProcesses):
        return StopReport()
    table = box.processes
    killed: dict[int, str] = {}
    kept: dict[int, str] = {}

    async def choose(rows: list[Process]) -> set[int]:
        killed.clear()
        kept.clear()
        under, left = split(rows, table.ours, table.background)
        if not table.own_namespace:  # the others are the host's
            mine = descendants(rows, table.background)
            left = [p for p in left if p.pid in mine]
        listen, unknown = await _look_into(table, left)
        for unit in units(left):
            pids = {p.pid for p in unit}
            reason = (
                "listens" if pids & listen else "cannot be looked into" if pids & unknown else ""
            )
            into = kept if reason else killed
            into.update({p.pid: f"{p.pid} {p.comm}: {reason or 'left behind'}" for p in unit})
        killed.update({p.pid: f"{p.pid} {p.comm}: ran under the agent" for p in under})
        return set(killed)

    if any(p.pid not in table.ours | {INIT} for p in await _living(table)):
        await kill_tree(table, choose)
    await box.retire()
    return StopReport(killed=tuple(killed.values()), kept=tuple(kept.values()))


async def _look_into(box: ProcessTable, rows: list[Process]) -> tuple[set[int], set[int]]:
    """Find who listens. Each process is looked into as its own user: root in a box may not see
    all."""
    if not rows:
        return set(), set()
    owners = await box.script(OWNERS % " ".join(str(p.pid) for p in rows))
    by_user: dict[str, list[str]] = {}
    for pid, lines in groups(owners, "P"):
        for line in lines:
            by_user.setdefault(line.split()[1], []).append(pid)
    listen: set[int] = set()
    unknown: set[int] = set()
    for uid, pids in by_user.items():
        report = await box.script(SOCKETS % " ".join(pids), None if uid == "0" else uid)
        ears, dark = servers(report)
        listen |= ears
        unknown |= dark
    return listen, unknown
