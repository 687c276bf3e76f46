"""Our end of a relay: connections made in a box, carried over the stdio of a container beside it.

What runs there is `relay.pl`. Each side sends no more of a connection than the other has credited,
so memory is bounded and a slow reader holds up its own connection alone. The other side is run from
an image that is not ours: what does not keep to this ends the relay.
"""

import struct
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import anyio
from anyio.abc import ByteStream, ObjectSendStream
from anyio.lowlevel import checkpoint

from mechagym.sandbox.docker.channel import DockerChannel

WINDOW = 256 * 1024
CHUNK = 64 * 1024
MOST = 512
QUEUED = 16
SAID_CHARS = 2000
FAREWELL_S = 5.0
_HEAD = struct.Struct("!IBI")
_GONE = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)


class What(IntEnum):
    """What a frame says."""

    READY = 0
    OPEN = 1
    DATA = 2
    EOF = 3
    CLOSE = 4
    CREDIT = 5


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: of which connection (0: the relay itself), what, and its bytes."""

    who: int
    what: What
    data: bytes = b""

    def packed(self) -> bytes:
        """As it goes over the wire."""
        return _HEAD.pack(self.who, self.what, len(self.data)) + self.data


Say = ObjectSendStream[Frame]


@dataclass(slots=True, eq=False)
class RelayStream(ByteStream):
    """One connection that a program in the box made."""

    who: int
    say: Say
    _held: bytearray = field(default_factory=bytearray)
    _came: anyio.Event = field(default_factory=anyio.Event)
    _credited: anyio.Event = field(default_factory=anyio.Event)
    _credit: int = WINDOW
    _taken: int = 0
    _ended: bool = False
    _broken: bool = False
    _closed: bool = False

    def hear(self, frame: Frame) -> None:
        """Take what the relay says of it."""
        match frame.what:
            case What.DATA if len(self._held) + len(frame.data) > WINDOW:
                raise anyio.BrokenResourceError
            case What.DATA:
                self._held += frame.data
            case What.EOF:
                self._ended = True
            case What.CLOSE:
                self._broken = True
            case What.CREDIT:
                self._credit += int.from_bytes(frame.data, "big")
            case _:
                return
        self._wake()

    def _wake(self) -> None:
        for event in (self._came, self._credited):
            event.set()
        self._came, self._credited = anyio.Event(), anyio.Event()

    async def receive(self, max_bytes: int = CHUNK) -> bytes:
        """What is there, or comes."""
        await checkpoint()
        while not self._held:
            if self._closed:
                raise anyio.ClosedResourceError
            if self._broken:
                raise anyio.BrokenResourceError
            if self._ended:
                raise anyio.EndOfStream
            await self._came.wait()
        data = bytes(self._held[:max_bytes])
        del self._held[:max_bytes]
        self._taken += len(data)
        if self._taken >= WINDOW // 2 and not (self._ended or self._broken):
            taken, self._taken = self._taken, 0
            await self._tell(What.CREDIT, taken.to_bytes(4, "big"))
        return data

    async def send(self, item: bytes) -> None:
        """All of it, as fast as it is taken."""
        await checkpoint()
        rest = memoryview(item)
        while rest:
            while not self._credit and not (self._broken or self._closed):
                await self._credited.wait()
            if self._closed:
                raise anyio.ClosedResourceError
            if self._broken:
                raise anyio.BrokenResourceError
            piece = bytes(rest[: min(self._credit, CHUNK)])
            rest = rest[len(piece) :]
            self._credit -= len(piece)
            await self._tell(What.DATA, piece)

    async def send_eof(self) -> None:
        """Say that no more is sent."""
        await self._tell(What.EOF)

    async def aclose(self) -> None:
        """Close it; what was sent still arrives."""
        if self._closed:
            return
        self._closed = True
        self._wake()
        with anyio.move_on_after(FAREWELL_S, shield=True):
            with suppress(*_GONE):
                await self._tell(What.CLOSE)

    async def _tell(self, what: What, data: bytes = b"") -> None:
        await self.say.send(Frame(self.who, what, data))


class Relay:
    """A `Listener` whose connections come over a channel. The caller owns the channel."""

    def __init__(self, channel: DockerChannel) -> None:
        self._channel = channel
        self._buffer = bytearray()
        self._streams: dict[int, RelayStream] = {}
        self.said = ""

    async def ready(self) -> int | None:
        """The port that it listens on in the box; None where it ended, or says something else."""
        with suppress(*_GONE, ValueError):
            frame = await self._next()
            return int(frame.data) if frame.what is What.READY else None
        return None

    async def serve(self, handler: Callable[[ByteStream], Coroutine[Any, Any, object]]) -> None:
        """Serve all who come, until cancelled or the relay ends."""
        say, queue = anyio.create_memory_object_stream[Frame](QUEUED)

        async def write() -> None:
            with suppress(*_GONE):
                async with queue:  # once nobody writes, nobody waits to
                    async for frame in queue:
                        await self._channel.send(frame.packed())
                        if frame.what is What.CLOSE:
                            self._streams.pop(frame.who, None)
            tasks.cancel_scope.cancel()

        async with say, anyio.create_task_group() as tasks:
            tasks.start_soon(write)
            with suppress(*_GONE):
                while True:
                    frame = await self._next()
                    if frame.what is What.OPEN:
                        if len(self._streams) == MOST:
                            break
                        stream = self._streams[frame.who] = RelayStream(frame.who, say)
                        tasks.start_soon(handler, stream)
                    elif frame.who in self._streams:
                        self._streams[frame.who].hear(frame)
            tasks.cancel_scope.cancel()

    async def _next(self) -> Frame:
        while True:
            if len(self._buffer) >= _HEAD.size:
                who, what, length = _HEAD.unpack_from(self._buffer)
                if what > max(What) or length > CHUNK:
                    raise anyio.BrokenResourceError
                whole = _HEAD.size + length
                if len(self._buffer) >= whole:
                    data = bytes(self._buffer[_HEAD.size : whole])
                    del self._buffer[:whole]
                    return Frame(who, What(what), data)
            name, data = await self._channel.receive()
            if name == "stderr":
                self.said = (self.said + data.decode("utf-8", "replace"))[:SAID_CHARS]
            else:
                self._buffer += data
