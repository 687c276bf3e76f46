"""Which processes of a box die and which stay: reading the table, killing a tree, stopping the
agent.

What is decided is decided here, in Python; in the box only `/proc` is read and signals are sent,
by the builtins of one shell that runs already (a fork bomb leaves no process for a `ps`). The
rule for what is left behind stands in docs/decisions/0001-stop-agent.md. Processes of ours (init,
shells) are never touched.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import anyio

LIST = r"""for __mg_d in /proc/[0-9]*; do
  printf 'P %s\n' "${__mg_d#/proc/}"
  while IFS= read -r __mg_l; do printf '+%s\n' "$__mg_l"; done <"$__mg_d/stat"
done 2>/dev/null
"""
OWNERS = r"""for __mg_d in %s; do
  printf 'P %%s\n' "$__mg_d"
  while IFS= read -r __mg_l; do case $__mg_l in Uid:*) printf '+%%s\n' "$__mg_l"; break ;; esac
  done <"/proc/$__mg_d/status"
done 2>/dev/null
"""
SOCKETS = r"""for __mg_d in %s; do
  printf 'P %%s\n' "$__mg_d"
  for __mg_f in /proc/$__mg_d/fd/*; do
    [ -S "$__mg_f" ] && printf '+%%s\n' "$(ls -l "$__mg_f")"
    [ -e "$__mg_f" ] || { [ -r "/proc/$__mg_d/fd" ] && [ ! -L "$__mg_f" ]; } || printf '+?\n'
  done
done 2>/dev/null
for __mg_f in tcp tcp6 udp udp6 unix; do
  printf 'N %%s\n' "$__mg_f"
  while IFS= read -r __mg_l; do printf '+%%s\n' "$__mg_l"; done <"/proc/net/$__mg_f"
done 2>/dev/null
"""

INIT = 1
ROUNDS = 10
THAW_S = 5.0
Choice = Callable[[list["Process"]], Awaitable[set[int]]]
"""Names, of the whole table (zombies left out), the pids that are to die."""

_TCP_LISTEN, _UDP_UNCONNECTED, _UNIX_ACCEPTS = "0A", "07", 0x10000


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One row of the table, with pids as the box sees them. `start` is in clock ticks since
    boot."""

    pid: int
    ppid: int
    pgid: int
    sid: int
    state: str
    start: int
    comm: str

    @property
    def zombie(self) -> bool:
        """Whether it has ended and only its row is left."""
        return self.state in "ZX"

    @property
    def stopped(self) -> bool:
        """Whether it does nothing until it is continued."""
        return self.state in "Tt"


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


def parse(listing: bytes) -> list[Process]:
    """Read what LIST printed, whatever stands in a name; who vanished is left out."""
    found = []
    for pid, lines in _groups(listing, "P"):
        head, bracket, rest = "\n".join(lines).rpartition(")")
        fields = rest.split()
        if bracket and len(fields) > 19:
            found.append(
                Process(
                    pid=int(pid),
                    comm=head.partition("(")[2],
                    state=fields[0],
                    ppid=int(fields[1]),
                    pgid=int(fields[2]),
                    sid=int(fields[3]),
                    start=int(fields[19]),
                )
            )
    return found


def descendants(table: Iterable[Process], roots: Iterable[int]) -> set[int]:
    """The roots that live and all that came from them."""
    children: dict[int, list[int]] = {}
    alive = set()
    for process in table:
        children.setdefault(process.ppid, []).append(process.pid)
        alive.add(process.pid)
    found: set[int] = set()
    todo = [pid for pid in roots if pid in alive]
    while todo:
        pid = todo.pop()
        if pid not in found:
            found.add(pid)
            todo += children.get(pid, [])
    return found


def listening(tables: bytes) -> set[str]:
    """The inodes of sockets that wait for others, of the /proc/net tables that SOCKETS printed."""
    inodes = set()
    for name, lines in _groups(tables, "N"):
        for fields in (line.split() for line in lines[1:]):
            if name == "unix" and len(fields) > 6:
                if int(fields[3], 16) & _UNIX_ACCEPTS:
                    inodes.add(fields[6])
            elif name != "unix" and len(fields) > 9:
                waits = _TCP_LISTEN if name.startswith("tcp") else _UDP_UNCONNECTED
                if fields[3] == waits:
                    inodes.add(fields[9])
    return inodes


def servers(report: bytes) -> tuple[set[int], set[int]]:
    """Of what SOCKETS printed: the pids that listen, and those that could not be looked into."""
    inodes = listening(report)
    listen, unknown = set(), set()
    for pid, lines in _groups(report, "P"):
        for line in lines:
            if line == "?":
                unknown.add(int(pid))
            elif line.rpartition("socket:[")[2].rstrip("]") in inodes:
                listen.add(int(pid))
    return listen, unknown - listen


def _groups(text: bytes, tag: str) -> list[tuple[str, list[str]]]:
    """Cut into (header, lines) at the lines `TAG header`; the lines of a group start with `+`."""
    groups: list[tuple[str, list[str]]] = []
    ours = False
    for line in text.decode("utf-8", "replace").split("\n"):
        if line.startswith("+"):
            if ours:
                groups[-1][1].append(line[1:])
        elif line:
            head, _, name = line.partition(" ")
            ours = head == tag
            if ours:
                groups.append((name, []))
    return groups


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

    await kill_tree(table, choose)
    await box.retire()
    return StopReport(killed=tuple(killed.values()), kept=tuple(kept.values()))


def split(
    table: Iterable[Process], ours: frozenset[int], background: frozenset[int]
) -> tuple[list[Process], list[Process]]:
    """Tell what runs under a live command of ours from what was left behind (or put there on
    purpose)."""
    rows = [p for p in table if p.pid not in ours and p.pid != INIT]
    roots = [p.pid for p in rows if p.ppid in ours and p.pid not in background]
    live = descendants(rows, roots)
    return [p for p in rows if p.pid in live], [p for p in rows if p.pid not in live]


def units(rows: Iterable[Process]) -> list[list[Process]]:
    """Group what belongs together: parent and child, and members of one process group."""
    groups: list[tuple[set[int], set[int], list[Process]]] = []
    for row in rows:
        pids, pgids, members = {row.pid}, {row.pgid}, [row]
        for group in list(groups):
            parents = {p.ppid for p in group[2]}
            if row.ppid in group[0] or pids & parents or pgids & group[1]:
                groups.remove(group)
                pids, pgids, members = pids | group[0], pgids | group[1], group[2] + members
        groups.append((pids, pgids, members))
    return [members for _, _, members in groups]


async def _look_into(box: ProcessTable, rows: list[Process]) -> tuple[set[int], set[int]]:
    """Find who listens. Each process is looked into as its own user: root in a box may not see
    all."""
    if not rows:
        return set(), set()
    owners = await box.script(OWNERS % " ".join(str(p.pid) for p in rows))
    by_user: dict[str, list[str]] = {}
    for pid, lines in _groups(owners, "P"):
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
