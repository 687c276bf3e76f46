"""The best state of the work, kept outside of the box so that it can be put back.

Kept are the files of the working directory and of the folders that the task names, up to a size;
what else a command changed stays as it is. Without room for it nothing is kept, and that is said.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio.to_thread

from mechagym.agents.map.tools.files import write_bytes
from mechagym.agents.map.tools.footprint import Listing, apart
from mechagym.errors import MechagymError
from mechagym.sandbox.base import MIB, Box, ExecOptions, TransferCaps

KEPT_FILES, KEPT_BYTES = 5_000, 64 * MIB
PUT_BACK_S = 60.0


class Keepsake:
    """One state of a box. A context: at its end the copy is gone."""

    def __init__(self, box: Box, roots: Iterable[str]) -> None:
        """`roots` are absolute; `/` itself is never kept."""
        self._box = box
        self._roots = tuple(root for root in apart(roots) if root != "/")
        self._folder = tempfile.TemporaryDirectory(prefix="mechagym-map-")
        self._kept: Listing | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._folder.cleanup()

    @property
    def holds(self) -> bool:
        """Whether there is a state to put back."""
        return self._kept is not None

    async def keep(self, seen: Listing) -> bool:
        """Keep the box as it is now, `seen` as the footprint has it; False where it is too much."""
        self._kept = None
        inside = {path: row for path, row in seen.items() if self._root_of(path)}
        size_bytes = sum(int(row.split("|")[2]) for row in inside.values())
        if len(inside) > KEPT_FILES or size_bytes > KEPT_BYTES:
            return False
        self._folder.cleanup()
        self._folder = tempfile.TemporaryDirectory(prefix="mechagym-map-")
        caps = TransferCaps(max_files=2 * KEPT_FILES, max_bytes=2 * KEPT_BYTES)
        for number, root in enumerate(self._roots):
            if any(path == root or path.startswith(f"{root}/") for path in inside):
                try:
                    await self._box.get(root, Path(self._folder.name) / str(number), caps)
                except (MechagymError, OSError):
                    return False
        self._kept = inside
        return True

    async def put_back(self, seen: Listing) -> tuple[str, ...]:
        """Make the kept places what they were; gives the paths that this changed."""
        if self._kept is None:
            return ()
        kept, now = self._kept, {p: row for p, row in seen.items() if self._root_of(p)}
        added = sorted(now.keys() - kept.keys())
        other = sorted(path for path in kept if now.get(path) != kept[path])
        if added or other:
            await self._run('for p; do rm -f -- "$p"; done', *added, *other)
        for path in other:
            await self._restore(path, self._copy_of(path))
        return tuple(sorted({*added, *other}))

    async def _restore(self, path: str, copy: Path) -> None:
        """Make one file or link anew, as the agent's user."""
        if copy.is_symlink():
            await self._run('mkdir -p "${1%/*}/" && ln -s "$2" "$1"', path, str(copy.readlink()))
        elif copy.is_file():
            await write_bytes(self._box, path, await anyio.to_thread.run_sync(copy.read_bytes))
            await self._run('chmod "$2" "$1"', path, f"{copy.stat().st_mode & 0o7777:o}")

    async def _run(self, script: str, *words: str) -> None:
        options = ExecOptions(cwd="/", timeout_s=PUT_BACK_S)
        await self._box.exec(("sh", "-c", script, "put-back", *words), options)

    def _root_of(self, path: str) -> str | None:
        inside = (root for root in self._roots if path == root or path.startswith(f"{root}/"))
        return next(inside, None)

    def _copy_of(self, path: str) -> Path:
        root = self._root_of(path) or ""
        top = Path(self._folder.name) / str(self._roots.index(root))
        return top if path == root else top / path[len(root) + 1 :]
