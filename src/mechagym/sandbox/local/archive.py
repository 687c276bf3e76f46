"""Tar streams in and out of a box, by a process that is locked into it first.

`confine` makes the box's root the root of this process, so that the kernel itself resolves every
link and `..` inside; nothing may be imported or loaded afterwards, or it would come from the box.
"""

import errno
import os
import shutil
import stat
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

CHUNK = 1024 * 1024
_KINDS = (
    (stat.S_ISDIR, tarfile.DIRTYPE),
    (stat.S_ISLNK, tarfile.SYMTYPE),
    (stat.S_ISREG, tarfile.REGTYPE),
    (stat.S_ISCHR, tarfile.CHRTYPE),
    (stat.S_ISBLK, tarfile.BLKTYPE),
)


def confine(pid: int) -> None:
    """See only the files of the box whose first process is `pid`; never undone."""
    sys.meta_path.clear()
    sys.path.clear()
    os.chroot(f"/proc/{pid}/root")
    os.chdir("/")


def extract(stream: IO[bytes], target: str) -> None:
    """Unpack our own tar: its first entry becomes `target`. What stands in the way is replaced."""
    with tarfile.open(fileobj=stream, mode="r|", bufsize=CHUNK) as tar:
        first = ""
        folders: list[tuple[str, tarfile.TarInfo]] = []
        for entry in tar:
            if not first:
                first = entry.name
                Path(os.path.normpath(target)).parent.mkdir(parents=True, exist_ok=True)
            place = os.path.normpath(target + entry.name[len(first) :])
            if entry.isdir():
                _make_folder(place)
                folders.append((place, entry))
            else:
                link = os.path.normpath(target + entry.linkname[len(first) :])
                _make_file(tar, entry, place, link)
        for place, entry in reversed(folders):
            Path(place).chmod(entry.mode)
            os.utime(place, (entry.mtime, entry.mtime))
    while stream.read(CHUNK):
        pass


def clear(place: str) -> None:
    """Remove what stands at a path, whatever it is; a link itself, not what it points to."""
    try:
        os.unlink(place)  # noqa: PTH108 – one call per file counts here
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in {errno.EISDIR, errno.EPERM}:
            raise
        shutil.rmtree(place)


def write_file(tar: tarfile.TarFile, entry: tarfile.TarInfo, place: str) -> int:
    """Write an entry's bytes to a new file and return its open descriptor."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(place, flags, 0o600)
    left = entry.size
    while left:
        data = tar.fileobj.read(min(left, CHUNK))
        if not data:
            raise OSError(errno.EPIPE, "the stream ends in the middle of", place)
        left -= len(data)
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
    return descriptor


def pack(source: str, stream: IO[bytes]) -> None:
    """Tar a file, folder or link (itself) as the entry `.`; special files stand as entries without
    content.

    A box may change files under our hands: what shrinks is filled with zeros, what goes is left
    out.
    """
    folder, name = os.path.split(os.path.normpath(source))
    top = os.path.join(os.path.realpath(folder), name).rstrip("/") or "/"  # noqa: PTH118
    inodes: dict[tuple[int, int], str] = {}
    for path in _walk(top):
        try:
            _pack_entry(path, "." + path[len(top.rstrip("/")) :], stream, inodes)
        except FileNotFoundError:
            if path == top:
                raise
    stream.write(bytes(1024))


def _make_folder(place: str) -> None:
    try:
        os.mkdir(place, 0o700)  # noqa: PTH102
    except FileExistsError:
        if not stat.S_ISDIR(os.lstat(place).st_mode):
            clear(place)
            os.mkdir(place, 0o700)  # noqa: PTH102


def _make_file(tar: tarfile.TarFile, entry: tarfile.TarInfo, place: str, link: str) -> None:
    clear(place)
    if entry.issym():
        os.symlink(entry.linkname, place)  # noqa: PTH211
    elif entry.islnk():
        os.link(link, place, follow_symlinks=False)
    else:
        descriptor = write_file(tar, entry, place)
        os.fchmod(descriptor, entry.mode)
        os.utime(descriptor, (entry.mtime, entry.mtime))
        os.close(descriptor)


def _walk(top: str) -> Iterator[str]:
    waiting = [top]
    while waiting:
        path = waiting.pop()
        yield path
        try:
            if stat.S_ISDIR(os.lstat(path).st_mode):
                waiting.extend(f"{path.rstrip('/')}/{name}" for name in sorted(os.listdir(path)))  # noqa: PTH208
        except OSError as error:
            if error.errno not in {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG}:
                raise


def _pack_entry(
    path: str, name: str, stream: IO[bytes], inodes: dict[tuple[int, int], str]
) -> None:
    at = os.lstat(path)
    info = tarfile.TarInfo(name)
    info.mode, info.mtime = stat.S_IMODE(at.st_mode), int(at.st_mtime)
    info.type = next((kind for test, kind in _KINDS if test(at.st_mode)), tarfile.FIFOTYPE)
    if info.type == tarfile.SYMTYPE:
        info.linkname = os.readlink(path)  # noqa: PTH115
    elif info.type == tarfile.REGTYPE:
        first = inodes.setdefault((at.st_dev, at.st_ino), name) if at.st_nlink > 1 else name
        if first != name:
            info.type, info.linkname = tarfile.LNKTYPE, first
        else:
            return _pack_file(path, info, stream)
    stream.write(info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape"))
    return None


def _pack_file(path: str, info: tarfile.TarInfo, stream: IO[bytes]) -> None:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with open(os.open(path, flags), "rb", buffering=0) as file:  # noqa: PTH123 – a descriptor
        info.size = os.fstat(file.fileno()).st_size
        stream.write(info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape"))
        left = info.size
        while left:
            data = file.read(min(CHUNK, left)) or bytes(min(CHUNK, left))
            left -= len(data)
            stream.write(data)
        stream.write(bytes(-info.size % 512))
