"""The backend `local`: an OCI runtime driven directly, over a cache of unpacked images; no engine,
no daemon.
"""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread

from mechagym.errors import LimitRefused, SandboxUnusable
from mechagym.records import BoxInfo
from mechagym.sandbox.base import (
    BoxSpec,
    BuildImage,
    Capabilities,
    HostRoot,
    Image,
    NetworkMode,
    Probe,
    ReapScope,
    RegistryImage,
    Removed,
    admit,
)
from mechagym.sandbox.eviction import IMAGE_CACHE_BYTES
from mechagym.sandbox.health import wait_healthy
from mechagym.sandbox.local import cgroups, keeping, reaping
from mechagym.sandbox.local.box import LocalBox, running
from mechagym.sandbox.local.images import Images
from mechagym.sandbox.local.instance import Instance
from mechagym.sandbox.local.keeping import Keeper
from mechagym.sandbox.local.plant import Plant, found
from mechagym.sandbox.local.rootfs import Cache, Rootfs
from mechagym.sandbox.local.sources import Engine

DOCKER = Path("/var/run/docker.sock")
NETWORKS: tuple[NetworkMode, ...] = ("public", "no-network", "allowlist")
_LIMITS = ("cpus", "memory_mb", "storage_mb", "pids")


def default_cache() -> Path:
    """Where images and boxes of this user are kept."""
    if os.getuid() == 0:
        return Path("/var/cache/mechagym/local")
    return Path.home() / ".cache" / "mechagym" / "local"


class LocalSandbox:
    """Opens boxes on this Linux host. `cache`: a folder of this user's, whose images may take
    `keep_bytes`; `runtime`: a runtime by name or path.
    """

    name = "local"

    def __init__(
        self,
        cache: Path | None = None,
        runtime: str | None = None,
        *,
        docker: Path = DOCKER,
        keep_bytes: int = IMAGE_CACHE_BYTES,
    ) -> None:
        self._folder = cache or default_cache()
        self._keep_bytes = keep_bytes
        self._wanted = runtime
        self._engine = Engine(socket=docker)
        self._plant: Plant | None = None
        self._images: Images | None = None
        self._starting = anyio.Lock()

    @property
    def capabilities(self) -> Capabilities:
        """What it can do here; valid after `probe`."""
        plant = self._plant
        return Capabilities(
            limits=plant.limits if plant else frozenset(),
            networks=frozenset(NETWORKS if plant and plant.slirp else NETWORKS[1:]),
            images=frozenset({"registry", "build", "host"}),
            fast_fork=True,
            door=True,
            rootless=os.getuid() != 0,
        )

    async def plant(self) -> Plant:
        """What boxes are made with; started at first use, again if it died. Raises
        SandboxUnusable.
        """
        async with self._starting:
            if self._plant is None or not self._plant.keeper.alive:
                self._plant = await found(self._folder, self._wanted)
                self._images = Images(
                    cache=Cache(self._plant.keeper),
                    engine=self._engine,
                    open_on=self._open_on,
                    has_network=self._plant.slirp is not None,
                    keep_bytes=self._keep_bytes,
                )
            return self._plant

    async def aclose(self) -> None:
        """End what runs for all boxes; the next use starts it again."""
        plant, self._plant, self._images = self._plant, None, None
        if plant is not None:
            await plant.keeper.close()

    async def probe(self) -> Probe:
        """Try for real: namespaces, an overlay, a runtime that starts a process in them."""
        try:
            plant = await self.plant()
        except SandboxUnusable as error:
            return Probe(usable=False, backend=self.name, reason=error.message, remedy=error.remedy)
        return Probe(
            usable=True, backend=self.name, isolation="namespace", evidence=_evidence(plant)
        )

    async def prepare(self, image: Image, on_line: Callable[[str], None]) -> str:
        """Have the image unpacked; returns its digest. Raises ImageError, NoSpace."""
        async with self._using(image, on_line) as rootfs:
            return rootfs.digest

    @asynccontextmanager
    async def open(self, spec: BoxSpec) -> AsyncIterator[LocalBox]:
        """Open a box. Raises LimitRefused, ImageError, NoSpace, SandboxError."""
        await self.plant()
        lacks = admit(spec, self.capabilities)
        if lacks:
            notes = "; ".join((await self.plant()).notes)
            raise LimitRefused(
                f"the local backend cannot open this box: {'; '.join(lacks)}", remedy=notes
            )
        async with (
            self._using(spec.image, lambda _: None) as rootfs,
            self._open_on(rootfs, spec) as box,
        ):
            yield box

    async def reap(self, scope: ReapScope) -> list[Removed]:
        """Remove what dead owners left: ours only. Raises SandboxUnusable where we cannot."""
        return await reaping.reap(self._folder, scope, self._keeper)

    @asynccontextmanager
    async def _keeper(self) -> AsyncIterator[Keeper]:
        """The keeper that runs, or one for the moment: to clean up, no runtime is needed."""
        if self._plant is not None:
            yield self._plant.keeper
            return
        keeper = await anyio.to_thread.run_sync(keeping.start, self._folder)
        try:
            yield keeper
        finally:
            with anyio.CancelScope(shield=True):
                await keeper.close()

    @asynccontextmanager
    async def _using(self, image: Image, say: Callable[[str], None]) -> AsyncIterator[Rootfs]:
        await self.plant()
        assert self._images is not None
        async with self._images.using(image, say) as rootfs:
            yield rootfs

    @asynccontextmanager
    async def _open_on(self, rootfs: Rootfs, spec: BoxSpec) -> AsyncIterator[LocalBox]:
        plant = await self.plant()
        nest = anyio.create_task_group()
        await nest.__aenter__()
        try:
            first = Instance(plant=plant, spec=spec, rootfs=rootfs)
            async with running(first, nest):
                box = LocalBox(first, nest, self._describe)
                try:
                    if spec.healthcheck is not None:
                        await wait_healthy(box, spec.healthcheck)
                    yield box
                finally:
                    await box.end_adopted(first)
        finally:
            await nest.__aexit__(None, None, None)

    def _describe(self, instance: Instance) -> BoxInfo:
        spec, rootfs = instance.spec, instance.rootfs
        limits = spec.limits
        asked = {n: float(v) for n in _LIMITS if (v := getattr(limits, n)) is not None}
        here = self.capabilities.limits
        return BoxInfo(
            backend=self.name,
            box_id=instance.box_id,
            image=_name(spec.image),
            image_digest=rootfs.digest,
            hostname=instance.hostname or instance.box_id,
            workdir=instance.workdir,
            user=instance.user,
            network=instance.policy.mode,
            door=instance.network.door if instance.network else None,
            isolation="namespace",
            fidelity=rootfs.fidelity,
            limits_asked=asked,
            limits_enforced={name: value for name, value in asked.items() if name in here},
            notes=rootfs.notes,
        )


def _name(image: Image) -> str:
    match image:
        case RegistryImage(reference=reference):
            return reference
        case BuildImage(context=context):
            return f"build of {context}"
        case HostRoot():
            return "host"


def _evidence(plant: Plant) -> tuple[str, ...]:
    limits = ", ".join(sorted(plant.groups)) or cgroups.NONE
    return (
        f"{plant.runtime} started a process with an overlay root in namespaces of its own",
        f"root in a box is id {plant.keeper.owner} on the host",
        f"control groups: {limits}",
        *plant.notes,
    )
