"""The backend `docker`: any engine that speaks Docker's API 1.41 or later, over its socket.

A client binary proves nothing and is not used: usable means that the daemon answers.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio

from mechagym.errors import LimitRefused, SandboxError, SandboxUnusable
from mechagym.records import new_id
from mechagym.sandbox.base import (
    BoxSpec,
    Capabilities,
    Image,
    NetworkMode,
    Probe,
    ReapScope,
    Removed,
    admit,
)
from mechagym.sandbox.docker.box import DockerBox, Plan, running
from mechagym.sandbox.docker.compose import read
from mechagym.sandbox.docker.engine import Engine
from mechagym.sandbox.docker.images import Facts, Images, hash_of
from mechagym.sandbox.docker.networks import BoxNetwork
from mechagym.sandbox.docker.openings import Openings
from mechagym.sandbox.docker.reaping import sweep
from mechagym.sandbox.docker.sidecars import Yard
from mechagym.sandbox.docker.ways import Way, Ways
from mechagym.sandbox.eviction import IMAGE_CACHE_BYTES
from mechagym.sandbox.health import wait_healthy
from mechagym.sandbox.owner import owner_labels

_LIMITS = {"memory_mb": "MemoryLimit", "cpus": "CpuCfsQuota", "pids": "PidsLimit"}


class DockerSandbox:
    """Opens boxes on a Docker engine.

    `host`: `unix://PATH` or `tcp://HOST:PORT`; default: the usual socket. `cache`: a folder for
    locks and for what is known of our images, which may take `keep_bytes` in all. `ways`: how a
    listener may get into a box, the first that works.
    """

    name = "docker"

    def __init__(
        self,
        host: str | None = None,
        cache: Path | None = None,
        *,
        keep_bytes: int = IMAGE_CACHE_BYTES,
        ways: tuple[Way, ...] = ("socket", "relay"),
    ) -> None:
        self._engine = Engine(host)
        self._ways = Ways(self._engine, ways)
        folder = cache or Path.home() / ".cache" / "mechagym" / "docker"
        self._images = Images(self._engine, folder, keep_bytes)
        self._openings = Openings(folder / "open" / hash_of(self._engine.host)[:8])
        self._info: dict[str, Any] = {}

    @property
    def capabilities(self) -> Capabilities:
        """What it can do here; valid after `probe`.

        Storage is not among the limits: overlay2 has no quota without a special file system.
        """
        security = self._info.get("SecurityOptions") or ()
        networks: frozenset[NetworkMode] = frozenset({"public", "no-network"})
        return Capabilities(
            limits=frozenset(n for n, key in _LIMITS.items() if self._info.get(key, True)),
            networks=networks | {"allowlist"} if self._ways.possible else networks,
            images=frozenset({"registry", "build"}),
            compose=True,
            door=self._ways.possible,
            rootless=any("rootless" in option for option in security),
        )

    async def probe(self) -> Probe:
        """Ask the daemon, not the client."""
        try:
            version = await self._engine.version()
            info = await self._ready()
        except SandboxUnusable as error:
            return Probe(usable=False, backend=self.name, reason=error.message, remedy=error.remedy)
        except SandboxError as error:
            return Probe(usable=False, backend=self.name, reason=error.message)
        security = ", ".join(o.removeprefix("name=") for o in info.get("SecurityOptions") or ())
        evidence = (
            f"engine {version.get('Version', '?')} at {self._engine.host}",
            f"API {version['ApiVersion']}",
            f"storage {info.get('Driver', '?')}, cgroups v{info.get('CgroupVersion', '1')}",
            f"security: {security or 'none declared'}",
        )
        return Probe(usable=True, backend=self.name, isolation="container", evidence=evidence)

    async def prepare(self, image: Image, on_line: Callable[[str], None]) -> str:
        """Have the image at hand; its digest."""
        return (await self._images.ensure(image, on_line)).digest

    @asynccontextmanager
    async def open(self, spec: BoxSpec) -> AsyncIterator[DockerBox]:
        """Open a box; see `Sandbox.open`."""
        info = await self._ready()
        lacks = admit(spec, self.capabilities)
        if lacks:
            raise LimitRefused(f"docker cannot open this box: {'; '.join(lacks)}")
        async with (
            self._images.using(spec.image, lambda _: None) as image,
            self._on(image, spec, info) as box,
        ):
            yield box

    @asynccontextmanager
    async def _on(
        self, image: Facts, spec: BoxSpec, info: dict[str, Any]
    ) -> AsyncIterator[DockerBox]:
        box_id = new_id().lower()
        plan = Plan(
            engine=self._engine,
            ways=self._ways,
            spec=spec,
            image=image,
            box_id=box_id,
            hostname=box_id,
            host_cpus=info.get("NCPU"),
            limits_enforced=self.capabilities.limits,
        )
        with self._openings.noted(plan.name, owner_labels(spec.labels)):
            # entered by hand: `async with` would wrap the body's errors in a group
            nest = anyio.create_task_group()
            await nest.__aenter__()
            try:
                async with (
                    self._surrounded(plan) as (plan, network),
                    running(plan, network, nest) as box,
                ):
                    if spec.healthcheck is not None:
                        await wait_healthy(box, spec.healthcheck)
                    yield box
            finally:
                await nest.__aexit__(None, None, None)

    @asynccontextmanager
    async def _surrounded(self, plan: Plan) -> AsyncIterator[tuple[Plan, BoxNetwork]]:
        """The box's network, with its sidecars running where it has any."""
        spec = plan.spec
        if spec.compose is None:
            yield plan, BoxNetwork(self._engine, spec, ways=self._ways)
            return
        compose = read(spec.compose)
        network = BoxNetwork(self._engine, spec, ways=self._ways, own=plan.name)
        yard = Yard(
            engine=self._engine,
            images=self._images,
            network=network,
            name=plan.name,
            labels=owner_labels(spec.labels),
        )
        mounts = tuple(map(yard.mount, compose.volumes))
        with_env = replace(spec, env={**compose.env, **spec.env})
        async with yard.running(compose):
            yield replace(plan, spec=with_env, mounts=mounts), network

    async def reap(self, scope: ReapScope) -> list[Removed]:
        """Remove what dead owners left."""
        return await sweep(self._engine, self._images, self._openings, scope=scope)

    async def _ready(self) -> dict[str, Any]:
        if not self._info:
            self._info = await self._engine.call("GET", "/info")
        return self._info
