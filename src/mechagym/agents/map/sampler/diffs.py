"""A candidate's changes as text: what is kept of it once its fork is gone."""

import difflib
import tempfile
from pathlib import Path

import anyio.to_thread

from mechagym.agents.map.sampler.tree import Changes, Entry, Listing
from mechagym.errors import BoxDied, MechagymError
from mechagym.sandbox.base import Box, TransferCaps

FILES = 20
FILE_BYTES = 64 * 1024
CHARS = 20_000
_CAPS = TransferCaps(max_files=1, max_bytes=FILE_BYTES)


async def diff_of(base: Box, fork: Box, changes: Changes, before: Listing) -> str:
    """A unified diff of small text files and a line for each of the rest. Raises BoxDied."""
    told: list[str] = []
    shown = 0
    for entry in changes.entries:
        mark = "changed" if entry.path in before else "added"
        if entry.kind == "file" and shown < FILES:
            shown += 1
            old = await _text(base, entry.path) if mark == "changed" else []
            new = await _text(fork, entry.path)
            if old is not None and new is not None and (old or new):
                told.append(_unified(entry.path, old, new))
                continue
        told.append(f"{mark} {_line(entry)}\n")
    told += [f"deleted {path}\n" for path in changes.deleted]
    text = "".join(told)
    if len(text) <= CHARS:
        return text
    cut = text[:CHARS].rpartition("\n")[0]
    return f"{cut}\n[cut here: the diff has {len(text)} characters]\n"


def _unified(path: str, old: list[str], new: list[str]) -> str:
    lines = difflib.unified_diff(old, new, f"a{path}", f"b{path}", n=2)
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def _line(entry: Entry) -> str:
    target = f" → {entry.content}" if entry.kind == "link" else ""
    return f"{entry.kind} {entry.path}{target} ({entry.mode:o})"


async def _text(box: Box, path: str) -> list[str] | None:
    """The lines of a small text file; None of anything else."""
    with tempfile.TemporaryDirectory(prefix="mechagym-diff-") as folder:
        target = Path(folder) / "file"
        try:
            await box.get(path, target, _CAPS)
            data = await anyio.to_thread.run_sync(target.read_bytes)
        except BoxDied:
            raise
        except (MechagymError, OSError):
            return None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text.splitlines(keepends=True)
