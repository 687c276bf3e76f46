"""The images of a cache folder: which nobody uses, how big they are, which go; and what was left
half made.

Layers are removed only while nobody makes an image (see `rootfs`): whatever no record names then,
nobody will.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path

import anyio.to_thread

from mechagym.sandbox import locks
from mechagym.sandbox.base import ReapScope, Removed
from mechagym.sandbox.eviction import Held
from mechagym.sandbox.eviction import trim as trimmed
from mechagym.sandbox.local.keeping import Keeper
from mechagym.sandbox.local.rootfs import GATE

Keepers = Callable[[], AbstractAsyncContextManager[Keeper]]


async def trim(
    keeper: Keeper, keep_bytes: int | None, *, older_than_s: float = 0.0, dry_run: bool = False
) -> list[Removed]:
    """Remove what is least recently used until the rest fits (None: all); see `eviction`.

    Nothing goes while an image is being made: who made it does this afterwards.
    """
    folder = keeper.folder
    with locks.unused(folder / "locks" / GATE) as nobody_makes:
        if not nobody_makes:
            return []
        records = {path: _layers(path) for path in _entries(folder / "images")}
        named = sorted({layer for layers in records.values() for layer in layers})
        sizes, _ = await keeper.ask("weigh", layers=named)

        async def remove(image: Held) -> bool:
            with locks.unused(Path(image.name)) as free:
                if free and not dry_run:
                    Path(image.name).unlink()
                return free

        held = [
            Held(
                name=str(path),
                used_at=path.stat().st_mtime,
                parts={layer: sizes[layer] for layer in layers},
            )
            for path, layers in records.items()
        ]
        names = {str(path): _name(path) for path in records}
        before = time.time() - older_than_s
        gone = await trimmed(held, remove, keep_bytes=keep_bytes, before=before)
        if gone and not dry_run:
            await keeper.ask("remove", boxes=[], folders=list(_nameless(folder)))
    return [
        Removed(what="image", name=names[image.name], size_bytes=freed) for image, freed in gone
    ]


async def sweep(folder: Path, scope: ReapScope, keepers: Keepers) -> list[Removed]:
    """Remove layers and downloads that nobody finishes and, where asked, images."""
    removed = []
    with locks.unused(folder / "locks" / GATE) as nobody_makes:
        layers = list(_nameless(folder)) if nobody_makes else []
        downloads = _entries(folder / "pulls") if nobody_makes else []
        removed += [Removed(what="folder", name=str(folder / name)) for name in layers]
        removed += [Removed(what="folder", name=str(path)) for path in downloads]
        if not scope.dry_run:
            for path in downloads:
                await anyio.to_thread.run_sync(shutil.rmtree, path, True)
            if layers:
                async with keepers() as keeper:
                    await keeper.ask("remove", boxes=[], folders=layers)
    if scope.images:
        async with keepers() as keeper:
            removed += await trim(
                keeper,
                scope.keep_bytes,
                older_than_s=scope.older_than_s or 0.0,
                dry_run=scope.dry_run,
            )
    return removed


def _nameless(folder: Path) -> Iterator[str]:
    """Layers that belong to no image: half made, or left when theirs was removed."""
    named = {layer for path in _entries(folder / "images") for layer in _layers(path)}
    for path in _entries(folder / "layers"):
        if f"layers/{path.name}" not in named:
            yield f"layers/{path.name}"


def _layers(record: Path) -> list[str]:
    return list(_read(record).get("layers", ()))


def _name(record: Path) -> str:
    return str(_read(record).get("name") or record.stem)


def _read(record: Path) -> dict[str, list[str] | str]:
    with suppress(OSError, ValueError):
        read: dict[str, list[str] | str] = json.loads(record.read_text(encoding="utf-8"))
        return read
    return {}


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []
