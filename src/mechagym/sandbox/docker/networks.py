"""What a box's container is joined to, by policy.

`public`: the engine's default bridge. `no-network`: nothing but its loopback. A box with sidecars
is besides on a network of its own, which is internal and has no address of the host's, so that no
port of the host's can be reached through it.
"""

from collections.abc import Mapping
from typing import Any

from mechagym.errors import LimitRefused, SandboxError
from mechagym.sandbox.base import NetworkPolicy
from mechagym.sandbox.docker.engine import Engine, EngineError

BRIDGE = "bridge"
NONE = "none"


class BoxNetwork:
    """The network of one box, and of the sidecars beside it."""

    def __init__(self, engine: Engine, policy: NetworkPolicy, own: str | None = None) -> None:
        """`own`: the name of the network it shares with its sidecars."""
        self._engine = engine
        self.policy = policy
        self.own = own

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

    async def use(self, container: str, policy: NetworkPolicy) -> None:
        """Enforce another policy on a running container. Raises LimitRefused, SandboxError."""
        if policy.mode == "allowlist":
            raise LimitRefused(
                "docker: an allowlist cannot be set on a box that has another policy"
            )
        if policy.mode != self.policy.mode:
            if policy.mode == "public":
                if not self.own:
                    await self._leave(NONE, container)
                await self._join(BRIDGE, container)
            else:
                await self._leave(BRIDGE, container)
        self.policy = policy

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
