"""A box's folder on disk, and the disk of its own where its storage is limited."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import anyio.to_thread

from mechagym.errors import SandboxError
from mechagym.sandbox import locks
from mechagym.sandbox.local.disks import Disk
from mechagym.sandbox.local.keeping import Keeper
from mechagym.sandbox.local.steps import FLAT, SIZED

BEGINNING = "boxes.lock"
"""Held together while a box has a folder and not yet its note: who is alone with it (the reaper)
knows that a folder without one is nobody's.
"""


@dataclass(slots=True, eq=False)
class Folder:
    """A box's folder while somebody lives on it: the box itself, and those whose layer its upper
    is. `flat`: it has a layer that its ancestors' were merged into.
    """

    box_id: str
    keeper: Keeper
    users: int = 0
    flat: bool = False
    disk: Disk | None = None

    @property
    def home(self) -> str:
        """Where its upper stands, as the keeper sees it."""
        return f"{SIZED if self.disk else 'boxes'}/{self.box_id}"

    @property
    def upper(self) -> str:
        """The layer that the box writes."""
        return f"{self.home}/upper"

    @property
    def below(self) -> list[str]:
        """The layer of its own under that, if there is one."""
        return [f"boxes/{self.box_id}/{FLAT}"] if self.flat else []

    async def make(self, labels: Mapping[str, str], config: str) -> None:
        """Make it, with the note whose it is and what the runtime is to do. Raises OSError."""
        room = self.keeper.folder
        path = room / "boxes" / self.box_id
        async with locks.together(room / BEGINNING):
            path.mkdir(mode=0o711)
            (path / "owner.json").write_bytes(json.dumps(labels).encode())
        (path / "config.json").write_bytes(config.encode())
        if os.getuid() == 0:
            os.chown(path, self.keeper.owner, self.keeper.owner)

    async def leave(self) -> None:
        """One user less; the last one's going removes the folder."""
        self.users -= 1
        if self.users == 0:
            if self.disk is not None:
                await anyio.to_thread.run_sync(self.disk.drop)
            with suppress(SandboxError):  # the reaper's work
                await self.keeper.ask("remove", boxes=[self.box_id])
