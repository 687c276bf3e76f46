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
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LONG = {tarfile.GNUTYPE_LONGNAME: "name", tarfile.GNUTYPE_LONGLINK: "linkname"}
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


def extract(pipe: int, target: str) -> None:
    """Unpack our own tar: its first entry becomes `target`. What stands in the way is replaced.

    Nothing is read ahead, so that content goes from the pipe to its file within the kernel.
    """
    first = ""
    folders: list[tuple[str, tarfile.TarInfo]] = []
    for entry in _entries(pipe):
        if not first:
            first = entry.name
            Path(os.path.normpath(target)).parent.mkdir(parents=True, exist_ok=True)
            os.umask(0)  # files are made with their modes
        place = os.path.normpath(target + entry.name[len(first) :])
        if entry.isdir():
            _make_folder(place)
            folders.append((place, entry))
        else:
            link = os.path.normpath(target + entry.linkname[len(first) :])
            _make_file(pipe, entry, place, link)
    for place, entry in reversed(folders):
        Path(place).chmod(entry.mode)
        os.utime(place, (entry.mtime, entry.mtime))
    while os.read(pipe, CHUNK):
        pass


def _entries(pipe: int) -> Iterator[tarfile.TarInfo]:
    """The headers of our own tar; whoever takes one takes its content before the next."""
    long: dict[str, str] = {}
    while any(block := _exactly(pipe, tarfile.BLOCKSIZE)):
        entry = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        if entry.type in _LONG:
            text = _exactly(pipe, entry.size + -entry.size % tarfile.BLOCKSIZE)
            name = text.partition(b"\0")[0]
            long[_LONG[entry.type]] = name.decode("utf-8", "surrogateescape")
            continue
        entry.name = long.get("name", entry.name)
        entry.linkname = long.get("linkname", entry.linkname)
        long.clear()
        yield entry
        _exactly(pipe, -entry.size % tarfile.BLOCKSIZE)


def _exactly(pipe: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = os.read(pipe, size - len(data))
        if not piece:
            raise OSError(errno.EPIPE, "the stream was cut short")
        data += piece
    return data


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


def _make_file(pipe: int, entry: tarfile.TarInfo, place: str, link: str) -> None:
    try:
        _make_new(pipe, entry, place, link)
    except FileExistsError:
        clear(place)
        _make_new(pipe, entry, place, link)


def _make_new(pipe: int, entry: tarfile.TarInfo, place: str, link: str) -> None:
    if entry.issym():
        os.symlink(entry.linkname, place)  # noqa: PTH211
    elif entry.islnk():
        os.link(link, place, follow_symlinks=False)
    else:
        descriptor = os.open(place, NEW, entry.mode & 0o777)
        _fill(pipe, descriptor, entry.size)
        if entry.mode & ~0o777:  # what is written loses them
            os.fchmod(descriptor, entry.mode)
        os.utime(descriptor, (entry.mtime, entry.mtime))
        os.close(descriptor)


def _fill(pipe: int, descriptor: int, size: int) -> None:
    """Move so many bytes of a pipe into a file."""
    while size:
        moved = os.splice(pipe, descriptor, size)
        if not moved:
            raise OSError(errno.EPIPE, "the stream was cut short")
        size -= moved


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
