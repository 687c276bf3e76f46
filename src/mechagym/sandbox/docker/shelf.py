"""The images of an engine that we built or pulled: when each was last used, its size, which go.

A note per image, in a folder per engine, holds the id that we made it with: an image that somebody
else put under the same name is not ours. The note's time is the last use, a lock on it the use.
"""

import hashlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import anyio

from mechagym.records import new_id
from mechagym.sandbox import locks
from mechagym.sandbox.docker.engine import Engine, EngineError, name_in_path
from mechagym.sandbox.eviction import Held, trim

REPORT_S = 60.0
"""How long the engine may be busy with disk reports for others: with many layers one takes long."""

BUSY = "a disk usage operation is already running"


@dataclass(frozen=True, slots=True)
class Shelf:
    """Notes below `folder`, for one engine."""

    engine: Engine
    folder: Path

    def keep(self, reference: str, image_id: str) -> None:
        """Note an image that we just made."""
        note = self._path(reference)
        note.parent.mkdir(parents=True, exist_ok=True)
        fresh = note.with_suffix(f".{new_id()}")
        fresh.write_text(json.dumps({"reference": reference, "id": image_id}), encoding="utf-8")
        fresh.rename(note)

    @asynccontextmanager
    async def using(self, reference: str) -> AsyncIterator[None]:
        """Keep an image for as long as this lasts; one that is not ours nobody removes anyway."""
        note = self._path(reference)
        async with locks.in_use(note) as ours:
            if ours:
                note.touch()
            yield
            if ours:
                note.touch()

    async def trim(
        self, keep_bytes: int | None, *, older_than_s: float = 0.0, dry_run: bool = False
    ) -> list[tuple[Held, int]]:
        """Remove what is least recently used until the rest fits (None: all); see `eviction`.

        What a container stands on is in use, whoever made that.
        """
        notes = {told.reference: told for told in self._notes()}
        sizes = await self._sizes({told.id for told in notes.values()}, keep_bytes)
        rows = await self.engine.call("GET", "/containers/json", params={"all": "1"})
        stood_on = {row["ImageID"] for row in rows}

        for told in notes.values():
            with locks.unused(told.path) as free:
                if free and told.id not in sizes:  # somebody else removed it
                    told.path.unlink()

        async def remove(image: Held) -> bool:
            told = notes[image.name]
            with locks.unused(told.path) as free:
                if not free or told.id in stood_on:
                    return False
                return dry_run or await self._remove(told)

        held = [
            Held(name=told.reference, used_at=told.used_at, parts={told.id: sizes[told.id]})
            for told in notes.values()
            if told.id in sizes
        ]
        return await trim(held, remove, keep_bytes=keep_bytes, before=time.time() - older_than_s)

    async def _remove(self, note: "_Note") -> bool:
        path = f"/images/{name_in_path(note.reference)}"
        is_ours = False
        try:
            is_ours = (await self.engine.call("GET", f"{path}/json"))["Id"] == note.id
            if is_ours:
                await self.engine.call("DELETE", path)
        except EngineError as error:
            if error.status != 404:
                return False
        note.path.unlink()
        return is_ours

    async def _sizes(self, ours: set[str], keep_bytes: int | None) -> dict[str, int]:
        """By id, what the removal of an image would give back; those that are gone are absent.

        The engine counts what images share only in its report of the disk, which takes it longer:
        it is asked for where the whole sizes are too much.
        """
        rows = await self.engine.call("GET", "/images/json")
        whole = {row["Id"]: int(row["Size"]) for row in rows if row["Id"] in ours}
        if keep_bytes is not None and sum(whole.values()) <= keep_bytes:
            return whole
        rows = await self._disk_report()
        return {
            row["Id"]: int(row["Size"]) - max(0, int(row["SharedSize"]))
            for row in rows
            if row["Id"] in whole
        }

    async def _disk_report(self) -> list[dict[str, Any]]:
        """The images in the engine's report of the disk; it makes one report at a time.

        Raises EngineError; also where it was busy for others all of `REPORT_S`.
        """
        give_up_at = anyio.current_time() + REPORT_S
        while True:
            try:
                return (await self.engine.call("GET", "/system/df"))["Images"] or []
            except EngineError as error:
                if BUSY not in str(error) or anyio.current_time() > give_up_at:
                    raise
            await anyio.sleep(0.1)

    def _notes(self) -> Iterator["_Note"]:
        for path in self.folder.glob("*.json"):
            with suppress(FileNotFoundError):
                said = json.loads(path.read_text(encoding="utf-8"))
                used_at = path.stat().st_mtime
                yield _Note(said["reference"], said["id"], used_at, path)

    def _path(self, reference: str) -> Path:
        return self.folder / f"{hashlib.sha256(reference.encode()).hexdigest()[:32]}.json"


class _Note(NamedTuple):
    reference: str
    id: str
    used_at: float
    path: Path
