"""From what a spec calls an image to a root file system in the cache, made or fetched once."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace

import anyio.to_thread

from mechagym.errors import ImageError
from mechagym.sandbox.base import BoxSpec, BuildImage, HostRoot, Image, RegistryImage
from mechagym.sandbox.local import building, dockerfile, shelf
from mechagym.sandbox.local.box import LocalBox
from mechagym.sandbox.local.hostroot import host_rootfs
from mechagym.sandbox.local.rootfs import Cache, Rootfs, short
from mechagym.sandbox.local.sources import OCI, Engine, Layout, pulled

Say = Callable[[str], None]
OpenOn = Callable[[Rootfs, BoxSpec], AbstractAsyncContextManager[LocalBox]]
"""Open a box on a root file system, for a build to run in."""

MAKE_TRIES = 3


@dataclass(slots=True, eq=False)
class Images:
    """The images of one sandbox; what was resolved once is not asked for again.

    With each that is made the others have to fit into `keep_bytes`.
    """

    cache: Cache
    engine: Engine
    open_on: OpenOn
    has_network: bool
    keep_bytes: int
    _known: dict[Image, Rootfs] = field(default_factory=dict)

    @asynccontextmanager
    async def using(self, image: Image, say: Say) -> AsyncIterator[Rootfs]:
        """Have it unpacked for as long as this lasts. Raises ImageError, NoSpace."""
        for _ in range(MAKE_TRIES):  # it may be evicted before it can be used
            found = self._known.get(image)
            if found is None:
                found = self._known[image] = await self._resolve(image, say)
            async with self.cache.using(found.digest) as is_there:
                if is_there:
                    await self._make_room()
                    yield found
                    return
            self._known.pop(image, None)
        raise ImageError(
            "an image was evicted as soon as it was made, again and again",
            remedy="give the images more room: the setting image_cache_gb",
        )

    async def _make_room(self) -> None:
        if self.cache.has_grown:
            self.cache.has_grown = False
            await shelf.trim(self.cache.keeper, self.keep_bytes)

    async def _resolve(self, image: Image, say: Say) -> Rootfs:
        match image:
            case RegistryImage(reference=reference):
                return await self._registry(reference, say)
            case HostRoot(context=None):
                return await host_rootfs(self.cache)
            case HostRoot() | BuildImage():
                return await self._built(image, say)

    async def _registry(self, reference: str, say: Say) -> Rootfs:
        if reference.startswith(OCI):
            return await Layout.named(reference).unpacked(self.cache)
        found = await self.engine.unpacked(reference, self.cache)
        if found is None:
            say(f"pulling {reference}")
            found = await pulled(reference, self.cache)
        if found is None:
            raise ImageError(
                f"{reference}: no engine on this host has it, and there is no skopeo to pull it",
                remedy="apt-get install skopeo, or name an OCI layout: oci:FOLDER",
                reason="no_image",
            )
        return found

    async def _built(self, image: HostRoot | BuildImage, say: Say) -> Rootfs:
        assert image.context is not None
        path = anyio.Path(image.context) / image.dockerfile
        try:
            text = await path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ImageError(f"{path}: {error}") from error
        recipe = dockerfile.parse(text, str(path))
        is_host = isinstance(image, HostRoot)
        below = HostRoot() if is_host else RegistryImage(reference=recipe.base)
        async with self.using(below, say) as base:
            digest = building.digest_of(base, image, recipe)
            async with self.cache.making(short(digest)):
                found = self.cache.find(digest)
                if found is not None:
                    return found
                spec = building.build_spec(image, has_network=self.has_network)
                start = replace(base, name=f"build of {image.context}")
                async with self.open_on(base, spec) as box:
                    replay = building.Replay(box=box, image=image, on_line=say, rootfs=start)
                    made = await replay.run(recipe)
                    return self.cache.keep(await building.harvest(box, digest, made))
