"""Carries a fork's file changes over into its box, where the fork itself cannot become it.

First everything is fetched, while the fork lives; then, once no fork holds the box still any more,
it is put there. What stands there afterwards must be what stood in the fork.
"""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from mechagym.agents.map.sampler.tree import Changes, digest_of, entries_of
from mechagym.errors import SandboxError
from mechagym.sandbox.base import Box, ExecOptions

MOST_FILES = 5_000
AT_ONCE = 200
_S = 120.0
_REMOVE = 'for p; do rm -rf -- "$p"; done'
# kind, owner, mode and path of each; a folder that is not there is made
_RIGHTS = r"""
while [ $# -gt 0 ]; do
  if [ "$1" = folder ]; then mkdir -p -- "$4"; fi
  chown -- "$2" "$4" 2>/dev/null
  chmod -- "$3" "$4" || exit 1
  shift 4
done
"""
_LINK = 'while [ $# -gt 0 ]; do rm -rf -- "$2"; ln -s -- "$1" "$2" || exit 1; shift 2; done'


@dataclass(frozen=True, slots=True, kw_only=True)
class Luggage:
    """A fork's changes with the contents of its files, on this machine."""

    changes: Changes
    folder: Path

    @property
    def lost(self) -> tuple[str, ...]:
        """What no copy can carry: sockets, pipes, devices."""
        return tuple(entry.path for entry in self.changes.entries if entry.kind == "special")


@asynccontextmanager
async def packed(fork: Box, changes: Changes) -> AsyncIterator[Luggage]:
    """Fetch what changed. Raises SandboxError."""
    files = [entry for entry in changes.entries if entry.kind == "file"]
    if len(files) > MOST_FILES:
        raise SandboxError(f"{len(files)} files are too many to carry", reason="too_many_files")
    with tempfile.TemporaryDirectory(prefix="mechagym-carry-") as made:
        folder = Path(made)
        for number, entry in enumerate(files):
            await fork.get(entry.path, folder / str(number))
        yield Luggage(changes=changes, folder=folder)


async def unpack_into(box: Box, luggage: Luggage) -> None:
    """Make the box what the fork was. Raises SandboxError where it is not afterwards."""
    changes = luggage.changes
    await _run(box, _REMOVE, *([path] for path in changes.deleted))
    folders = [entry for entry in changes.entries if entry.kind == "folder"]
    files = [entry for entry in changes.entries if entry.kind == "file"]
    rights = [
        [entry.kind, entry.owner or "0:0", f"{entry.mode:o}", entry.path]
        for entry in (*folders, *files)
    ]
    await _run(box, _RIGHTS, *rights[: len(folders)])
    for number, entry in enumerate(files):
        await box.put(luggage.folder / str(number), entry.path)
    await _run(box, _RIGHTS, *rights[len(folders) :])
    links = [[e.content, e.path] for e in changes.entries if e.kind == "link"]
    await _run(box, _LINK, *links)
    await _compare(box, changes)


async def _compare(box: Box, changes: Changes) -> None:
    wanted = [entry for entry in changes.entries if entry.kind != "special"]
    paths = [entry.path for entry in wanted]
    there = await entries_of(box, [*paths, *changes.deleted])
    if digest_of(there, ()) != digest_of(wanted, ()):
        raise SandboxError(
            "the changes of a candidate did not arrive in the box as they were",
            reason="not_carried",
        )


async def _run(box: Box, script: str, *rows: list[str]) -> None:
    for i in range(0, len(rows), AT_ONCE):
        words = [word for row in rows[i : i + AT_ONCE] for word in row]
        if not words:
            continue
        options = ExecOptions(cwd="/", user="root", timeout_s=_S)
        result = await box.exec(("sh", "-c", script, "carry", *words), options)
        if not result.ok:
            said = result.stderr.decode("utf-8", "replace").strip()[-300:]
            raise SandboxError(f"changes could not be carried over: {said}", reason="not_carried")
