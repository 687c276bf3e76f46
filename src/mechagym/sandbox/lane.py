"""One shell in a box that is fed commands over its stdin, the pipe to it, and all those of a
box."""

import contextlib
import math
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import anyio

from mechagym.errors import SandboxError
from mechagym.sandbox import shell
from mechagym.sandbox.base import ExecOptions, Stream
from mechagym.sandbox.capture import Reply, Taps

OPEN_S = 30.0
CLOSE_S = 2.0
SEND_S = 5.0
SOON_S = 0.05
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
    namespace of its own. `guards`: its own user is root, and to start a program in it is dear: a
    shell is to bring its control lane with it.
    """

    spawn: Spawn
    alive: Callable[[], Awaitable[bool]]
    subreaper: str | None = None
    own_namespace: bool = True
    guards: bool = False


@dataclass(slots=True, eq=False)
class Lane:
    """One shell. `pid` is as the box sees it; `retired` ones get no further command.

    `end`: the line after each program, where the shell runs `shell.BOOT` and thus serves one
    command. `main`: its end is the box's end, so that it need not say when a program has begun; a
    question that comes too soon is lost, and asked elsewhere a second later. `guard`: the pid of
    its guard (see `shell.GUARD`), `deaf` once that is not asked any more. Whoever waits for
    something of the lane reads for all.
    """

    channel: Channel
    user: str | None
    pid: int = 0
    end: str = ""
    main: bool = False
    retired: bool = False
    guard: int = 0
    deaf: bool = False
    _sent_at: float = 0.0
    _taps: Taps | None = None
    _reply: Reply | None = None
    _reads: bool = False
    _waiting: list[anyio.Event] = field(default_factory=list)
    _turn: anyio.Lock = field(default_factory=partial(anyio.Lock, fast_acquire=True))

    async def greet(self, *, guard: bool = False) -> None:
        """Teach a fresh shell to frame its output. Raises LaneLost."""
        taps = Taps(secrets.token_hex(16), ExecOptions())
        await self.run(shell.hello(taps.nonce, guard=guard), taps)
        self.pid, self.guard = taps.code, taps.guard

    async def run(self, text: str, taps: Taps, stdin: bytes | None = None) -> None:
        """Send a program and read until its end markers. Raises LaneLost."""
        async with self._turn:
            self._taps = taps
            self._sent_at = anyio.current_time()
            await self._send(shell.guarded(text) if self.guard else f"{text}{self.end}")
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
            await self._hear(lambda: taps.ended)
        except BROKEN as error:
            taps.flush()
            said = taps.stderr.capture.bytes() or taps.stdout.capture.bytes()
            raise LaneLost(said.decode("utf-8", "replace").strip()[-300:]) from error

    async def ask(self, text: str) -> bytes:
        """Have the guard, or an idle shell without one, run text of ours; what it told.

        Raises LaneLost.
        """
        reply = Reply(secrets.token_hex(16))
        text = shell.telling(text, reply.nonce)
        taps, before = self._taps, self._reply
        try:
            async with self._turn:
                # what is sent before a shell has read its program may be lost (see `shell.GUARD`)
                soon = self._sent_at + SOON_S if self.main else math.inf
                with anyio.CancelScope(deadline=soon):
                    await self._hear(lambda: taps is None or taps.started or taps.ended)
                await self._hear(lambda: before is None or before.ended)
                self._reply = reply
                await self._send(shell.question(text) if self.guard else text)
            await self._hear(lambda: reply.ended)
        except BROKEN as error:
            raise LaneLost from error
        return reply.text

    async def drain(self) -> None:
        """Throw away what comes, until nobody holds the other end."""
        self._taps = None
        with contextlib.suppress(*BROKEN):
            await self._hear(lambda: False)

    async def _send(self, text: str) -> None:
        """All of it whoever cancels: a shell that got half a program serves nobody any more."""
        try:
            with anyio.fail_after(SEND_S, shield=True):
                await self.channel.send(text.encode("utf-8", "surrogateescape"))
        except (*BROKEN, TimeoutError) as error:
            raise LaneLost from error

    async def _hear(self, done: Callable[[], bool]) -> None:
        """Read, or wait while another reads, until it is done."""
        while not done():
            if self._reads:
                self._waiting.append(event := anyio.Event())
                await event.wait()
                continue
            self._reads = True
            try:
                self._sort(*await self.channel.receive())
            finally:
                self._reads = False
                while self._waiting:
                    self._waiting.pop().set()

    def _sort(self, stream: Stream, data: bytes) -> None:
        if self._reply is not None and stream == "stdout":
            data = self._reply.strain(data)
        if self._taps is not None and data:
            self._taps.feed(stream, data)

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
        """Their pids in the box, and those of their guards."""
        return frozenset(pid for lane in self.lanes for pid in (lane.pid, lane.guard) if pid)

    @property
    def guarded(self) -> Lane | None:
        """A lane whose guard can be asked."""
        return next((lane for lane in self.lanes if lane.guard and not lane.deaf), None)

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
        needed = self.machine.guards and lane.user is None and not lane.end
        try:
            await lane.greet(guard=needed and self.guarded is None)
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
