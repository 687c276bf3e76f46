"""The process table: hostile names, trees, groups, and which sockets make a service."""

import anyio
from hypothesis import given
from hypothesis import strategies as st

from mechagym.sandbox.base import ExecOptions
from mechagym.sandbox.capture import Capture, Tap
from mechagym.sandbox.proc import (
    Process,
    descendants,
    listening,
    parse,
    servers,
    split,
    units,
)
from mechagym.sandbox.processes import stop_agent

TAIL = "1 2 3 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {start} 0 0"


def row(pid: int, name: str = "x", ppid: int = 1, state: str = "S") -> str:
    numbers = f"{ppid} 2 3 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 777 0 0"
    stat = f"{pid} ({name}) {state} {numbers}"
    return f"P {pid}\n" + "".join(f"+{line}\n" for line in stat.split("\n"))


def process(pid: int, ppid: int = 1, pgid: int = 0) -> Process:
    return Process(pid=pid, ppid=ppid, pgid=pgid or pid, sid=0, state="S", start=0, comm="x")


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=15))
def test_no_name_can_forge_a_row(name: str):
    found = parse((row(7, name) + row(8)).encode())
    assert [(p.pid, p.ppid, p.start) for p in found] == [(7, 1, 777), (8, 1, 777)]
    assert found[0].comm == name


def test_what_vanished_is_left_out():
    assert [p.pid for p in parse(f"P 5\n{row(6)}P 7\n+7 (cut".encode())] == [6]


def test_descendants_of_the_living():
    table = [process(2), process(3, 2), process(4, 3), process(9)]
    assert descendants(table, [2, 77]) == {2, 3, 4}


def test_split_tells_live_commands_from_what_was_left():
    table = [
        process(1, 0),
        process(2),
        process(10, 2),
        process(11, 10),
        process(20),
        process(30, 2),
    ]
    under, left = split(table, frozenset({2}), frozenset({30}))
    assert [p.pid for p in under] == [10, 11]
    assert [p.pid for p in left] == [20, 30]


def test_units_join_families_and_groups():
    rows = [process(5), process(6, 5), process(8, pgid=5), process(9, 8), process(12)]
    groups = {frozenset(p.pid for p in unit) for unit in units(rows)}
    assert groups == {frozenset({5, 6, 8, 9}), frozenset({12})}


NET = """N tcp
+  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
+   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0
+   1: 0100007F:1F91 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 112 1 0
N udp
+  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
+   0: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 113 2 0
N unix
+Num       RefCount Protocol Flags    Type St Inode Path
+0000: 00000002 00000000 00010000 0001 01 114 /run/x
+0000: 00000003 00000000 00000000 0001 03 115
"""


def test_who_waits_for_others_listens():
    assert listening(NET.encode()) == {"111", "113", "114"}


def test_servers_and_the_unknown():
    fds = "P 5\n+lrwx 1 0 0 64 3 -> socket:[111]\nP 6\n+lrwx 3 -> socket:[112]\nP 7\n+?\n"
    assert servers((fds + NET).encode()) == ({5}, {7})


@given(st.lists(st.binary(max_size=300)), st.integers(0, 200))
def test_a_capture_keeps_head_and_tail_within_its_limit(chunks: list[bytes], limit: int):
    capture = Capture(limit)
    for chunk in chunks:
        capture.add(chunk)
    whole = b"".join(chunks)
    assert capture.total == len(whole)
    kept = capture.bytes()
    assert len(kept) <= limit
    if len(whole) <= limit:
        assert kept == whole
    elif limit > 100:
        head, _, rest = kept.partition("\n[… ".encode())
        left_out, _, tail = rest.partition(" bytes left out …]\n".encode())
        assert whole.startswith(head)
        assert whole.endswith(tail)
        assert len(head) + len(tail) + int(left_out) == len(whole)


@given(st.lists(st.sampled_from([b"\x1e", b"ab", b"a", b"b ", b" ", b"\n", b"x", b"\x1eab"])))
def test_a_tap_passes_all_but_its_own_marker(chunks: list[bytes]):
    tap = Tap("stdout", "abc", ExecOptions())
    for chunk in [*chunks, b"\x1ea", b"bc 7 0", b"\nleft over"]:
        tap.feed(chunk)
    assert tap.capture.bytes() == b"".join(chunks)
    assert tap.fields == ["7", "0"]


class Host:
    """A table of processes that are not all a box's."""

    ours = frozenset({50})
    background = frozenset({60})
    own_namespace = False

    def __init__(self) -> None:
        self.killing = anyio.Lock()
        self.asked: list[str] = []
        self.retired = False

    @property
    def processes(self) -> "Host":
        return self

    async def retire(self) -> None:
        self.retired = True

    async def script(self, text: str, user: str | None = None) -> bytes:
        self.asked.append(text)
        rows = [row(1, "init", 0), row(40, "sshd"), row(50, "sh", 2), row(51, "agent", 50, "T")]
        return "".join([*rows, row(60, "kept", 50, "T")]).encode()


async def test_on_a_host_nobody_elses_process_is_touched():
    host = Host()
    report = await stop_agent(host)
    assert [line.split(":")[0] for line in report.killed] == ["60 kept", "51 agent"]
    assert [t for t in host.asked if "KILL" in t] == ["kill -KILL 51 60 2>/dev/null\n"]
    assert not [t for t in host.asked if "-1" in t]
    assert host.retired
