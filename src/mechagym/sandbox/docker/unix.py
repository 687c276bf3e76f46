"""A stream over a Unix socket that can be cancelled at any moment.

anyio's own has the event loop set a future when data comes. Where a cancel is delivered in that
turn of the loop, the future is set twice, and the loop tells the user of an InvalidStateError.
Waiting for the descriptor knows no such moment.
"""

import contextlib
import socket
from dataclasses import dataclass

import anyio
from anyio.abc import ByteStream
from anyio.lowlevel import (
    cancel_shielded_checkpoint,
    checkpoint,
    checkpoint_if_cancelled,
)

AGAIN_S = 0.01


@dataclass(slots=True, eq=False)
class UnixStream(ByteStream):
    """A connected socket that does not block; this owns it."""

    raw: socket.socket

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """What is there, or comes; a cancel loses nothing."""
        await checkpoint_if_cancelled()
        try:
            try:
                data = self.raw.recv(max_bytes)
                await cancel_shielded_checkpoint()
            except BlockingIOError:
                data = await self._awaited(max_bytes)
        except OSError as error:
            raise self._broken() from error
        if not data:
            raise anyio.EndOfStream
        return data

    async def send(self, item: bytes) -> None:
        """All of it, or what went before a cancel."""
        await checkpoint_if_cancelled()
        rest = memoryview(item)
        while rest:
            try:
                rest = rest[self.raw.send(rest) :]
            except BlockingIOError:
                await anyio.wait_writable(self.raw)
            except OSError as error:
                raise self._broken() from error

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

    async def _awaited(self, max_bytes: int) -> bytes:
        while True:
            await anyio.wait_readable(self.raw)
            with contextlib.suppress(BlockingIOError):
                return self.raw.recv(max_bytes)

    def _broken(self) -> Exception:
        here = self.raw.fileno() >= 0
        return anyio.BrokenResourceError() if here else anyio.ClosedResourceError()


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
