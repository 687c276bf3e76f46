"""One client's HTTP/1.1 connection, on any byte stream: keep-alive, chunks, 100-continue, limits.

Whoever sends too much or too slowly is refused or left; what a client sends before its answer is
over is kept, up to a bound.
"""

from dataclasses import dataclass

import anyio
import h11
from anyio.abc import ByteStream

from mechagym.llm.gateway.refusals import INVALID, TOO_LARGE, TOO_SLOW, Headers, Refused

MAX_BODY_BYTES = 32 * 1024 * 1024
MAX_HEAD_BYTES = 64 * 1024
KEPT_BYTES = 64 * 1024
CHUNK = 64 * 1024
IDLE_S = 75.0
REQUEST_S = 60.0
TAKEN_S = 60.0
GONE = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)


class LeftError(Exception):
    """The client is gone, or takes nothing any more: there is nobody to tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A request before its body. Header names are in lower case."""

    method: str
    path: str
    query: str
    headers: Headers

    def get(self, name: bytes) -> bytes | None:
        """The first value of a header."""
        return next((value for key, value in self.headers if key == name), None)


class Connection:
    """Request after request of one client; the answer to each must end before the next is read."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._due = 0.0
        self._began = False
        self._streams = False
        self._client_left = False

    @property
    def streams(self) -> bool:
        """Whether the answer that began is a stream of events."""
        return self._streams

    @property
    def began(self) -> bool:
        """Whether the answer's head is sent."""
        return self._began

    @property
    def reusable(self) -> bool:
        """Whether another request may come."""
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    async def next_head(self) -> Head | None:
        """The next request's head; None: the client wants no more. Raises Refused, LeftError."""
        if self._http.our_state is h11.DONE:
            self._http.start_next_cycle()
        self._began = False
        if not self._http.trailing_data[0]:
            with anyio.move_on_after(IDLE_S):
                await self._receive()
            if not self._http.trailing_data[0]:
                return None
        self._due = anyio.current_time() + REQUEST_S
        event = await self._event()
        if not isinstance(event, h11.Request):
            return None
        path, _, query = event.target.decode("latin-1").partition("?")
        return Head(
            method=event.method.decode("ascii"),
            path=path,
            query=query,
            headers=list(event.headers),
        )

    async def body(self, head: Head) -> bytes:
        """The request's body, whole. Raises Refused, LeftError."""
        if int(head.get(b"content-length") or 0) > MAX_BODY_BYTES:
            raise _too_large()
        body = bytearray()
        while isinstance(event := await self._event(), h11.Data):
            body += event.data
            if len(body) > MAX_BODY_BYTES:
                raise _too_large()
        return bytes(body)

    async def respond(self, status: int, headers: Headers) -> None:
        """Send the head of the answer. Raises LeftError."""
        self._began = True
        self._streams = is_stream(headers)
        await self._send(h11.Response(status_code=status, headers=headers))

    async def send(self, data: bytes) -> None:
        """Send a part of the answer's body; waits for a slow client. Raises LeftError."""
        await self._send(h11.Data(data=data))

    async def end(self) -> None:
        """The answer is whole. Raises LeftError."""
        await self._send(h11.EndOfMessage())

    async def answer(self, status: int, headers: Headers, body: bytes = b"") -> None:
        """Send a whole answer; where the request was not read whole, it is the last one."""
        length = [(b"content-length", str(len(body)).encode())]
        last = [] if self._http.their_state is h11.DONE else [(b"connection", b"close")]
        await self.respond(status, [*headers, *length, *last])
        if body:
            await self.send(body)
        await self.end()

    async def gone(self) -> None:
        """Return when the client has left. What it sends meanwhile is kept, up to a bound."""
        while len(self._http.trailing_data[0]) < KEPT_BYTES:
            await self._receive()
            if self._client_left:
                return
        await anyio.sleep_forever()

    async def _event(self) -> h11.Event | None:
        """The next event of the request, in the time that it has; None: nothing comes any more.

        Raises Refused, LeftError.
        """
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                with anyio.fail_at(self._due):
                    if self._http.they_are_waiting_for_100_continue:
                        await self._send(h11.InformationalResponse(status_code=100, headers=[]))
                    await self._receive()
                if self._client_left:
                    raise LeftError
            return event if isinstance(event, h11.Event) else None
        except TimeoutError:
            raise Refused(TOO_SLOW, f"the request was not whole within {REQUEST_S:g} s") from None
        except h11.RemoteProtocolError as error:
            raise Refused(INVALID, f"this is no HTTP/1.1 request: {error}") from None

    async def _receive(self) -> None:
        try:
            self._http.receive_data(await self._stream.receive(CHUNK))
        except GONE:
            self._client_left = True

    async def _send(self, event: h11.Event) -> None:
        data = self._http.send(event)
        if not data:
            return
        # once per chunk: a bare scope costs a third of `fail_after`
        scope = anyio.CancelScope(deadline=anyio.current_time() + TAKEN_S)
        try:
            with scope:
                await self._stream.send(data)
        except GONE:
            raise LeftError from None
        if scope.cancelled_caught:
            raise LeftError


def is_stream(headers: Headers) -> bool:
    """Whether the body behind these headers is a stream of events."""
    return any(n == b"content-type" and b"event-stream" in v for n, v in headers)


def _too_large() -> Refused:
    return Refused(TOO_LARGE, f"a request's body is at most {MAX_BODY_BYTES // 1024**2} MB")
