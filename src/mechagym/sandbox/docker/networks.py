"""What a box's container is joined to, by policy.

`public`: the engine's default bridge. `no-network`: nothing but its loopback. `allowlist`: nothing
but its loopback, on which a listener leads to our egress proxy: the only way out. A door is on that
listener too; how it gets there stands in `ways`. A box with sidecars is besides on a network of its
own, which is internal and has no address of the host's, so that no port of the host's can be
reached through it.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.abc import TaskGroup, TaskStatus

from mechagym.errors import LimitRefused, SandboxError
from mechagym.sandbox.base import BoxSpec, NetworkPolicy
from mechagym.sandbox.docker.creation import offline
from mechagym.sandbox.docker.engine import Engine, EngineError
from mechagym.sandbox.docker.ways import Inside, Way, Ways
from mechagym.sandbox.egress import Front

BRIDGE = "bridge"
NONE = "none"
CLOSE_S = 15.0


@dataclass(slots=True, eq=False)
class _Serving:
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    over: anyio.Event = field(default_factory=anyio.Event)


class BoxNetwork:
    """The network of one box, and of the sidecars beside it. `env`: what its programs must know."""

    def __init__(
        self, engine: Engine, spec: BoxSpec, *, ways: Ways, own: str | None = None
    ) -> None:
        """`own`: the name of the network it shares with its sidecars."""
        self._engine = engine
        self._spec = spec
        self._ways = ways
        self._serving: _Serving | None = None
        self.policy = spec.network
        self.door: str | None = None
        self.way: Way | None = None
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
        if policy.mode == "public" and offline(self._spec):
            raise LimitRefused("docker: this box was opened to stay offline")
        await self.close()
        if self.policy.mode == "public" and policy.mode != "public":
            await self._leave(BRIDGE, container)
        if policy.mode == "public" and self.policy.mode != "public":
            if not self.own:
                await self._leave(NONE, container)
            await self._join(BRIDGE, container)
        self.policy = policy
        await self.start(container, nest)

    async def close(self) -> None:
        """Shut the way out; nothing of it is left then."""
        self.env = {}
        self.door = self.way = None
        serving, self._serving = self._serving, None
        if serving is not None:
            serving.scope.cancel()
            with anyio.move_on_after(CLOSE_S, shield=True):
                await serving.over.wait()

    async def _listen(self, container: str, front: Front, nest: TaskGroup) -> None:
        serving = _Serving()
        self._serving = serving

        async def serve(*, task_status: TaskStatus[Inside]) -> None:
            try:
                with serving.scope:
                    async with self._ways.open(container) as inside:
                        task_status.started(inside)
                        await front.serve(inside.listener)
                        # a relay died: rather no box than one without its way
                        with suppress(SandboxError):
                            await self._engine.call("POST", f"/containers/{container}/kill")
            finally:
                serving.over.set()

        inside = await nest.start(serve)
        self.env = front.env(inside.url)
        self.way = inside.way
        self.door = inside.url if self._spec.door is not None else None

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
