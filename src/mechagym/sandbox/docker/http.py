"""HTTP/1.1 as an engine speaks it: one request, one answer, and the connection is let go.

An engine has no redirects, cookies, proxies or compression. What a general client does for those
costs four times the CPU of all this, on some fifteen requests per trial.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import anyio
from anyio.abc import ByteStream
from anyio.streams.buffered import BufferedByteReceiveStream

HEAD_BYTES = 64 * 1024
CHUNK = 256 * 1024
SEND_S = 120.0
_CUT_SHORT = (anyio.EndOfStream, anyio.IncompleteRead, anyio.DelimiterNotFound, OSError)


class Broken(Exception):
    """The other side broke off, or what it speaks is no HTTP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked. A body that comes piece by piece is sent in chunks."""

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | AsyncIterator[bytes] = b""

    def head(self) -> bytes:
        """It as bytes, without the body."""
        size = "Transfer-Encoding: chunked"
        if isinstance(self.body, bytes):
            size = f"Content-Length: {len(self.body)}"
        given = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        return (
            f"{self.method} {self.target} HTTP/1.1\r\nHost: docker\r\n{given}{size}\r\n\r\n"
        ).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back; `headers` by their names in small letters."""

    status: int
    headers: Mapping[str, str]
    stream: BufferedByteReceiveStream

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises Broken where it is cut short."""
        try:
            if self.headers.get("transfer-encoding") == "chunked":
                while size := int(await self.stream.receive_until(b"\r\n", HEAD_BYTES), 16):
                    async for data in self._exactly(size):
                        yield data
                    await self.stream.receive_exactly(2)
            elif "content-length" in self.headers:
                async for data in self._exactly(int(self.headers["content-length"])):
                    yield data
            elif self.status != 204:
                with suppress(anyio.EndOfStream):
                    while True:
                        yield await self.stream.receive(CHUNK)
        except (*_CUT_SHORT, anyio.BrokenResourceError, ValueError) as error:
            raise Broken(str(error) or type(error).__name__) from error

    async def read(self) -> bytes:
        """All of the body."""
        return b"".join([data async for data in self.chunks()])

    async def lines(self) -> AsyncIterator[bytes]:
        """The body line by line."""
        rest = b""
        async for data in self.chunks():
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                yield line
        if rest:
            yield rest

    async def _exactly(self, size: int) -> AsyncIterator[bytes]:
        while size:
            data = await self.stream.receive(min(size, CHUNK))
            size -= len(data)
            yield data


async def ask(stream: ByteStream, request: Request) -> Answer:
    """Send a request, read the head of its answer. Raises Broken."""
    with suppress(anyio.BrokenResourceError):  # an answer may come before all was sent
        if isinstance(request.body, bytes):
            await stream.send(request.head() + request.body)
        else:
            await stream.send(request.head())
            await _pour(stream, request.body)
    buffered = BufferedByteReceiveStream(stream)
    try:
        head = (await buffered.receive_until(b"\r\n\r\n", HEAD_BYTES)).decode("latin-1")
        first, *lines = head.split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        return Answer(status=int(first.split(" ")[1]), headers=headers, stream=buffered)
    except (*_CUT_SHORT, anyio.BrokenResourceError, ValueError, IndexError) as error:
        raise Broken(str(error) or type(error).__name__) from error


async def _pour(stream: ByteStream, pieces: AsyncIterator[bytes]) -> None:
    """Send a body in chunks, each while the next piece is made."""
    made, ready = anyio.create_memory_object_stream[bytes](1)
    failure: list[Exception] = []

    async def make() -> None:
        try:
            async with made:
                async for piece in pieces:
                    await made.send(piece)
        except anyio.BrokenResourceError:
            pass  # nobody takes them any more
        except Exception as error:  # noqa: BLE001 – the task group would wrap it
            failure.append(error)

    async with anyio.create_task_group() as tasks, ready:
        tasks.start_soon(make)
        try:
            async for piece in ready:
                with anyio.fail_after(SEND_S):
                    await stream.send(b"%x\r\n" % len(piece))
                    await stream.send(piece)
                    await stream.send(b"\r\n")
            if not failure:
                await stream.send(b"0\r\n\r\n")
        except anyio.BrokenResourceError as error:
            failure.append(error)
        except TimeoutError:
            failure.append(Broken(f"nothing was taken for {SEND_S:g} s"))
    if failure:
        raise failure[0]
