"""Ways into a box that has no network: a listener on its own loopback that our process serves.

`socket`: we listen in the box's network namespace ourselves; for root on the engine's own host.
`relay`: a container that shares the box's network listens there and carries what comes over its
stdio; for whoever may speak to the engine, wherever that runs. Neither gives the box a route, an
address or a name of anything else, so nothing of the host's can be reached by it.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

import anyio
from anyio.abc import SocketListener

from mechagym.errors import LimitRefused, SandboxError
from mechagym.sandbox.docker.channel import DockerChannel
from mechagym.sandbox.docker.creation import Body, relay_body
from mechagym.sandbox.docker.doors import can_open, listen_inside
from mechagym.sandbox.docker.engine import Engine, EngineError
from mechagym.sandbox.docker.relay import Relay
from mechagym.sandbox.egress import Listener
from mechagym.sandbox.owner import MARK

Way = Literal["socket", "relay"]
FALLBACK = "debian:bookworm-slim"
"""What a relay is run from where the box's own image has no perl; never pulled for it."""

READY_S = 20.0
CLOSE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """A listener in a box: `url` as the box sees it, and the way by which we serve it."""

    url: str
    listener: Listener
    way: Way


@dataclass(frozen=True, slots=True)
class Ways:
    """The ways that may be tried, in this order."""

    engine: Engine
    allowed: tuple[Way, ...] = ("socket", "relay")

    @property
    def possible(self) -> bool:
        """Whether one may work here; whether it does is known once it is tried."""
        return "relay" in self.allowed or can_open()

    @asynccontextmanager
    async def open(self, container: str) -> AsyncIterator[Inside]:
        """Listen in a running container by the first way that works.

        Raises LimitRefused with the reason of each, SandboxError.
        """
        box = await self.engine.call("GET", f"/containers/{container}/json")
        async with AsyncExitStack() as stack:
            yield await self._first(box, stack)

    async def _first(self, box: dict[str, Any], stack: AsyncExitStack) -> Inside:
        images = dict.fromkeys((box["Image"], FALLBACK))
        tries = {
            "socket": [_socket(box)],
            "relay": [_relay(self.engine, box, image) for image in images],
        }
        reasons = []
        for way in self.allowed:
            for candidate in tries[way]:
                try:
                    return await stack.enter_async_context(candidate)
                except _NoWayError as error:
                    reasons.append(f"{way}: {error}")
        raise LimitRefused(
            f"docker: there is no way into this box ({'; '.join(reasons)})",
            remedy=f"docker pull {FALLBACK}: a relay is run from it",
            reason="no_way_in",
        )


class _NoWayError(Exception):
    """This way does not work for this box, for the reason it says."""


@asynccontextmanager
async def _socket(box: dict[str, Any]) -> AsyncIterator[Inside]:
    if not can_open():
        raise _NoWayError("it needs root")
    try:
        inside = await listen_inside(box["State"]["Pid"], box["Id"])
    except SandboxError as error:
        raise _NoWayError(error.message) from error
    url = f"http://127.0.0.1:{inside.getsockname()[1]}"
    async with await SocketListener.from_socket(inside) as listener:
        yield Inside(url=url, listener=listener, way="socket")


@asynccontextmanager
async def _relay(engine: Engine, box: dict[str, Any], image: str) -> AsyncIterator[Inside]:
    name = f"{box['Name'].lstrip('/')}-way"
    program = resources.files(__package__).joinpath("relay.pl").read_text("utf-8")
    labels = {k: v for k, v in box["Config"]["Labels"].items() if k.split(".")[0] == MARK}
    body = relay_body(box["Id"], image, ["perl", "-e", program], labels)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(_removed, engine, name)
        try:
            channel = await _started(engine, name, body)
        except EngineError as error:
            raise _NoWayError(f"none from {image[:19]}: {error.said}") from error
        stack.push_async_callback(_closed, channel)
        relay = Relay(channel)
        port = None
        with anyio.move_on_after(READY_S):
            port = await relay.ready()
        if port is None:
            raise _NoWayError(f"none from {image[:19]}: {relay.said or 'it does not answer'}")
        yield Inside(url=f"http://127.0.0.1:{port}", listener=relay, way="relay")


async def _started(engine: Engine, name: str, body: Body) -> DockerChannel:
    with anyio.CancelScope(shield=True):  # a broken-off request may still make one
        await engine.call("POST", "/containers/create", params={"name": name}, body=body)
    streams = dict.fromkeys(("stream", "stdin", "stdout", "stderr"), "1")
    channel = await engine.hijack(f"/containers/{name}/attach", None, **streams)
    try:
        await engine.call("POST", f"/containers/{name}/start")
    except BaseException:
        await _closed(channel)
        raise
    return channel


async def _closed(channel: DockerChannel) -> None:
    with anyio.CancelScope(shield=True):
        await channel.aclose()


async def _removed(engine: Engine, name: str) -> None:
    """Remove a relay; what does not go within 10 s is the reaper's work."""
    path = f"/containers/{name}"
    with anyio.move_on_after(CLOSE_S, shield=True), suppress(SandboxError):
        try:
            await engine.call("DELETE", path, params={"force": "1"})
        except EngineError as error:
            if error.status == 409:  # it has ended, and the engine is at it
                await engine.call("POST", f"{path}/wait", params={"condition": "removed"})
