"""The process table of a box: the shell text that prints it, and what can be read from it.

In the box only `/proc` is read, by the builtins of a shell that runs already: a fork bomb leaves no
process for a `ps`. Names of processes are hostile: each line of theirs is printed behind a `+`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

INIT = 1
LIST = r"""for __mg_d in /proc/[0-9]*; do
  __mg_tell "P ${__mg_d#/proc/}"
  while IFS= read -r __mg_l; do __mg_tell "+$__mg_l"; done <"$__mg_d/stat"
done 2>/dev/null
"""
OWNERS = r"""for __mg_d in %s; do
  __mg_tell "P $__mg_d"
  while IFS= read -r __mg_l; do case $__mg_l in Uid:*) __mg_tell "+$__mg_l"; break ;; esac
  done <"/proc/$__mg_d/status"
done 2>/dev/null
"""
SOCKETS = r"""for __mg_d in %s; do
  __mg_tell "P $__mg_d"
  for __mg_f in /proc/$__mg_d/fd/*; do
    [ -S "$__mg_f" ] && __mg_tell "+$(ls -l "$__mg_f")"
    [ -e "$__mg_f" ] || { [ -r "/proc/$__mg_d/fd" ] && [ ! -L "$__mg_f" ]; } || __mg_tell '+?'
  done
done 2>/dev/null
for __mg_f in tcp tcp6 udp udp6 unix; do
  __mg_tell "N $__mg_f"
  while IFS= read -r __mg_l; do __mg_tell "+$__mg_l"; done <"/proc/net/$__mg_f"
done 2>/dev/null
"""
"""They tell (`shell.PRELUDE`) `P pid` or `N table`, then a line of it behind a `+` each."""

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


def parse(listing: bytes) -> list[Process]:
    """Read what LIST printed, whatever stands in a name; who vanished is left out."""
    found = []
    for pid, lines in groups(listing, "P"):
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
    for name, lines in groups(tables, "N"):
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
    for pid, lines in groups(report, "P"):
        for line in lines:
            if line == "?":
                unknown.add(int(pid))
            elif line.rpartition("socket:[")[2].rstrip("]") in inodes:
                listen.add(int(pid))
    return listen, unknown - listen


def groups(text: bytes, tag: str) -> list[tuple[str, list[str]]]:
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
