"""Root file systems unpacked once into a cache, by the digest of their image.

The cache folder (one user's, since ids are shifted) holds `layers/NAME/0…`, folders for overlayfs,
one per tree; `images/DIGEST.json`, which says what an image is made of, its time the last use;
`locks/`, one per thing made. Layers are only ever added while `locks/GATE` is held together with
other makers, and only ever removed by who holds it alone (see `shelf`); a record is locked by
whoever uses its image.
"""

import fcntl
import json
import os
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from errno import ENOSPC
from pathlib import Path
from typing import Any, Literal

import anyio

from mechagym.errors import ImageError, NoSpace
from mechagym.records import new_id
from mechagym.sandbox import locks
from mechagym.sandbox.local.keeping import Keeper, StepError, failed

PIPE_BYTES = 1024 * 1024
GATE = "making"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """One overlay mount of a root: where, and the host's folders underneath (none for images)."""

    target: str = "/"
    bases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rootfs:
    """What a box's root is mounted from: `layers` topmost first, relative to the cache folder."""

    digest: str
    layers: tuple[str, ...]
    trees: tuple[Tree, ...] = (Tree(),)
    env: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = "root"
    fidelity: Literal["exact", "approximate"] = "exact"
    notes: tuple[str, ...] = ()
    name: str = ""


class Cache:
    """The images of one cache folder. Layers are written by the keeper, the rest by us.

    `has_grown` says that something was added, until somebody made room for it.
    """

    def __init__(self, keeper: Keeper) -> None:
        self.keeper = keeper
        self.folder = keeper.folder
        self.has_grown = False
        for name in ("images", "locks"):
            (self.folder / name).mkdir(exist_ok=True, mode=0o700)
        (self.folder / "locks" / GATE).touch(mode=0o600)

    def find(self, digest: str) -> Rootfs | None:
        """An image that was unpacked before and is whole."""
        path = self._record(digest)
        try:
            found = _read(json.loads(path.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        if not all((self.folder / layer).is_dir() for layer in found.layers):
            return None
        return found

    @asynccontextmanager
    async def using(self, digest: str) -> AsyncIterator[bool]:
        """Keep an image from removal for as long as this lasts; false where it is gone already."""
        record = self._record(digest)
        async with locks.in_use(record) as there:
            if there:
                os.utime(record)
            yield there
            if there:
                os.utime(record)

    def keep(self, rootfs: Rootfs) -> Rootfs:
        """Remember an image whose layers are in place."""
        path = self._record(rootfs.digest)
        fresh = path.with_suffix(f".{new_id()}")
        fresh.write_text(json.dumps(asdict(rootfs)), encoding="utf-8")
        fresh.rename(path)
        self.has_grown = True
        return rootfs

    def has_layer(self, name: str) -> bool:
        """Whether a layer is unpacked."""
        return (self.folder / "layers" / name).is_dir()

    async def add_layer(self, name: str, chunks: AsyncIterable[bytes]) -> str:
        """Unpack a tar stream as the layer `name`; returns its path. Raises ImageError, NoSpace."""
        fresh = f"layers/new-{new_id()}"
        reader, writer = wide_pipe()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._unpack, reader, fresh)
                await pour(chunks, writer)
            await self.keeper.ask("move", source=fresh, target=f"layers/{name}")
        except BaseExceptionGroup as group:
            raise _cause(group) from group
        finally:
            with anyio.CancelScope(shield=True):
                await self.keeper.ask("remove", boxes=[], folders=[fresh])
        return f"layers/{name}"

    async def _unpack(self, reader: int, fresh: str) -> None:
        try:
            with anyio.CancelScope(shield=True):  # it ends with its input, and then can be removed
                await self.keeper.ask("unpack", [reader], target=fresh)
        except StepError as error:
            if error.errno == ENOSPC:
                raise failed("the image cannot be unpacked", error, self.folder) from error
            raise ImageError(f"the image cannot be unpacked: {error.message}") from error
        finally:
            os.close(reader)

    @asynccontextmanager
    async def making(self, name: str) -> AsyncIterator[None]:
        """Make one thing at a time, across processes, while no layer is removed."""
        folder = self.folder / "locks"
        async with locks.alone(folder / name), locks.together(folder / GATE):
            yield

    def _record(self, digest: str) -> Path:
        return self.folder / "images" / f"{short(digest)}.json"


def short(digest: str) -> str:
    """A file name for a digest; long enough never to collide, short enough for mount options."""
    return digest.removeprefix("sha256:")[:32]


def wide_pipe() -> tuple[int, int]:
    """A pipe for megabytes: its ends change turns less often."""
    reader, writer = os.pipe()
    with suppress(OSError):  # over the user's quota: a narrow one works as well
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return reader, writer


async def pour(chunks: AsyncIterable[bytes], writer: int) -> None:
    """Write a stream to a pipe and close it; a reader that went away ends it in silence."""
    os.set_blocking(writer, False)
    try:
        async for chunk in chunks:
            view = memoryview(chunk)
            while view:
                try:
                    view = view[os.write(writer, view) :]
                except BlockingIOError:
                    await anyio.wait_writable(writer)
    except BrokenPipeError:
        return
    finally:
        os.close(writer)


def _cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one failure that a person should read, out of a group of two tasks."""
    for error in group.exceptions:
        if isinstance(error, ImageError | NoSpace):
            return error
    return group.exceptions[0]


def _read(data: dict[str, Any]) -> Rootfs:
    trees = tuple(Tree(target=t["target"], bases=tuple(t["bases"])) for t in data.pop("trees"))
    layers, notes = tuple(data.pop("layers")), tuple(data.pop("notes"))
    return Rootfs(trees=trees, layers=layers, notes=notes, **data)
