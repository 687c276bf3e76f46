"""The host's own root as an image: which of its folders are shown, and under which digest."""

import hashlib
from pathlib import Path

import anyio

from mechagym.records import new_id
from mechagym.sandbox.local import skeleton
from mechagym.sandbox.local.bundle import PATH
from mechagym.sandbox.local.keeping import StepError, failed
from mechagym.sandbox.local.rootfs import Cache, Rootfs, Tree, short

NOTE = "on the host's own root: what its Dockerfile starts FROM was not used"
_VERSION = "2"
_WATCHED = ("/etc", "/var/lib/dpkg/status", "/usr", "/usr/bin", "/usr/lib", "/usr/local/bin")


async def host_rootfs(cache: Cache) -> Rootfs:
    """The host as a root file system; its own layer is made again when the host has changed."""
    folders = skeleton.shown_folders()
    digest = _digest(folders)
    if (found := cache.find(digest)) is not None:
        return found
    async with cache.making(short(digest)):
        if (found := cache.find(digest)) is not None:
            return found
        fresh, layer = f"layers/new-{new_id()}", f"layers/{short(digest)}"
        try:
            await cache.keeper.ask("show_host", target=fresh, folders=folders)
            await cache.keeper.ask("move", source=fresh, target=layer)
        except StepError as error:
            raise failed("the host's root cannot be shown", error, cache.folder) from error
        finally:
            with anyio.CancelScope(shield=True):
                await cache.keeper.ask("remove", boxes=[], folders=[fresh])
        trees = (Tree(), *(Tree(target=folder, bases=(folder,)) for folder in folders))
        return cache.keep(
            Rootfs(
                digest=digest,
                layers=(layer,),
                trees=trees,
                env={"PATH": PATH},
                fidelity="approximate",
                notes=(NOTE,),
                name="the host's own root",
            )
        )


def _digest(folders: list[str]) -> str:
    seen = hashlib.sha256(f"{_VERSION} {folders}".encode())
    for name in _WATCHED:
        path = Path(name)
        if path.exists():
            seen.update(f"{name} {path.stat().st_mtime_ns}\0".encode())
    return f"sha256:{seen.hexdigest()}"
