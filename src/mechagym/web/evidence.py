"""Files of trials, for download: found by listing, named by an id, opened without following links.

No path comes from outside: an id is looked up among the files that lie in the trial's folder now.
Nothing outside of the data folders is opened, whatever a store says of where a job lies.
"""

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mechagym.trajectory.files import safe_name

PARTS = {"agent": "agent", "verifier": "verifier", "artifacts": "artifacts", "tries": "tries"}
PICTURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}
MAX_FILES = 5_000
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A file of a trial: its id, what it belongs to, its name below the trial's folder."""

    file_id: str
    part: str
    name: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """The data folders: nothing that lies elsewhere is opened."""

    roots: Sequence[Path]

    def of_trial(self, job_folder: str, trial_name: str) -> Path | None:
        """A trial's folder; None where its job lies outside of the data folders, or is gone."""
        job = Path(os.path.realpath(job_folder))
        roots = [Path(os.path.realpath(root)) for root in self.roots]
        if not any(job != root and job.is_relative_to(root) for root in roots):
            return None
        folder = job / safe_name(trial_name)
        return folder if folder.is_dir() and not folder.is_symlink() else None


def files_of(folder: Path) -> list[Evidence]:
    """All regular files of a trial's folder, by name; links are left out."""
    found = []
    for parts, size in _walk(folder):
        name = "/".join(parts)
        part = PARTS.get(parts[0], "trial") if len(parts) > 1 else "trial"
        found.append(Evidence(file_id=_id(name), part=part, name=name, size_bytes=size))
        if len(found) >= MAX_FILES:
            break
    return sorted(found, key=lambda each: each.name)


def open_file(folder: Path, file_id: str) -> tuple[Evidence, BinaryIO] | None:
    """Open one of them, step by step from the folder, so that no link is followed on the way."""
    wanted = next((each for each in files_of(folder) if each.file_id == file_id), None)
    if wanted is None:
        return None
    *folders, last = wanted.name.split("/")
    at = os.open(folder, _FOLDER)
    try:
        for part in folders:
            inner = os.open(part, _FOLDER, dir_fd=at)
            os.close(at)
            at = inner
        file = os.open(last, _FILE, dir_fd=at)
    except OSError:  # it became something else since it was listed
        return None
    finally:
        os.close(at)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        return None
    return wanted, os.fdopen(file, "rb")


def picture_type(start: bytes) -> str | None:
    """The media type of a picture that may be shown, by what it is and not by its name."""
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for sign, kind in PICTURES.items() if start.startswith(sign)), None)


def _id(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _walk(folder: Path, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], int]]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), (*above, entry.name))
        elif entry.is_file(follow_symlinks=False):
            yield (*above, entry.name), entry.stat(follow_symlinks=False).st_size
