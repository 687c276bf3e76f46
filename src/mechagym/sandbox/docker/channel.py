"""The stdio of a program in a container, over a hijacked connection.

Each frame of output has a header of 8 bytes: the stream (1 stdout, 2 stderr), three zeros, and the
size of what follows, big-endian.
"""

from anyio.abc import ByteStream

from mechagym.sandbox.base import Stream

_HEADER = 8
_CHUNK = 256 * 1024


class DockerChannel:
    """A `lanes.Channel`. `settled`: its program surely runs, or is over."""

    def __init__(self, stream: ByteStream, rest: bytes = b"") -> None:
        """`rest`: what came behind the answer's head."""
        self._stream = stream
        self._buffer = rest
        self._at = 0
        self._left = 0
        self._name: Stream = "stdout"
        self.settled = False

    async def send(self, data: bytes) -> None:
        """Write to stdin."""
        await self._stream.send(data)

    async def send_eof(self) -> None:
        """Close stdin and go on reading."""
        await self._stream.send_eof()

    async def receive(self) -> tuple[Stream, bytes]:
        """Read what comes next of a frame. Raises anyio.EndOfStream."""
        while self._left == 0:
            while len(self._buffer) - self._at < _HEADER:
                more = await self._stream.receive(_CHUNK)
                self._buffer, self._at = self._buffer[self._at :] + more, 0
            self.settled = True
            head = self._buffer[self._at : self._at + _HEADER]
            self._name = "stderr" if head[0] == 2 else "stdout"
            self._left = int.from_bytes(head[4:], "big")
            self._at += _HEADER
        if self._at == len(self._buffer):
            self._buffer, self._at = await self._stream.receive(_CHUNK), 0
        data = self._buffer[self._at : self._at + self._left]
        self._at += len(data)
        self._left -= len(data)
        return self._name, data

    async def aclose(self) -> None:
        """Close the connection, and with it stdin."""
        self.settled = True
        await self._stream.aclose()
