"""What a box's container is joined to, by policy.

`public`: the engine's default bridge. `no-network`: nothing but its loopback. `allowlist`: nothing
but its loopback, on which a listener leads to our egress proxy: the only way out. A door is on that
listener too. A box with sidecars
is besides on a network of its own, which is internal and has no address of the host's, so that no
port of the host's can be reached through it.
"""

from collections.abc import Mapping
from typing import Any

import anyio
from anyio.abc import SocketListener, TaskGroup

from mechagym.errors import LimitRefused, SandboxError
from mechagym.sandbox.base import BoxSpec, NetworkPolicy
from mechagym.sandbox.docker.creation import offline
from mechagym.sandbox.docker.doors import can_open, listen_inside
from mechagym.sandbox.docker.engine import Engine, EngineError
from mechagym.sandbox.egress import Front

BRIDGE = "bridge"
NONE = "none"
NO_DOOR = "docker: an allowlist is enforced only as root on the engine's own host"


class BoxNetwork:
    """The network of one box, and of the sidecars beside it. `env`: what its programs must know."""

    def __init__(self, engine: Engine, spec: BoxSpec, own: str | None = None) -> None:
        """`own`: the name of the network it shares with its sidecars."""
        self._engine = engine
        self._spec = spec
        self._serving: anyio.CancelScope | None = None
        self.policy = spec.network
        self.door: str | None = None
        self.own = own
        self.env: dict[str, str] = {}

    @property
    def first(self) -> str:
        """The network a container is created in."""
        return self.own or (BRIDGE if self.policy.mode == "public" else NONE)

    @property
    def others(self) -> tuple[str, ...]:
        """What it is joined to besides, before it starts."""
        return (BRIDGE,) if self.own and self.policy.mode == "public" else ()

    async def create(self, labels: Mapping[str, str]) -> None:
        """Make the network of its own, if it has one."""
        if self.own:
            body: dict[str, Any] = {
                "Name": self.own,
                "CheckDuplicate": True,
                "Internal": True,
                "Options": {"com.docker.network.bridge.inhibit_ipv4": "true"},
                "Labels": dict(labels),
            }
            await self._engine.call("POST", "/networks/create", body=body)

    async def remove(self) -> None:
        """Remove it."""
        if self.own:
            try:
                await self._engine.call("DELETE", f"/networks/{self.own}")
            except EngineError as error:
                if error.status != 404:
                    raise

    async def start(self, container: str, nest: TaskGroup) -> None:
        """Open the way out of a box that has just started, where its policy needs one."""
        if front := Front.of(self._spec, self.policy):
            await self._listen(container, front, nest)

    async def use(self, container: str, policy: NetworkPolicy, nest: TaskGroup) -> None:
        """Enforce another policy on a running container. Raises LimitRefused, SandboxError."""
        if policy == self.policy:
            return
        if policy.mode == "allowlist" and not can_open():
            raise LimitRefused(NO_DOOR)
        if policy.mode == "public" and offline(self._spec):
            raise LimitRefused("docker: this box was opened to stay offline")
        self.close()
        if self.policy.mode == "public" and policy.mode != "public":
            await self._leave(BRIDGE, container)
        if policy.mode == "public" and self.policy.mode != "public":
            if not self.own:
                await self._leave(NONE, container)
            await self._join(BRIDGE, container)
        self.policy = policy
        await self.start(container, nest)

    def close(self) -> None:
        """Shut the way out."""
        self.env = {}
        self.door = None
        if self._serving is not None:
            self._serving.cancel()
            self._serving = None

    async def _listen(self, container: str, front: Front, nest: TaskGroup) -> None:
        found = await self._engine.call("GET", f"/containers/{container}/json")
        inside = await listen_inside(found["State"]["Pid"], found["Id"])
        url = f"http://127.0.0.1:{inside.getsockname()[1]}"
        self._serving = scope = anyio.CancelScope()

        async def serve() -> None:
            async with await SocketListener.from_socket(inside) as listener:
                with scope:
                    await front.serve(listener)

        nest.start_soon(serve)
        self.env = front.env(url)
        self.door = url if self._spec.door is not None else None

    async def _join(self, network: str, container: str) -> None:
        body = {"Container": container}
        await self._engine.call("POST", f"/networks/{network}/connect", body=body)

    async def _leave(self, network: str, container: str) -> None:
        body = {"Container": container, "Force": True}
        try:
            await self._engine.call("POST", f"/networks/{network}/disconnect", body=body)
        except SandboxError as error:
            if "is not connected" not in str(error):
                raise
