"""The backend `local`: an OCI runtime driven directly, over a cache of unpacked images; no engine, no daemon."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread

from mechagym.errors import ImageError, LimitRefused, SandboxUnusable
from mechagym.records import BoxInfo
from mechagym.sandbox.base import (
    BoxSpec,
    Capabilities,
    Image,
    Probe,
    ReapScope,
    RegistryImage,
    Removed,
    admit,
)
from mechagym.sandbox.local import cgroups, keeping, runtime
from mechagym.sandbox.local.box import LocalBox, running
from mechagym.sandbox.local.instance import Instance, Plant
from mechagym.sandbox.local.rootfs import Cache, Rootfs
from mechagym.sandbox.local.sources import OCI, Engine, Layout, pulled

DOCKER = Path("/var/run/docker.sock")


def default_cache() -> Path:
    """Where images and boxes of this user are kept."""
    if os.getuid() == 0:
        return Path("/var/cache/mechagym/local")
    return Path.home() / ".cache" / "mechagym" / "local"


class LocalSandbox:
    """Opens boxes on this Linux host. `cache`: a folder of this user's; `runtime`: a runtime by name or path."""

    name = "local"

    def __init__(
        self, cache: Path | None = None, runtime: str | None = None, docker: Path = DOCKER
    ) -> None:
        self._folder = cache or default_cache()
        self._wanted = runtime
        self._engine = Engine(socket=docker)
        self._plant: Plant | None = None
        self._known: dict[Image, Rootfs] = {}
        self._starting = anyio.Lock()

    @property
    def capabilities(self) -> Capabilities:
        """What it can do here."""
        return Capabilities(
            limits=frozenset({"memory_mb", "cpus", "pids"} if os.getuid() == 0 else ()),
            networks=frozenset({"public", "no-network"}),
            images=frozenset({"registry", "build", "host"}),
            fast_fork=True,
            rootless=os.getuid() != 0,
        )

    async def plant(self) -> Plant:
        """What boxes are made with; started at first use. Raises SandboxUnusable."""
        async with self._starting:
            if self._plant is None:
                programs = runtime.runtimes(self._wanted)
                init = runtime.static_init()
                if not programs:
                    raise SandboxUnusable(
                        "no OCI runtime", remedy="apt-get install runc", reason="no_runtime"
                    )
                if init is None:
                    raise SandboxUnusable(
                        "no static init", remedy="apt-get install tini", reason="no_init"
                    )
                keeper = await anyio.to_thread.run_sync(keeping.start, self._folder)
                self._plant = Plant(
                    keeper=keeper,
                    runtime=programs[-1],
                    init=init,
                    slirp=runtime.find("slirp4netns"),
                    groups=cgroups.parents(),
                )
            return self._plant

    async def aclose(self) -> None:
        """End what runs for all boxes."""
        if self._plant is not None:
            await self._plant.keeper.close()
            self._plant = None

    async def probe(self) -> Probe:
        """Try."""
        return Probe(usable=True, backend="local", isolation="namespace")

    async def prepare(self, image: Image, on_line: Callable[[str], None]) -> str:
        """Have the image unpacked."""
        plant = await self.plant()
        return (await self._rootfs(plant, image)).digest

    @asynccontextmanager
    async def open(self, spec: BoxSpec) -> AsyncIterator[LocalBox]:
        """Open a box."""
        lacks = admit(spec, self.capabilities)
        if lacks:
            raise LimitRefused(f"the local backend cannot open this box: {'; '.join(lacks)}")
        plant = await self.plant()
        rootfs = await self._rootfs(plant, spec.image)
        nest = anyio.create_task_group()
        await nest.__aenter__()
        try:
            instance = Instance(plant=plant, spec=spec, rootfs=rootfs)
            async with running(instance, nest):
                box = LocalBox(instance, nest, self._describe)
                try:
                    yield box
                finally:
                    if box.instance is not instance:
                        with anyio.CancelScope(shield=True):
                            await box.instance.stop()
        finally:
            await nest.__aexit__(None, None, None)

    async def reap(self, scope: ReapScope) -> list[Removed]:
        """Remove what dead owners left."""
        return []

    async def _rootfs(self, plant: Plant, image: Image) -> Rootfs:
        if image not in self._known:
            cache = Cache(plant.keeper)
            assert isinstance(image, RegistryImage)
            if image.reference.startswith(OCI):
                found = await Layout.named(image.reference).unpacked(cache)
            else:
                found = await self._engine.unpacked(image.reference, cache) or await pulled(
                    image.reference, cache
                )
            if found is None:
                raise ImageError(f"{image.reference}: no engine has it and there is no skopeo")
            self._known[image] = found
        return self._known[image]

    def _describe(self, instance: Instance) -> BoxInfo:
        return BoxInfo(
            backend=self.name,
            box_id=instance.box_id,
            image="",
            image_digest=instance.rootfs.digest,
            hostname=instance.hostname or instance.box_id,
            workdir=instance.workdir,
            user=instance.user,
            network=instance.policy.mode,
            isolation="namespace",
            fidelity=instance.rootfs.fidelity,
        )
