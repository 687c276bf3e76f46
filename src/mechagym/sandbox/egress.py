"""The way out for boxes on an allow-list: an HTTP proxy that connects to allowed hosts only.

CONNECT tunnels and absolute-form requests; TLS is never opened. The proxy resolves names itself and
connects to the very address it has checked, so a name that changes its mind (DNS rebinding) gains
nothing. Each connection is reported once, when it is over.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol
from urllib.parse import urlsplit

import anyio
from anyio.abc import ByteStream

from mechagym.sandbox.allowlist import allows, literal, reachable
from mechagym.sandbox.base import NetworkPolicy

INWARD = "403 Not a public address"
HEAD_BYTES = 64 * 1024
HEAD_S = 30.0
CONNECT_S = 15.0
CHUNK = 64 * 1024
_ENDS = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One attempt to get out, over. Bytes are those of the tunnel, seen from the box."""

    host: str
    port: int
    verdict: Literal["allowed", "refused", "failed"]
    reason: str = ""
    sent_bytes: int = 0
    received_bytes: int = 0
    duration_ms: float = 0.0


OnConnection = Callable[[Connection], None]


class Listener(Protocol):
    """Where boxes come in: any anyio listener, whatever namespace its socket is in."""

    async def serve(self, handler: Callable[[ByteStream], object]) -> None:
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


async def serve(listener: Listener, policy: NetworkPolicy, on_connection: OnConnection) -> None:
    """Serve one box (or several under one policy) until cancelled. The caller owns the listener."""

    async def handle(client: ByteStream) -> None:
        async with client:
            await _handle(client, policy, on_connection)

    await listener.serve(handle)


async def _handle(client: ByteStream, policy: NetworkPolicy, report: OnConnection) -> None:
    began = time.monotonic()
    counts = [0, 0]
    done = Connection(host="", port=0, verdict="failed", reason="no request")
    try:
        head, rest = await _read_head(client)
        request = _parse(head)
        done = replace(done, host=request.host, port=request.port, reason="cut off")
        async with await _connect(request, policy) as server:
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
            report(
                replace(
                    done,
                    sent_bytes=counts[0],
                    received_bytes=counts[1],
                    duration_ms=(time.monotonic() - began) * 1000,
                )
            )


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
