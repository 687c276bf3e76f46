"""The services beside a box: started before it on a network of their own, removed after it.

They do not die with the controller, as a box does; what is left is the reaper's.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import anyio

from mechagym.errors import SandboxError
from mechagym.sandbox.docker.compose import Compose, Service, Volume
from mechagym.sandbox.docker.creation import Placing, common
from mechagym.sandbox.docker.engine import Engine
from mechagym.sandbox.docker.images import Images
from mechagym.sandbox.docker.networks import BoxNetwork

READY_S = 120.0
CLOSE_S = 10.0
_POLL_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Yard:
    """Where sidecars are started. `name` is the box's; `labels` those of its owner."""

    engine: Engine
    images: Images
    network: BoxNetwork
    name: str
    labels: Mapping[str, str]

    def mount(self, volume: Volume) -> dict[str, Any]:
        """A mount in the engine's words."""
        named = volume.name is not None
        return {
            "Type": "volume" if named else "bind",
            "Source": self._volume(volume.name) if volume.name else str(volume.source),
            "Target": volume.target,
            "ReadOnly": volume.read_only,
        }

    @asynccontextmanager
    async def running(self, compose: Compose) -> AsyncIterator[None]:
        """Start them all, wait until what the box needs is ready; remove them afterwards.

        Raises SandboxError that names the service.
        """
        try:
            await self.network.create(self.labels)
            for name in compose.volume_names:
                body = {"Name": self._volume(name), "Labels": dict(self.labels)}
                await self.engine.call("POST", "/volumes/create", body=body)
            for service in compose.sidecars:
                await self._wait(service.needs)
                await self._start(service)
            await self._wait(compose.needs)
            yield
        finally:
            with anyio.move_on_after(CLOSE_S, shield=True):
                await self._remove(compose)

    async def _start(self, service: Service) -> None:
        image = await self.images.ensure(service.image, lambda _: None)
        placing = Placing(
            image=image.id,
            hostname=service.name,
            network=self.network.first,
            alias=service.name,
            mounts=tuple(map(self.mount, service.volumes)),
        )
        body = common(placing, self.labels)
        body["HostConfig"]["AutoRemove"] = False
        body["Env"] = [f"{k}={v}" for k, v in service.env.items()]
        optional = {
            "Cmd": list(service.command),
            "Entrypoint": list(service.entrypoint),
            "Healthcheck": service.healthcheck,
            "WorkingDir": service.workdir,
            "User": service.user,
        }
        body |= {key: value for key, value in optional.items() if value}
        name = self._container(service.name)
        await self.engine.call("POST", "/containers/create", params={"name": name}, body=body)
        for network in self.network.others:
            join = {"Container": name}
            await self.engine.call("POST", f"/networks/{network}/connect", body=join)
        await self.engine.call("POST", f"/containers/{name}/start")

    async def _wait(self, needs: Mapping[str, str]) -> None:
        for name, condition in needs.items():
            try:
                with anyio.fail_after(READY_S):
                    while not await self._is(name, condition):  # noqa: ASYNC110 – it is in the engine
                        await anyio.sleep(_POLL_S)
            except TimeoutError:
                raise SandboxError(
                    f"sidecar {name}: not {condition} within {READY_S:g} s", reason="sidecar"
                ) from None

    async def _is(self, name: str, condition: str) -> bool:
        path = f"/containers/{self._container(name)}/json"
        state = (await self.engine.call("GET", path))["State"]
        ended = state["Status"] in {"exited", "dead"}
        if ended and (condition != "service_completed_successfully" or state["ExitCode"] != 0):
            raise SandboxError(
                f"sidecar {name} ended with exit code {state['ExitCode']}", reason="sidecar"
            )
        match condition:
            case "service_healthy":
                return bool(state.get("Health", {}).get("Status") == "healthy")
            case "service_completed_successfully":
                return ended
            case _:
                return bool(state["Running"])

    async def _remove(self, compose: Compose) -> None:
        for service in reversed(compose.sidecars):
            with suppress(SandboxError):
                path = f"/containers/{self._container(service.name)}"
                await self.engine.call("DELETE", path, params={"force": "1", "v": "1"})
        for name in compose.volume_names:
            with suppress(SandboxError):
                await self.engine.call("DELETE", f"/volumes/{self._volume(name)}")
        with suppress(SandboxError):
            await self.network.remove()

    def _container(self, service: str) -> str:
        return f"{self.name}-{service}"

    def _volume(self, name: str) -> str:
        return f"{self.name}-{name}"
