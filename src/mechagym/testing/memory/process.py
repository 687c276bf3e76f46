"""Processes of the mini machine: each is a task, with descriptors, signals and an end.

A process belongs to the `job` of the exec that started it, whatever it does to its session: so a
timeout finds all of them, as a cgroup would.
"""

import signal
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

import anyio
from anyio.lowlevel import checkpoint

from mechagym.testing.memory.files import File

PIPE_BYTES = 64 * 1024
STOPS = frozenset({signal.SIGSTOP, signal.SIGTSTP})


class Exit(Exception):
    """A process ends itself with a status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status & 0xFF


class Leave(Exception):
    """`break`, `continue` or `return`: `levels` loops, or out of a function or sourced file."""

    def __init__(self, how: str, value: int) -> None:
        super().__init__(how)
        self.how = how
        self.value = value


class Channel(Protocol):
    """What a descriptor stands for."""

    async def read(self, size: int) -> bytes:
        """At most `size` bytes; b"" at the end."""
        ...

    async def write(self, data: bytes) -> None:
        """All of it. Raises BrokenPipeError."""
        ...

    def hold(self, delta: int, *, writes: bool) -> None:
        """Count who holds it."""
        ...


class Null:
    """/dev/null; the base of the others."""

    async def read(self, size: int) -> bytes:  # noqa: ARG002
        """Nothing."""
        return b""

    async def write(self, data: bytes) -> None:
        """Nowhere."""

    def hold(self, delta: int, *, writes: bool) -> None:
        """Nobody cares."""


class Text(Null):
    """Bytes to be read: standard input, here documents."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)

    async def read(self, size: int) -> bytes:
        """The next of them."""
        piece, self._data = self._data[:size], self._data[size:]
        return bytes(piece)


class Zeros(Null):
    """/dev/zero."""

    async def read(self, size: int) -> bytes:
        """Zeros."""
        await checkpoint()
        return bytes(min(size, PIPE_BYTES))


class Sink(Null):
    """Hands what is written to a function."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take

    async def write(self, data: bytes) -> None:
        """Hand it over."""
        self._take(data)


class Handle(Null):
    """An open file."""

    def __init__(self, file: File, *, append: bool = False) -> None:
        self._file = file
        self._append = append
        self._at = 0

    async def read(self, size: int) -> bytes:
        """From where it stands."""
        data = bytes(self._file.data[self._at : self._at + size])
        self._at += len(data)
        return data

    async def write(self, data: bytes) -> None:
        """To where it stands, or the end."""
        at = len(self._file.data) if self._append else self._at
        if at > len(self._file.data):
            self._file.data += bytes(at - len(self._file.data))
        self._file.data[at : at + len(data)] = data
        self._at = at + len(data)
        self._file.mtime = time.time()


class Pipe:
    """A bounded buffer between processes."""

    def __init__(self) -> None:
        self._parts: deque[bytes] = deque()
        self._size = 0
        self._holders = {True: 0, False: 0}
        self._changed = anyio.Event()

    def hold(self, delta: int, *, writes: bool) -> None:
        """Count the ends; the last one's going wakes the other side."""
        self._holders[writes] += delta
        self._wake()

    async def read(self, size: int) -> bytes:
        """What is there; b"" once all writers are gone."""
        while not self._parts:
            if not self._holders[True]:
                return b""
            await self._changed.wait()
        part = self._parts.popleft()
        if len(part) > size:
            self._parts.appendleft(part[size:])
            part = part[:size]
        self._size -= len(part)
        self._wake()
        return part

    async def write(self, data: bytes) -> None:
        """All of it, as there is room."""
        while self._size >= PIPE_BYTES and self._holders[False]:
            await self._changed.wait()
        if not self._holders[False]:
            raise BrokenPipeError
        self._parts.append(data)
        self._size += len(data)
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


@dataclass(slots=True, eq=False, kw_only=True)
class Process:
    """One process. `status` is an exit code, or 128 and the signal that killed it."""

    pid: int
    job: int
    fds: dict[int, tuple[Channel, bool]]
    cwd: str
    env: dict[str, str]
    user: str
    ignored: frozenset[int] = frozenset()
    status: int = 0
    signal: int | None = None
    done: anyio.Event = field(default_factory=anyio.Event)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    _resumed: anyio.Event | None = None
    _steps: int = 0

    def kill(self, number: int) -> None:
        """Send a signal; what it ignores has no effect, but for SIGKILL and SIGSTOP."""
        if number == signal.SIGCONT:
            if self._resumed is not None:
                self._resumed.set()
                self._resumed = None
        elif number in STOPS:
            self._resumed = self._resumed or anyio.Event()
        elif number == signal.SIGKILL or (number and number not in self.ignored):
            self.signal = number
            self.scope.cancel()

    async def breathe(self) -> None:
        """Between any two steps: wait while stopped, and let others run now and then."""
        self._steps += 1
        if self._steps % 100 == 0:
            await checkpoint()
        while self._resumed is not None:
            await self._resumed.wait()

    async def write(self, data: bytes, fd: int = 1) -> None:
        """Write to a descriptor. Raises Exit where nobody reads, as SIGPIPE does."""
        if fd not in self.fds:
            raise OSError(9, "Bad file descriptor", str(fd))
        try:
            await self.fds[fd][0].write(data)
        except BrokenPipeError:
            raise Exit(128 + signal.SIGPIPE) from None

    async def read(self, size: int = PIPE_BYTES) -> bytes:
        """Read from standard input."""
        await self.breathe()
        return await self.fds[0][0].read(size) if 0 in self.fds else b""

    async def run(self, body: Callable[["Process"], Awaitable[int]]) -> None:
        """Live: run the body to its end, or to a signal. Its descriptors are held already."""
        try:
            with self.scope:
                try:
                    self.status = await body(self)
                except Exit as end:
                    self.status = end.status
                except (OSError, SyntaxError, RecursionError):
                    self.status = 2
            if self.scope.cancelled_caught:
                self.status = 128 + (self.signal or signal.SIGKILL)
            else:
                self.signal = None
        finally:
            hold(self.fds, -1)
            self.done.set()


def hold(fds: dict[int, tuple[Channel, bool]], delta: int) -> None:
    """Count a process that has (or no longer has) these descriptors."""
    for channel, writes in fds.values():
        channel.hold(delta, writes=writes)


def further(leave: Leave) -> bool:
    """Whether a loop is left by this; the outer ones are told. Raises Leave."""
    if leave.how == "return":
        raise leave
    if leave.value > 1:
        raise Leave(leave.how, leave.value - 1)
    return leave.how == "break"
