"""Connections to a provider are kept for the next call, the last used first, and not for ever."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from mechagym.llm.gateway import upstream as module
from mechagym.llm.gateway.base import Outbound
from mechagym.llm.gateway.upstream import HttpUpstream
from mechagym.llm.names import ModelName
from mechagym.llm.providers import Provider

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@dataclass
class Server:
    """Says `ok` to each request once `go` is set, and counts who is connected."""

    url: str = ""
    came: int = 0
    clients: list[SocketStream] = field(default_factory=list)
    go: anyio.Event = field(default_factory=anyio.Event)

    async def handle(self, client: SocketStream) -> None:
        self.came += 1
        self.clients.append(client)
        try:
            async with client:
                async for _ in client:  # a request is small: it comes in one piece
                    await self.go.wait()
                    await client.send(OK)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass
        finally:
            self.clients.remove(client)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with served() as serving:
        serving.go.set()
        yield serving


@asynccontextmanager
async def served() -> AsyncIterator[Server]:
    serving = Server()
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        serving.url = f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"
        tasks.start_soon(listener.serve, serving.handle)
        yield serving
        tasks.cancel_scope.cancel()


async def ask(upstream: HttpUpstream, url: str) -> bytes:
    outbound = Outbound(
        model=ModelName("mine", "m"),
        provider=Provider(name="mine", wire="openai-chat", timeout_s=5),
        dialect="openai-chat",
        path="/v1/chat/completions",
        url=f"{url}/v1/chat/completions",
        headers=[],
        body=b"{}",
    )
    async with upstream.send(outbound) as answer:
        return b"".join([chunk async for chunk in answer.chunks()])


async def at_once(upstream: HttpUpstream, serving: Server, count: int) -> None:
    """Have so many calls under way before the first is answered."""
    serving.go = anyio.Event()
    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(ask, upstream, serving.url)
        while len(serving.clients) < count:
            await anyio.sleep(0.001)
        serving.go.set()


async def until_connected(serving: Server, count: int) -> None:
    with anyio.fail_after(5):
        while len(serving.clients) != count:
            await anyio.sleep(0.001)


async def test_a_call_takes_the_connection_of_the_one_before(server: Server):
    async with HttpUpstream() as upstream:
        for _ in range(3):
            assert await ask(upstream, server.url) == b"ok"
        assert server.came == 1
        await at_once(upstream, server, 3)
        await at_once(upstream, server, 3)
        assert server.came == 3
    await until_connected(server, 0)


async def test_more_are_closed_than_are_kept(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "KEPT_CONNECTIONS", 2)
    async with HttpUpstream() as upstream:
        await at_once(upstream, server, 5)
        await until_connected(server, 2)


async def test_who_waits_too_long_is_closed(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "KEPT_S", 0.05)
    async with HttpUpstream() as upstream:
        await at_once(upstream, server, 3)
        await anyio.sleep(0.1)
        assert await ask(upstream, server.url) == b"ok"
        assert server.came == 4
        await until_connected(server, 1)


async def test_a_connection_that_the_provider_closed_is_not_used(server: Server):
    async with HttpUpstream() as upstream:
        assert await ask(upstream, server.url) == b"ok"
        await server.clients[0].aclose()
        await until_connected(server, 0)
        assert await ask(upstream, server.url) == b"ok"
        assert server.came == 2


async def test_each_provider_has_connections_of_its_own(server: Server):
    async with served() as other, HttpUpstream() as upstream:
        other.go.set()
        for _ in range(2):
            await ask(upstream, server.url)
            await ask(upstream, other.url)
        assert (server.came, other.came) == (1, 1)
