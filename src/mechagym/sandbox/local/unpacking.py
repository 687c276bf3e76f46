"""A layer of an image as a folder that overlayfs can take as a lower: ids, modes, links, xattrs,
whiteouts.

Runs in the keeper, so that ids are shifted by the kernel. The folder becomes the root of the
process first: no name in an archive can mean anything outside.
"""

import errno
import os
import stat
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from mechagym.sandbox.local.archive import CHUNK, NEW, clear

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
OPAQUE_XATTR = "user.overlay.opaque"
_XATTR = "SCHILY.xattr."
_KEPT_XATTRS = ("user.", "security.capability", "system.posix_acl_")

assert zlib  # tarfile imports it late, when nothing can be imported any more


class Place(NamedTuple):
    """Where an entry goes, and what it is there: a file or folder, or a mark for overlayfs."""

    path: str
    kind: str  # "entry" | "whiteout" | "opaque"


def place_of(name: str) -> Place:
    """Read the layer format's marks: `.wh.NAME` hides NAME, `.wh..wh..opq` all that is below its
    folder.
    """
    path = os.path.normpath("/" + name).replace("//", "/")
    folder, base = os.path.split(path)
    if base == OPAQUE:
        return Place(folder, "opaque")
    if base.startswith(WHITEOUT):
        return Place(os.path.join(folder, base.removeprefix(WHITEOUT)), "whiteout")  # noqa: PTH118
    return Place(path, "entry")


def unpack(stream: IO[bytes], target: Path) -> dict[str, int]:
    """Unpack a tar stream (plain or gzip) to a new folder; returns what was made and what was left
    out.

    Device nodes are left out: a box has its own `/dev`. Raises OSError naming the entry.
    """
    target.mkdir(parents=True)
    target.chmod(0o755)
    os.chroot(target)
    os.chdir("/")
    counts = {"files": 0, "bytes": 0, "devices": 0}
    folders: list[tuple[str, tarfile.TarInfo]] = []
    with tarfile.open(fileobj=stream, mode="r|*", bufsize=CHUNK) as tar:
        for entry in _entries(tar):
            place = place_of(entry.name)
            if entry.ischr() or entry.isblk():
                counts["devices"] += 1
            elif place.kind == "entry":
                counts["files"] += 1
                counts["bytes"] += entry.size
                _make(tar, entry, place.path)
                if entry.isdir():
                    folders.append((place.path, entry))
            else:
                _mark(place)
    for path, entry in reversed(folders):
        os.utime(path, (entry.mtime, entry.mtime))
    while stream.read(CHUNK):
        pass
    return counts


def _entries(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for entry in tar:
        yield entry
        tar.members = []  # type: ignore[attr-defined] # a stream is read once: do not hold a million headers


def _make(tar: tarfile.TarFile, entry: tarfile.TarInfo, path: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
    if entry.isdir():
        if not os.path.isdir(path) or os.path.islink(path):  # noqa: PTH112, PTH114
            clear(path)
            os.mkdir(path)  # noqa: PTH102
    else:
        clear(path)
        if entry.issym():
            os.symlink(entry.linkname, path)  # noqa: PTH211
        elif entry.islnk():
            os.link(place_of(entry.linkname).path, path, follow_symlinks=False)
            return
        elif entry.isfifo():
            os.mkfifo(path)
        else:
            _write(tar, entry, path)
    _dress(entry, path)


def _write(tar: tarfile.TarFile, entry: tarfile.TarInfo, path: str) -> None:
    left = entry.size
    with open(os.open(path, NEW, 0o600), "wb", buffering=0) as file:  # noqa: PTH123 – a descriptor
        while left:
            data = tar.fileobj.read(min(left, CHUNK))
            if not data:
                raise OSError(errno.EPIPE, "the stream ends in the middle of", path)
            left -= len(data)
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]


def _dress(entry: tarfile.TarInfo, path: str) -> None:
    """Owner first: a change of owner takes setuid bits and capabilities away."""
    try:
        os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
    except OSError as error:
        message = f"owner {entry.uid}:{entry.gid} is outside the 65,536 ids of a box"
        raise OSError(error.errno, message, path) from error
    if not entry.issym():
        os.chmod(path, stat.S_IMODE(entry.mode))  # noqa: PTH101
    for key, value in entry.pax_headers.items():
        name = key.removeprefix(_XATTR)
        if key != name and name.startswith(_KEPT_XATTRS) and not name.startswith("user.overlay."):
            data = value.encode("utf-8", "surrogateescape")
            os.setxattr(path, name, data, follow_symlinks=False)
    os.utime(path, (entry.mtime, entry.mtime), follow_symlinks=False)


def _mark(place: Place) -> None:
    if place.kind == "opaque":
        os.makedirs(place.path, exist_ok=True)  # noqa: PTH103
        os.setxattr(place.path, OPAQUE_XATTR, b"y")
    else:
        os.makedirs(os.path.dirname(place.path), exist_ok=True)  # noqa: PTH103, PTH120
        clear(place.path)
        os.mknod(place.path, stat.S_IFCHR, 0)
