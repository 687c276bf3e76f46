"""A stream over a Unix socket that can be cancelled at any moment.

anyio's own has the event loop set a future when data comes. Where a cancel is delivered in that
turn of the loop, the future is set twice, and the loop tells the user of an InvalidStateError.
Waiting for the descriptor knows no such moment.
"""

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import anyio
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint

AGAIN_S = 0.01


@dataclass(slots=True, eq=False)
class UnixStream(ByteStream):
    """A connected socket that does not block; this owns it."""

    raw: socket.socket

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """What is there, or comes; a cancel loses nothing."""
        await checkpoint()
        with self._typed():
            while True:
                try:
                    data = self.raw.recv(max_bytes)
                    break
                except BlockingIOError:
                    await anyio.wait_readable(self.raw)
        if not data:
            raise anyio.EndOfStream
        return data

    async def send(self, item: bytes) -> None:
        """All of it, or what went before a cancel."""
        await checkpoint()
        rest = memoryview(item)
        with self._typed():
            while rest:
                try:
                    rest = rest[self.raw.send(rest) :]
                except BlockingIOError:
                    await anyio.wait_writable(self.raw)

    async def send_eof(self) -> None:
        """Say that no more is sent."""
        with contextlib.suppress(OSError):  # the other side may be gone
            self.raw.shutdown(socket.SHUT_WR)

    async def aclose(self) -> None:
        """Close it; whoever waits for it is told."""
        if self.raw.fileno() >= 0:
            anyio.notify_closing(self.raw)
            self.raw.close()
        await checkpoint()

    @contextlib.contextmanager
    def _typed(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            here = self.raw.fileno() >= 0
            raise (anyio.BrokenResourceError if here else anyio.ClosedResourceError) from error


async def connect(path: str) -> UnixStream:
    """Connect to a listening socket. Raises OSError."""
    raw = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        raw.setblocking(False)
        while True:
            with contextlib.suppress(BlockingIOError):  # more wait there than it lets wait
                raw.connect(path)
                return UnixStream(raw)
            await anyio.sleep(AGAIN_S)
    except BaseException:
        raw.close()
        raise
