"""The provider over the network: one attempt per call, byte for byte, given up when left.

Connections are kept between calls. Nothing is decoded, followed or repeated.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import anyio
import httpx2

from mechagym.llm.faults import Fault, FaultKind
from mechagym.llm.gateway.base import Outbound, UpstreamError
from mechagym.llm.gateway.refusals import Headers
from mechagym.llm.outgoing import CONNECT_S, Outgoing

KEPT_CONNECTIONS = 64
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)


@dataclass(slots=True, eq=False)
class HttpUpstream:
    """Reaches providers as `outgoing` says. An async context; leaving it closes connections."""

    outgoing: Outgoing = field(default_factory=Outgoing)
    _clients: dict[str | None, httpx2.AsyncClient] = field(default_factory=dict, init=False)
    _open: AsyncExitStack = field(default_factory=AsyncExitStack, init=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self._open.aclose()

    @asynccontextmanager
    async def send(self, outbound: Outbound) -> AsyncIterator["HttpAnswer"]:
        """Send a request once. Raises UpstreamError."""
        provider = outbound.provider
        timeout = httpx2.Timeout(provider.timeout_s, connect=CONNECT_S, pool=None)
        request = httpx2.Request(
            "POST",
            outbound.url,
            headers=outbound.headers,
            content=outbound.body,
            extensions={"timeout": timeout.as_dict()},
        )
        client = self._client(self.outgoing.proxy_for(outbound.url))
        first_s = provider.first_output_s if outbound.stream else None
        try:
            with anyio.fail_after(first_s):
                response = await client.send(request, stream=True)
        except (httpx2.HTTPError, TimeoutError) as error:
            raise _failed(error) from error
        try:
            yield HttpAnswer(response)
        finally:
            with anyio.CancelScope(shield=True):
                await response.aclose()

    def _client(self, proxy: str | None) -> httpx2.AsyncClient:
        if proxy not in self._clients:
            client = httpx2.AsyncClient(
                proxy=proxy,
                verify=self.outgoing.trust(),
                trust_env=False,
                follow_redirects=False,
                limits=httpx2.Limits(max_keepalive_connections=KEPT_CONNECTIONS),
            )
            self._clients[proxy] = client
            self._open.push_async_callback(client.aclose)
        return self._clients[proxy]


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer that is coming."""

    response: httpx2.Response

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.response.status_code

    @property
    def headers(self) -> Headers:
        """As they came."""
        return self.response.headers.raw

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises UpstreamError."""
        try:
            async for chunk in self.response.aiter_raw():
                yield chunk
        except httpx2.HTTPError as error:
            raise _failed(error) from error


def _failed(error: Exception) -> UpstreamError:
    kind: FaultKind = "not_sent" if isinstance(error, _NOT_SENT) else "lost"
    what = type(error).__name__
    return UpstreamError(Fault(kind=kind, error=what, message=str(error) or what))
