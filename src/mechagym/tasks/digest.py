"""What a folder holds, as one number: sha256 over the sorted relative paths and contents of files.

Two copies of a task have one digest wherever they lie: times, owners and mode bits (the executable
bit too: scripts are made executable when they are put in a box) are no part of it, empty folders
neither. A link counts as its target's text. `.git` is left out: it changes with every fetch.
"""

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mechagym.errors import TaskError

LEFT_OUT = frozenset({".git"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeEntry:
    """A file or link: its path relative to the folder with `/`, and the sha256 of its content."""

    path: str
    content: bytes


def read_tree(folder: Path) -> tuple[TreeEntry, ...]:
    """Hash every file, sorted by path. Raises TaskError (a link that leaves, a device, …)."""
    root = os.path.realpath(folder)
    try:
        found = list(_walk(root, "", root))
    except OSError as error:
        raise TaskError(f"{error.filename or folder}: cannot be read: {error.strerror}") from None
    return tuple(sorted(found, key=lambda entry: os.fsencode(entry.path)))


def tree_digest(entries: Sequence[TreeEntry], under: str = "") -> str:
    """Return the digest (hex) of all entries, or of those in one folder as if it stood alone."""
    total = hashlib.sha256()
    prefix = f"{under}/" if under else ""
    for entry in entries:
        if entry.path.startswith(prefix):
            name = os.fsencode(entry.path.removeprefix(prefix))
            total.update(len(name).to_bytes(4, "big") + name + entry.content)
    return total.hexdigest()


def task_digest(folder: Path) -> str:
    """Return the digest of a task folder. Raises TaskError."""
    return tree_digest(read_tree(folder))


def _walk(directory: str, prefix: str, root: str) -> Iterator[TreeEntry]:
    with os.scandir(directory) as listing:
        entries = list(listing)
    for entry in entries:
        path = f"{prefix}{entry.name}"
        if entry.is_symlink():
            yield TreeEntry(path=path, content=_link(entry, root))
        elif entry.is_dir():
            if entry.name not in LEFT_OUT:
                yield from _walk(entry.path, f"{path}/", root)
        elif stat.S_ISREG(entry.stat().st_mode):
            with open(entry.path, "rb") as file:  # noqa: PTH123 a path per file would double the time
                yield TreeEntry(path=path, content=hashlib.file_digest(file, "sha256").digest())
        else:
            raise TaskError(f"{entry.path}: neither a file, a folder nor a link")


def _link(entry: os.DirEntry[str], root: str) -> bytes:
    target = os.readlink(entry.path)  # noqa: PTH115
    real = os.path.realpath(entry.path)
    if real != root and not real.startswith(f"{root}{os.sep}"):
        raise TaskError(
            f"{entry.path}: this link leaves the task folder (to {target})",
            remedy="Put the file itself into the task.",
            reason="link_leaves",
        )
    return hashlib.sha256(b"link:" + os.fsencode(target)).digest()
