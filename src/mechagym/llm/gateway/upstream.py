"""The provider over the network: one attempt per call, byte for byte, given up when left.

Connections are kept between calls. Nothing is decoded, followed or repeated: so this stands on the
pool of connections below the HTTP client, and not on the client.
"""

import ssl
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from types import TracebackType
from typing import Self

import anyio
import httpcore2
import httpx2

from mechagym.llm.faults import Fault, FaultKind
from mechagym.llm.gateway.base import Outbound, UpstreamError
from mechagym.llm.gateway.refusals import Headers
from mechagym.llm.outgoing import CONNECT_S, Outgoing

KEPT_CONNECTIONS = 64
KEPT_S = 60.0
"""How long a connection waits for the next call: agents use their tools in between."""

_NOT_SENT = (
    httpcore2.ConnectError,
    httpcore2.ConnectTimeout,
    httpcore2.PoolTimeout,
    httpcore2.ProxyError,
)
_BROKEN = (
    httpcore2.TimeoutException,
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.ProxyError,
)


_Way = tuple[str, str | None]
"""An origin, and the proxy that leads there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Idle:
    """A connection that waits, since when on the loop's clock."""

    since: float
    line: httpcore2.AsyncConnectionPool


@dataclass(slots=True, eq=False)
class HttpUpstream:
    """Reaches providers as `outgoing` says. An async context; leaving it closes connections.

    Each connection is a pool of one: a pool of many looks at all that are idle before each call.
    """

    outgoing: Outgoing = field(default_factory=Outgoing)
    _idle: dict[_Way, deque[_Idle]] = field(default_factory=lambda: defaultdict(deque), init=False)
    _trust: ssl.SSLContext | None = field(default=None, init=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with anyio.CancelScope(shield=True):
            for idle in self._idle.values():
                await _close(idle, keep=0)

    @asynccontextmanager
    async def send(self, outbound: Outbound) -> AsyncIterator["HttpAnswer"]:
        """Send a request once. Raises UpstreamError."""
        request = _request(outbound)
        way = (str(request.url.origin), self.outgoing.proxy_for(outbound.url))
        first_s = outbound.provider.first_output_s if outbound.stream else None
        async with self._line(way) as line:
            try:
                with anyio.fail_after(first_s):
                    response = await line.handle_async_request(request)
            except (*_BROKEN, TimeoutError) as error:
                raise _failed(error) from error
            try:
                yield HttpAnswer(response)
            finally:
                with anyio.CancelScope(shield=True):
                    await response.aclose()

    @asynccontextmanager
    async def _line(self, way: _Way) -> AsyncIterator[httpcore2.AsyncConnectionPool]:
        """The connection that was idle for the shortest time, or a new one."""
        idle = self._idle[way]
        line = idle.pop().line if idle else self._new_line(way)
        try:
            yield line
        finally:
            idle.append(_Idle(since=anyio.current_time(), line=line))
            with anyio.CancelScope(shield=True):
                await _close(idle, keep=KEPT_CONNECTIONS)

    def _new_line(self, way: _Way) -> httpcore2.AsyncConnectionPool:
        if self._trust is None:
            self._trust = httpx2.create_ssl_context(self.outgoing.trust(), trust_env=False)
        _, proxy = way
        return httpcore2.AsyncConnectionPool(
            ssl_context=self._trust,
            proxy=_proxy(proxy) if proxy else None,
            max_connections=1,
            keepalive_expiry=KEPT_S,
            network_backend=httpcore2.AnyIOBackend(),
        )


async def _close(idle: deque[_Idle], *, keep: int) -> None:
    """Close what is more than is kept, and what nobody wanted for long."""
    while idle and (len(idle) > keep or idle[0].since < anyio.current_time() - KEPT_S):
        await idle.popleft().line.aclose()


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer that is coming."""

    response: httpcore2.Response

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.response.status

    @property
    def headers(self) -> Headers:
        """As they came."""
        return self.response.headers

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises UpstreamError."""
        try:
            async for chunk in self.response.aiter_stream():
                yield chunk
        except _BROKEN as error:
            raise _failed(error) from error


def _request(outbound: Outbound) -> httpcore2.Request:
    url, host = _target(outbound.url)
    whole_s = outbound.provider.timeout_s
    return httpcore2.Request(
        "POST",
        url,
        headers=[
            (b"host", host),
            *outbound.headers,
            (b"content-length", str(len(outbound.body)).encode()),
        ],
        content=outbound.body,
        extensions={"timeout": {"connect": CONNECT_S, "read": whole_s, "write": whole_s}},
    )


@lru_cache(maxsize=64)
def _target(url: str) -> tuple[httpcore2.URL, bytes]:
    """Where a URL leads to, and the host as it is named there."""
    read = httpx2.URL(url)
    return _bare(read), read.netloc


def _proxy(url: str) -> httpcore2.Proxy:
    read = httpx2.Proxy(url)
    return httpcore2.Proxy(_bare(read.url), auth=read.raw_auth)


def _bare(url: httpx2.URL) -> httpcore2.URL:
    return httpcore2.URL(
        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
    )


def _failed(error: Exception) -> UpstreamError:
    kind: FaultKind = "not_sent" if isinstance(error, _NOT_SENT) else "lost"
    what = type(error).__name__
    return UpstreamError(Fault(kind=kind, error=what, message=str(error) or what))
