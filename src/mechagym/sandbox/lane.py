"""One shell in a box that is fed commands over its stdin, the pipe to it, and all those of a
box."""

import contextlib
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import anyio

from mechagym.errors import SandboxError
from mechagym.sandbox import shell
from mechagym.sandbox.base import ExecOptions, Stream
from mechagym.sandbox.capture import Taps

OPEN_S = 30.0
CLOSE_S = 2.0
BROKEN = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)


class Channel(Protocol):
    """The piped stdio of one program in a box. A broken one raises EndOfStream or anyio's
    resource errors."""

    async def send(self, data: bytes) -> None:
        """Write to its stdin."""
        ...

    async def send_eof(self) -> None:
        """Close its stdin."""
        ...

    async def receive(self) -> tuple[Stream, bytes]:
        """Read what comes next; a cancel loses nothing. Raises anyio.EndOfStream."""
        ...

    async def aclose(self) -> None:
        """Let go of it; its stdin is closed."""
        ...


Spawn = Callable[[Sequence[str], str | None], Awaitable[Channel]]
"""Start argv in the box as a user (None: the box's own), with the box's workdir and environment.

Raises SandboxError where nothing can be started, BoxDied where the box is gone.
"""


_ROOTS = {"root", "0", "root:root", "0:0"}


def same_user(one: str, other: str) -> bool:
    """Whether two words name one user of a box: then a command needs no lane of its own."""
    return one == other or {one, other} <= _ROOTS


class LaneLost(Exception):
    """The shell behind a lane is gone, or never came; with its last words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a backend brings. `subreaper`: path in the box of a program like `tini` (run with `-s
    --`), under which all that a command starts stays. `own_namespace`: the box has a pid
    namespace of its own.
    """

    spawn: Spawn
    alive: Callable[[], Awaitable[bool]]
    subreaper: str | None = None
    own_namespace: bool = True


@dataclass(slots=True, eq=False)
class Lane:
    """One shell. `pid` is as the box sees it; `retired` ones get no further command.

    `end`: the line after each program, where the shell runs `shell.BOOT` and thus serves one
    command.
    """

    channel: Channel
    user: str | None
    pid: int = 0
    end: str = ""
    main: bool = False
    retired: bool = False

    async def greet(self) -> None:
        """Teach a fresh shell to frame its output. Raises LaneLost."""
        taps = Taps(secrets.token_hex(16), ExecOptions())
        await self.run(shell.hello(taps.nonce), taps)
        self.pid = taps.code

    async def run(self, text: str, taps: Taps, stdin: bytes | None = None) -> None:
        """Send a program and read until its end markers. Raises LaneLost."""
        try:
            await self.channel.send(f"{text}{self.end}".encode("utf-8", "surrogateescape"))
        except BROKEN as error:
            raise LaneLost from error
        if stdin is None:
            await self.listen(taps)
            return
        failure: Exception | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._pour, stdin)
            try:
                await self.listen(taps)
            except Exception as error:  # noqa: BLE001 – the task group would wrap it
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def listen(self, taps: Taps) -> None:
        """Read until the command has ended; may be called again after a cancel. Raises LaneLost."""
        try:
            while not taps.ended:
                taps.feed(*await self.channel.receive())
        except BROKEN as error:
            taps.flush()
            said = taps.stderr.capture.bytes() or taps.stdout.capture.bytes()
            raise LaneLost(said.decode("utf-8", "replace").strip()[-300:]) from error

    async def drain(self) -> None:
        """Throw away what comes, until nobody holds the other end."""
        with contextlib.suppress(*BROKEN):
            while True:
                await self.channel.receive()

    async def _pour(self, stdin: bytes) -> None:
        with contextlib.suppress(*BROKEN):  # a command need not read all, or any
            await self.channel.send(stdin)
            await self.channel.send_eof()


@dataclass(slots=True, eq=False)
class Shells:
    """All shells of ours in one box. `background`: pids of commands that were started to outlive
    their call."""

    machine: Machine
    lanes: set[Lane] = field(default_factory=set)
    background: set[int] = field(default_factory=set)

    @property
    def pids(self) -> frozenset[int]:
        """Their pids in the box."""
        return frozenset(lane.pid for lane in self.lanes)

    async def open(self, user: str | None, *, once: bool = False) -> Lane:
        """Start a shell; `once`: for a single command, which may have stdin. Raises LaneLost."""
        end = secrets.token_hex(8) if once else ""
        argv = ["sh", "-c", shell.BOOT, "sh", end] if once else ["sh"]
        with anyio.move_on_after(OPEN_S):
            channel = await self.machine.spawn(argv, user)
            lane = Lane(channel=channel, user=user, end=f"{end}\n" if once else "")
            return await self.adopt(lane)
        raise SandboxError(f"no shell could be started in the box within {OPEN_S:g} s")

    async def adopt(self, lane: Lane) -> Lane:
        """Greet a shell and count it as ours. Raises LaneLost."""
        try:
            await lane.greet()
        except BaseException:
            await self.close(lane)
            raise
        self.lanes.add(lane)
        return lane

    async def close(self, lane: Lane) -> None:
        """Let a shell go."""
        self.lanes.discard(lane)
        with anyio.move_on_after(CLOSE_S, shield=True):
            await lane.channel.aclose()
