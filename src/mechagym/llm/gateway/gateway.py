"""The door to providers for agents that run in boxes: one per process that runs trials.

Keys stay on this side; every call is paid by the ledger of the token that came with it. It serves
any byte stream: sockets on loopback, and those accepted from within a box.
"""

import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ssl import SSLContext
from typing import TYPE_CHECKING, Protocol

import anyio
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSListener

from mechagym.errors import ConfigError
from mechagym.llm.gateway.asking import read_asking
from mechagym.llm.gateway.base import Upstream
from mechagym.llm.gateway.connection import GONE, Connection, Head, LeftError
from mechagym.llm.gateway.grants import Admitted, Grant, Grants, Token
from mechagym.llm.gateway.own import models_page
from mechagym.llm.gateway.refusals import BUSY, ENDED, FAULT, Refused
from mechagym.llm.gateway.relay import CutError, Relay
from mechagym.llm.gateway.routes import Route, dialect_of, route_of
from mechagym.llm.gateway.scripting import ScriptingUpstream
from mechagym.llm.gateway.taping import PlayingUpstream, RecordingUpstream
from mechagym.llm.gateway.upstream import HttpUpstream
from mechagym.llm.providers import Dialect

if TYPE_CHECKING:
    from mechagym.llm.stack import Models

_log = logging.getLogger(__name__)

MAX_CONNECTIONS = 256
"""At once by one door; who comes later waits, and other doors do not notice."""

FAREWELL_S = 5.0


class Listener(Protocol):
    """Where callers come in: any anyio listener, whatever namespace its socket is in."""

    async def serve(self, handler: Callable[[ByteStream], object]) -> None:
        """Accept for ever, each connection in a task of its own."""
        ...


class Gateway:
    """Grants tokens and serves connections. Make one with `open_gateway`."""

    def __init__(self, models: "Models", upstream: Upstream) -> None:
        self._models = models
        self._upstream = upstream
        self._grants = Grants()

    def grant(self, grant: Grant) -> Token:
        """Make the token of one try."""
        return self._grants.add(grant)

    def revoke(self, token: Token) -> None:
        """Kill a token: no new call from now on, and each one under way ends with an error."""
        self._grants.revoke(token)

    @asynccontextmanager
    async def listen(
        self, host: str = "127.0.0.1", *, port: int = 0, tls: SSLContext | None = None
    ) -> AsyncIterator[str]:
        """Serve on one address of this host until the end of the block; gives the URL.

        `tls` holds the certificate to show, for callers on other hosts.

        Raises ConfigError: never on all addresses, and not where none can be bound.
        """
        if host in ("", "0.0.0.0", "::", "*"):  # noqa: S104 – refused
            raise ConfigError(
                f"the gateway does not listen on all addresses ({host!r})",
                remedy="name the one address that callers come by, such as 127.0.0.1",
            )
        try:
            listener = await anyio.create_tcp_listener(local_host=host, local_port=port)
        except OSError as error:
            raise ConfigError(f"the gateway cannot listen on {host}:{port}: {error}") from error
        port = listener.extra(SocketAttribute.local_port)  # noqa: S610 – anyio's, not Django's
        shown = f"[{host}]" if ":" in host else host
        served = TLSListener(listener, tls, standard_compatible=False) if tls else listener
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(self.accept, served)
            yield f"{'https' if tls else 'http'}://{shown}:{port}"
            tasks.cancel_scope.cancel()

    async def accept(self, listener: Listener) -> None:
        """Serve all who come by a listener, until cancelled. The caller owns it."""
        door = anyio.Semaphore(MAX_CONNECTIONS)

        async def handle(stream: ByteStream) -> None:
            async with stream, door:
                await self.serve(stream)

        await listener.serve(handle)

    async def serve(self, stream: ByteStream) -> None:
        """Serve one connection until its end. The caller closes it."""
        client = Connection(stream)
        head: Head | None = None
        try:
            while True:
                head = await client.next_head()
                if head is None:
                    return
                await self._answer(client, head)
                if not client.reusable:
                    return
        except Refused as refused:
            await _tell(client, refused, dialect_of(head) if head else "openai-chat")
        except (LeftError, CutError, *GONE):
            return

    async def _answer(self, client: Connection, head: Head) -> None:
        """Answer one request. Raises Refused, LeftError, CutError."""
        dialect = dialect_of(head)
        try:
            route = route_of(head)
            if route.kind == "health":
                await client.body(head)
                await client.answer(200, [])
                return
            admitted = self._grants.admit(head.headers)
            if route.kind == "models":
                await client.body(head)
                page = models_page(admitted.grant, route)
                await client.answer(200, [(b"content-type", b"application/json")], page)
                return
            raw = await client.body(head)
            await self._relayed(client, admitted, asked=_Asked(head=head, route=route, raw=raw))
        except (LeftError, CutError):
            raise
        except Exception as error:
            refused = error if isinstance(error, Refused) else _fault(error)
            if client.began:
                raise CutError from error
            await _tell(client, refused, dialect)

    async def _relayed(self, client: Connection, admitted: Admitted, *, asked: "_Asked") -> None:
        """Relay one request while its client is there and its token lives."""
        if len(admitted.under_way) >= admitted.grant.max_streams:
            raise Refused(BUSY, f"{admitted.grant.max_streams} calls are under way on this token")
        scope = anyio.CancelScope()
        admitted.under_way.add(scope)
        try:
            with scope:
                if admitted.dead:
                    scope.cancel()
                await _while_there(client, self._relay(client, admitted.grant, asked=asked))
        finally:
            admitted.under_way.discard(scope)
        if scope.cancelled_caught:
            await _farewell(client, asked.route.dialect)

    async def _relay(self, client: Connection, grant: Grant, *, asked: "_Asked") -> None:
        asking = await read_asking(
            self._models, grant, head=asked.head, route=asked.route, raw=asked.raw
        )
        relay = Relay(self._models, self._upstream, client)
        if asked.route.kind == "count":
            await relay.count(asking)
        else:
            await relay.work(asking)


@asynccontextmanager
async def open_gateway(models: "Models") -> AsyncIterator[Gateway]:
    """A gateway over a job's prices, keys and pace, with its tape if it has one."""
    async with HttpUpstream(models.settings.outgoing) as http:
        upstream: Upstream = http
        if models.tape is not None:
            upstream = RecordingUpstream(upstream, models.tape)
        yield Gateway(models, PlayingUpstream(ScriptingUpstream(upstream), models.open_tape))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A request, whole."""

    head: Head
    route: Route
    raw: bytes


async def _while_there(client: Connection, work: Coroutine[None, None, None]) -> None:
    """Do something as long as the client stays. Raises what it raises, and LeftError."""
    left = False
    failed: Exception | None = None

    async def watch() -> None:
        nonlocal left
        await client.gone()
        left = True
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        try:
            await work
        except Exception as error:  # noqa: BLE001 – raised below, not as a group
            failed = error
        tasks.cancel_scope.cancel()
    if failed is not None:
        raise failed
    if left:
        raise LeftError


def _fault(error: Exception) -> Refused:
    """A bug of ours ends one call, and is told here; the other trials go on."""
    _log.error("the gateway failed in a call", exc_info=error)
    return Refused(FAULT, f"the gateway itself failed ({type(error).__name__}); see its log")


async def _tell(client: Connection, refused: Refused, dialect: Dialect) -> None:
    try:
        await client.answer(refused.status(dialect), refused.headers(), refused.body(dialect))
    except LeftError:
        return


async def _farewell(client: Connection, dialect: Dialect) -> None:
    """Tell a caller whose token died that it did, be it in the middle of a stream."""
    refused = Refused(ENDED, "the trial is over, and so is this call")
    with anyio.move_on_after(FAREWELL_S):
        if not client.began:
            await _tell(client, refused, dialect)
        elif client.streams:
            await client.send(refused.event(dialect))
            await client.end()
    if not client.reusable:
        raise CutError
