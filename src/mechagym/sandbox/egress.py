"""What answers at a box's one listener: an HTTP proxy that connects to allowed hosts only, and the
box's door (a request that is for no other host).

CONNECT tunnels and absolute-form requests; TLS is never opened. The proxy resolves names itself and
connects to the very address it has checked, so a name that changes its mind (DNS rebinding) gains
nothing. Each connection is reported once, when it is over.
"""

import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

import anyio
from anyio.abc import ByteStream

from mechagym.events import EgressConnected
from mechagym.sandbox.allowlist import allows, literal, reachable
from mechagym.sandbox.base import BoxSpec, Door, NetworkPolicy

INWARD = "403 Not a public address"
HEAD_BYTES = 64 * 1024
HEAD_S = 30.0
CONNECT_S = 15.0
CHUNK = 64 * 1024
_PROXY = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
_HERE = "localhost,127.0.0.1,::1"
_ENDS = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)


OnConnection = Callable[[EgressConnected], None]


class Listener(Protocol):
    """Where boxes come in: any anyio listener, whatever namespace its socket is in."""

    async def serve(self, handler: Callable[[ByteStream], Coroutine[Any, Any, object]]) -> None:
        """Accept for ever, each connection in a task of its own."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    host: str
    port: int
    forward: bytes  # what the server gets first; empty for a tunnel


class _Turned(Exception):
    """The request is answered here; the text is for the one who asked."""

    def __init__(self, status: str, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


class Begun(ByteStream):
    """A stream of which the first bytes were read before."""

    def __init__(self, stream: ByteStream, first: bytes) -> None:
        """`first` comes out before what the stream still holds; closing closes the stream."""
        self._stream, self._first = stream, first

    async def receive(self, max_bytes: int = CHUNK) -> bytes:
        """The next bytes, at most so many."""
        if not self._first:
            return await self._stream.receive(max_bytes)
        data, self._first = self._first[:max_bytes], self._first[max_bytes:]
        return data

    async def send(self, item: bytes) -> None:
        """Send all of it."""
        await self._stream.send(item)

    async def send_eof(self) -> None:
        """Say that no more is sent."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """Close the stream itself."""
        await self._stream.aclose()


class Front:
    """One box's (or several boxes', under one policy) end of the line."""

    def __init__(
        self, policy: NetworkPolicy, *, door: Door | None = None, report: OnConnection | None = None
    ) -> None:
        """`report` hears of each proxied connection once, when it is over."""
        self._policy, self._door = policy, door
        self._report = report or (lambda _: None)

    @classmethod
    def of(cls, spec: BoxSpec, policy: NetworkPolicy) -> "Front | None":
        """What a box needs under a policy; None: no listener at all."""
        if policy.mode != "allowlist" and spec.door is None:
            return None
        return cls(policy, door=spec.door, report=spec.on_egress)

    def env(self, url: str) -> dict[str, str]:
        """What programs in the box must know. `url`: of the listener, as seen by them."""
        if self._policy.mode != "allowlist":
            return {}
        return {**dict.fromkeys(_PROXY, url), **dict.fromkeys(("no_proxy", "NO_PROXY"), _HERE)}

    async def serve(self, listener: Listener) -> None:
        """Serve until cancelled. The caller owns the listener."""

        async def handle(client: ByteStream) -> None:
            async with client:
                await self._handle(client)

        await listener.serve(handle)

    async def _handle(self, client: ByteStream) -> None:
        began = time.monotonic()
        counts = [0, 0]
        done = EgressConnected(host="", port=0, verdict="failed", reason="no request")
        try:
            head, rest = await _read_head(client)
            if self._door is not None and _is_for_us(head):
                await self._door(Begun(client, head + b"\r\n\r\n" + rest))
                return
            request = _parse(head)
            done = replace(done, host=request.host, port=request.port, reason="cut off")
            async with await _connect(request, self._policy) as server:
                done = replace(done, verdict="allowed", reason="")
                await _join(client, server, (request.forward, rest), counts)
        except _Turned as turned:
            verdict: Literal["refused", "failed"] = (
                "refused" if turned.status.startswith("403") else "failed"
            )
            done = replace(done, verdict=verdict, reason=turned.why)
            await _answer(client, turned)
        except _ENDS as error:
            done = replace(done, reason=str(error) or type(error).__name__)
        finally:
            if done.host:
                self._report(
                    replace(
                        done,
                        sent_bytes=counts[0],
                        received_bytes=counts[1],
                        duration_ms=(time.monotonic() - began) * 1000,
                    )
                )


def _is_for_us(head: bytes) -> bool:
    """Whether the request names a path and no host to go on to."""
    return head.partition(b" ")[2].startswith((b"/", b"* "))


async def _read_head(client: ByteStream) -> tuple[bytes, bytes]:
    buffer = bytearray()
    with anyio.move_on_after(HEAD_S):
        while len(buffer) < HEAD_BYTES:
            buffer += await client.receive(CHUNK)
            head, end, rest = bytes(buffer).partition(b"\r\n\r\n")
            if end:
                return head, rest
    raise _Turned("400 Bad Request", "no complete request came")


def _parse(head: bytes) -> _Request:
    line, *fields = head.decode("latin-1").split("\r\n")
    try:
        method, target, version = line.split(" ")
        url = urlsplit(f"//{target}" if method == "CONNECT" else target)
        host, port = url.hostname, url.port
    except ValueError:
        raise _Turned("400 Bad Request", "not an HTTP request to a proxy") from None
    if method == "CONNECT" and host and port:
        return _Request(host=host, port=port, forward=b"")
    if url.scheme != "http" or not host:
        raise _Turned("400 Bad Request", "only CONNECT and http:// requests are served")
    path = url._replace(scheme="", netloc="", fragment="").geturl() or "/"
    # one request per connection, and its Host is the host that was checked
    ours = ("host", "connection", "keep-alive", "proxy-connection", "proxy-authorization")
    kept = [f for f in fields if f.partition(":")[0].strip().lower() not in ours]
    lines = [f"{method} {path} {version}", f"Host: {url.netloc.rpartition('@')[2]}", *kept]
    text = "\r\n".join([*lines, "Connection: close", "", ""])
    return _Request(host=host, port=port or 80, forward=text.encode("latin-1"))


async def _connect(request: _Request, policy: NetworkPolicy) -> ByteStream:
    """Resolve, check, and connect to what was checked. Raises _Turned."""
    host, port = request.host, request.port
    if not allows(policy, host, port):
        raise _Turned("403 Forbidden", f"{host}:{port} is not on the allow-list of this task")
    refused = False
    try:
        with anyio.fail_after(CONNECT_S):
            found = await anyio.getaddrinfo(host, port)
            for *_, (address, *_rest) in found:
                known = literal(str(address))
                if known is None or not reachable(policy, known, port):
                    refused = True
                    continue
                try:
                    return await anyio.connect_tcp(str(known), port)
                except OSError:
                    continue
    except (OSError, TimeoutError, UnicodeError):
        raise _Turned("502 Bad Gateway", f"{host} cannot be resolved or reached") from None
    if refused:
        raise _Turned(INWARD, f"{host} leads to an address that is not public")
    raise _Turned("502 Bad Gateway", f"{host}:{port} does not answer")


async def _join(
    client: ByteStream, server: ByteStream, first: tuple[bytes, bytes], counts: list[int]
) -> None:
    """Pass bytes both ways until both are done; `counts` grows as they pass."""
    forward, rest = first
    counts[0] += len(rest)
    if not forward:
        await client.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
    if forward or rest:
        await server.send(forward + rest)

    async def copy(source: ByteStream, target: ByteStream, which: int) -> None:
        try:
            while True:
                data = await source.receive(CHUNK)
                counts[which] += len(data)
                await target.send(data)
        except anyio.EndOfStream:
            await _half_close(target)
        except _ENDS:
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(copy, client, server, 0)
        tasks.start_soon(copy, server, client, 1)


async def _half_close(stream: ByteStream) -> None:
    try:
        await stream.send_eof()
    except _ENDS:
        return


async def _answer(client: ByteStream, turned: _Turned) -> None:
    body = f"mechagym: {turned.why}\n"
    text = (
        f"HTTP/1.1 {turned.status}\r\nContent-Type: text/plain\r\n"
        f"Content-Length: {len(body.encode())}\r\nConnection: close\r\n\r\n{body}"
    )
    try:
        await client.send(text.encode())
    except _ENDS:
        return
