"""Files in and out of boxes as tar streams, in constant memory.

`pack` is for what we put in, `unpack` for what comes out, which is taken as hostile: `tarstream`
reads it without believing it, `landing` writes it and keeps the promise that nothing lands outside.
"""

import os
import stat
import tarfile
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from itertools import islice
from pathlib import Path

import anyio.to_thread

from mechagym.errors import SandboxError
from mechagym.sandbox.base import TransferCaps, TransferReport
from mechagym.sandbox.landing import Landing, parts_of
from mechagym.sandbox.tarstream import BLOCK, TarReader

CHUNK = 1024 * 1024
_AT_ONCE = 2  # so that the end of a small tree is seen in the one turn of a thread that it takes
_END = b"\0" * (2 * BLOCK)
_CAPS = TransferCaps()


def pack(
    source: Path | bytes, name: str, *, mode: int = 0o644, mtime: float | None = None
) -> Iterator[bytes]:
    """Tar a file, a folder or bytes (with `mode` and `mtime`, default now) as the entry `name`.

    Modes, times, links and empty folders are kept; the owner is root; entries are sorted, so that
    one tree always gives the same bytes. Links below `source` are never followed.
    Yields about 1 MiB each. Raises SandboxError where a file cannot be read, changes under our
    hands, or is neither file, folder nor link.
    """
    try:
        yield from _gathered(_packed(source, name, mode, mtime))
    except OSError as error:
        raise SandboxError(f"{error.filename}: {error.strerror}", retry=False) from error


async def threaded(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Iterate in a worker thread: reading a big tree must not hold up the loop."""
    pieces = [b""] * _AT_ONCE
    while len(pieces) == _AT_ONCE:
        pieces = await anyio.to_thread.run_sync(_next, chunks)
        for piece in pieces:
            yield piece


async def unpack(
    chunks: AsyncIterable[bytes] | Iterable[bytes],
    target: Path,
    caps: TransferCaps = _CAPS,
    *,
    root: str = "",
) -> TransferReport:
    """Unpack a hostile tar stream; the entry `root` becomes `target`, be it a file or a folder.

    With an empty `root` all entries go below `target`. Only permission bits are kept: folders are
    made ours to enter, files ours to read.
    Raises TransferRefused (over the caps, or no tar at all), NoSpace, SandboxError (cut short).
    """
    landing = await anyio.to_thread.run_sync(Landing, target, caps)
    reader = TarReader(landing, parts_of(root.lstrip("/")))
    try:
        async for chunk in _big(chunks):
            await anyio.to_thread.run_sync(reader.feed, chunk)
        return reader.finish()
    finally:
        landing.close()


def _next(chunks: Iterator[bytes]) -> list[bytes]:
    return list(islice(chunks, _AT_ONCE))


def _packed(source: Path | bytes, name: str, mode: int, mtime: float | None) -> Iterator[bytes]:
    if isinstance(source, bytes):
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(source), mode
        info.mtime = int(time.time() if mtime is None else mtime)
        yield _header(info)
        yield source
        yield b"\0" * (-len(source) % BLOCK)
    else:
        yield from _packed_tree(source.resolve(strict=True), name.rstrip("/") or ".", {})
    yield _END


def _packed_tree(path: Path, name: str, inodes: dict[tuple[int, int], str]) -> Iterator[bytes]:
    at = path.lstat()
    info = tarfile.TarInfo(name)
    info.mode, info.mtime = stat.S_IMODE(at.st_mode), int(at.st_mtime)
    if stat.S_ISDIR(at.st_mode):
        info.type = tarfile.DIRTYPE
        yield _header(info)
        for child in sorted(os.listdir(path)):  # noqa: PTH208 (names are all that is needed)
            yield from _packed_tree(path / child, f"{name}/{child}", inodes)
    elif stat.S_ISLNK(at.st_mode):
        info.type, info.linkname = tarfile.SYMTYPE, os.readlink(path)  # noqa: PTH115
        yield _header(info)
    elif not stat.S_ISREG(at.st_mode):
        raise SandboxError(f"{path}: neither file, folder nor link", retry=False)
    elif (first := inodes.setdefault((at.st_dev, at.st_ino), name)) != name:
        info.type, info.linkname = tarfile.LNKTYPE, first
        yield _header(info)
    else:
        if at.st_nlink == 1:
            del inodes[at.st_dev, at.st_ino]
        info.size = at.st_size
        yield _header(info)
        yield from _content(path, at.st_size)


def _content(path: Path, size: int) -> Iterator[bytes]:
    left = size
    with path.open("rb", buffering=0) as file:
        while left:
            data = file.read(min(CHUNK, left))
            if not data:
                raise SandboxError(f"{path}: it became shorter while it was read")
            left -= len(data)
            yield data
    yield b"\0" * (-size % BLOCK)


def _header(info: tarfile.TarInfo) -> bytes:
    # GNU rather than pax: busybox reads its long names, and names that are not UTF-8 pass as bytes.
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    kept: list[bytes] = []
    size = 0
    for piece in pieces:
        kept.append(piece)
        size += len(piece)
        if size >= CHUNK:
            yield b"".join(kept)
            kept, size = [], 0
    if kept:
        yield b"".join(kept)


async def _big(chunks: AsyncIterable[bytes] | Iterable[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in fewer pieces: each costs a change of thread."""
    buffer = bytearray()
    async for chunk in _each(chunks):
        buffer += chunk
        if len(buffer) >= CHUNK:
            yield bytes(buffer)
            buffer.clear()
    if buffer:
        yield bytes(buffer)


async def _each(chunks: AsyncIterable[bytes] | Iterable[bytes]) -> AsyncIterator[bytes]:
    if isinstance(chunks, AsyncIterable):
        async for chunk in chunks:
            yield chunk
    else:
        for chunk in chunks:
            yield chunk
