"""The escape table: attempts to break out of a box, for real, each one held, failed or not tested.

What counts is what the host sees (a file written, a process gone, a connection made), not what the
box says. It is printed by `mechagym doctor sandbox` and is evidence for the isolation level.
"""

import os
import secrets
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import anyio
from anyio.abc import ByteStream, SocketAttribute

from mechagym.errors import SandboxError
from mechagym.sandbox.base import (
    Box,
    BoxSpec,
    ExecOptions,
    ExecResult,
    Image,
    Limits,
    NetworkPolicy,
    Sandbox,
)

Result = Literal["held", "failed", "not tested"]
PIDS, MEMORY_MB, STORAGE_MB = 64, 96, 64
TRY_S = 20.0
# SYS_MODULE, SYS_RAWIO, SYS_PTRACE, SYS_ADMIN, SYS_BOOT, SYS_TIME, NET_ADMIN, DAC_READ_SEARCH, BPF
_DANGEROUS = sum(1 << bit for bit in (2, 12, 16, 17, 19, 21, 22, 25, 39))


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One attempt and how it went."""

    attempt: str
    result: Result
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bait:
    """What stands on the host to be broken into. `victim`: a process; `heard`: connections."""

    folder: Path
    token: str
    victim: "subprocess.Popen[bytes]"
    port: int
    heard: list[str]


Attempt = Callable[[Box, _Bait], Awaitable[Line]]


async def escape_table(sandbox: Sandbox, image: Image) -> list[Line]:
    """Try every escape in boxes of this backend. Raises SandboxError where none can be opened."""
    can = sandbox.capabilities
    closed = "no-network" in can.networks
    limits = Limits(
        pids=PIDS,
        memory_mb=MEMORY_MB if "memory_mb" in can.limits else None,
        storage_mb=STORAGE_MB if "storage_mb" in can.limits else None,
    )
    network = NetworkPolicy(mode="no-network" if closed else "public")
    spec = BoxSpec(image=image, limits=limits, network=network)
    lines: list[Line] = []
    async with _bait() as bait:
        async with sandbox.open(spec) as box:
            lines += [await attempt(box, bait) for attempt in _QUIET]
            mark = str(700_000_000 + secrets.randbelow(90_000_000))
            await _sh(box, f"setsid nohup sleep {mark} >/dev/null 2>&1 & :")
        lines.append(await _left_behind(mark))
        for limit, attempt in _LOUD.items():
            if limit in can.limits:
                async with sandbox.open(spec) as box:
                    lines.append(await attempt(box, bait))
            else:
                lines.append(_untested(f"past the limit {limit}", "this host cannot enforce it"))
        async with sandbox.open(spec) as box:  # the next box opens, whatever the others did
            lines.append(await _signal_init(box, bait))
    return lines


async def _write_outside(box: Box, bait: _Bait) -> Line:
    path = bait.folder / "written"
    places = f"{path} /proc/1/root{path} /proc/1/cwd{path} ../../../../../../..{path}"
    text = f"for p in {places}; do mkdir -p ${{p%/*}}; echo x >$p; done 2>/dev/null"
    await _sh(box, text)
    return _line("write outside", held=not path.exists())


async def _read_secret(box: Box, bait: _Bait) -> Line:
    path = bait.folder / "secret"
    said = await _sh(box, f"cat {path} /proc/*/root{path} 2>/dev/null; cat /proc/*/environ; env")
    return _line("read a secret of the host", held=bait.token.encode() not in said.stdout)


async def _see_processes(box: Box, bait: _Bait) -> Line:
    said = await _sh(box, "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '")
    if not said.stdout:
        return _untested("see processes of the host", "the box shows no /proc")
    return _line("see processes of the host", held=bait.token.encode() not in said.stdout)


async def _signal_processes(box: Box, bait: _Bait) -> Line:
    await _sh(box, f"kill -9 {bait.victim.pid}")
    await anyio.sleep(0.1)
    return _line("signal processes of the host", held=bait.victim.poll() is None)


async def _reach_port(box: Box, bait: _Bait) -> Line:
    if box.info.network == "public":
        return _untested("reach a port of the host", "this backend cannot close the network")
    way = f"/dev/tcp/127.0.0.1/{bait.port}"
    said = await _sh(box, f"command -v bash && timeout 3 bash -c 'exec 3<>{way}'")
    if not said.stdout:
        return _untested("reach a port of the host", "the image has no bash to probe with")
    await anyio.sleep(0.1)  # until who has connected is also accepted
    return _line("reach a port of the host", held=not bait.heard)


async def _gain_capability(box: Box, bait: _Bait) -> Line:  # noqa: ARG001
    said = (await _sh(box, "cat /proc/self/status")).text
    rows = dict(row.split(":\t", 1) for row in said.splitlines() if ":\t" in row)
    if "CapEff" not in rows:
        return _untested("gain a capability", "the box shows no /proc/self/status")
    bounding, no_new = int(rows["CapBnd"], 16), rows.get("NoNewPrivs")
    more = bounding & _DANGEROUS
    detail = f"bounding set {bounding:#x}, no_new_privs {no_new}"
    return _line("gain a capability", held=not more and no_new == "1", detail=detail)


async def _mount(box: Box, bait: _Bait) -> Line:  # noqa: ARG001
    said = await _sh(box, "command -v mount >/dev/null || exit 99; mount -t tmpfs none /mnt")
    if said.exit_code == 99:
        return _untested("mount", "the image has no mount")
    return _line("mount", held=not said.ok)


async def _ptrace(box: Box, bait: _Bait) -> Line:
    code = f"exit(syscall(101, 16, {bait.victim.pid}, 0, 0) == 0 ? 1 : 0)"
    return await _by_perl(box, "ptrace a process of the host", code)


async def _load_module(box: Box, bait: _Bait) -> Line:  # noqa: ARG001
    code = "syscall(175, 0, 0, 0); exit($! == 1 || $! == 38 ? 0 : 1)"  # EPERM, ENOSYS
    return await _by_perl(box, "load a kernel module", code)


async def _by_perl(box: Box, attempt: str, code: str) -> Line:
    if os.uname().machine != "x86_64":
        return _untested(attempt, "the numbers of its system calls are known for x86_64 only")
    said = await _sh(box, f"command -v perl >/dev/null || exit 99; perl -e '{code}'")
    if said.exit_code == 99:
        return _untested(attempt, "the image has no perl")
    return _line(attempt, held=said.ok)


async def _left_behind(mark: str) -> Line:
    """Whether a process of the closed box still runs on the host.

    One that is becoming another program has no command line for a moment: it is gone when it is
    not seen three times in a row.
    """
    unseen = 0
    for _ in range(20):
        unseen = 0 if _runs(mark) else unseen + 1
        if unseen == 3:
            return _line("keep a process after close", held=True)
        await anyio.sleep(0.1)
    return _line("keep a process after close", held=False, detail=f"sleep {mark} still runs")


async def _fork_bomb(box: Box, bait: _Bait) -> Line:  # noqa: ARG001
    count = PIDS * 3
    said = await _sh(box, f"for i in $(seq {count}); do sleep 2 & done; echo all")
    await anyio.sleep(2.5)  # until those that did start are gone
    alive = await _still_works(box)
    held = b"all" not in said.stdout or b"ork" in said.stderr
    return _line("fork past the limit of processes", held=held and alive)


async def _eat_memory(box: Box, bait: _Bait) -> Line:  # noqa: ARG001
    size = MEMORY_MB * 4 * 1024 * 1024
    said = await _sh(box, f"head -c {size} /dev/zero | tail -c {size - 1} | wc -c")
    held = str(size - 1) not in said.text
    return _line("take more memory than the limit", held=held, detail=f"exit {said.exit_code}")


async def _fill_disk(box: Box, bait: _Bait) -> Line:  # noqa: ARG001
    size = STORAGE_MB * 4 * 1024 * 1024
    said = await _sh(box, f"head -c {size} /dev/zero >/fill; ls -l /fill; rm -f /fill")
    return _line("fill the disk", held=str(size) not in said.text)


async def _signal_init(box: Box, bait: _Bait) -> Line:  # noqa: ARG001
    await _sh(box, "kill -9 1; kill -TERM 1; kill -STOP 1")
    await anyio.sleep(0.2)
    return _line("end the box by signals to PID 1", held=await _still_works(box))


_QUIET: tuple[Attempt, ...] = (
    _write_outside,
    _read_secret,
    _see_processes,
    _signal_processes,
    _reach_port,
    _gain_capability,
    _mount,
    _ptrace,
    _load_module,
)
_LOUD: dict[str, Attempt] = {
    "pids": _fork_bomb,
    "memory_mb": _eat_memory,
    "storage_mb": _fill_disk,
}


async def _sh(box: Box, text: str, timeout_s: float = TRY_S) -> ExecResult:
    """Run as root in the box; a box that breaks gives an empty answer."""
    options = ExecOptions(user="root", cwd="/", timeout_s=timeout_s)
    try:
        return await box.exec(["sh", "-c", text], options)
    except SandboxError as error:
        return ExecResult(exit_code=None, stderr=error.message.encode())


async def _still_works(box: Box) -> bool:
    return (await _sh(box, "exit 7")).exit_code == 7


def _line(attempt: str, *, held: bool, detail: str = "") -> Line:
    return Line(attempt=attempt, result="held" if held else "failed", detail=detail)


def _untested(attempt: str, why: str) -> Line:
    return Line(attempt=attempt, result="not tested", detail=why)


def _runs(mark: str) -> bool:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in path.read_bytes():  # also of one that is yet to become `sleep`
                return True
        except OSError:
            continue
    return False


@asynccontextmanager
async def _bait() -> AsyncIterator[_Bait]:
    heard: list[str] = []

    async def handle(stream: ByteStream) -> None:
        heard.append(str(stream.extra(SocketAttribute.remote_address)))  # noqa: S610
        await stream.aclose()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)  # noqa: S610
    with _folder_and_victim() as (folder, token, victim):
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, handle)
            yield _Bait(folder=folder, token=token, victim=victim, port=port, heard=heard)
            tasks.cancel_scope.cancel()


@contextmanager
def _folder_and_victim() -> Iterator[tuple[Path, str, "subprocess.Popen[bytes]"]]:
    token = f"mechagym-secret-{secrets.token_hex(8)}"
    with tempfile.TemporaryDirectory(prefix="mechagym-bait-") as name:
        (Path(name) / "secret").write_text(token, encoding="ascii")
        victim = subprocess.Popen(
            ["sh", "-c", "read line", token], stdin=subprocess.PIPE, env={"SECRET": token}
        )
        try:
            yield Path(name), token, victim
        finally:
            victim.send_signal(signal.SIGKILL)
            victim.communicate()
