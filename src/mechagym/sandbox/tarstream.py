"""Reading a tar stream that is pushed in, piece by piece, as one from an enemy.

No header is believed: sizes are bounded before anything is kept in memory, and what an entry
may do is decided by `landing`. GNU, pax and old formats are read; sparse files are left out.
"""

import re
import tarfile
from collections.abc import Generator

from mechagym.errors import SandboxError, TransferRefused
from mechagym.sandbox.base import TransferReport
from mechagym.sandbox.landing import Landing, Parts, Refused, parts_of, shown

BLOCK = tarfile.BLOCKSIZE
MAX_HEADER = 128 * 1024
_PAX_RECORD = re.compile(rb"(\d{1,9}) ([^=\n]+)=")
_KINDS = {tarfile.CHRTYPE: "a device", tarfile.BLKTYPE: "a device", tarfile.FIFOTYPE: "a fifo"}
_BODILESS = frozenset({tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE, *_KINDS})
_PAX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_LONG = {tarfile.GNUTYPE_LONGNAME: "path", tarfile.GNUTYPE_LONGLINK: "linkpath"}

Steps = Generator[int, bytes, None]
"""Asks for bytes: n > 0 exactly n, n < 0 at least one and at most -n."""


class TarReader:
    """Takes the bytes of one archive and hands each entry to the landing.

    The entry `root` becomes the landing's target; entries beside it are left out.
    """

    def __init__(self, landing: Landing, root: Parts) -> None:
        self._landing = landing
        self._root = root
        self._buffer = bytearray()
        self._ended = False
        self._steps = self._run()
        self._wanted = next(self._steps)

    def feed(self, data: bytes) -> None:
        """Take the next bytes. Raises TransferRefused, NoSpace, SandboxError."""
        if self._ended:  # what follows the end of an archive is padding, or a flood
            self._landing.count_bytes(len(data))
            return
        self._buffer += data
        while self._buffer and not self._ended:
            size = self._wanted if self._wanted > 0 else min(-self._wanted, len(self._buffer))
            if len(self._buffer) < size:
                return
            piece = bytes(self._buffer[:size])
            del self._buffer[:size]
            self._wanted = self._steps.send(piece)

    def finish(self) -> TransferReport:
        """Say what landed. Raises SandboxError where the archive has no end."""
        if not self._ended:
            raise SandboxError("the archive from the box was cut short")
        return self._landing.report()

    def _run(self) -> Steps:
        pax: dict[str, str] = {}
        while (info := _parse(block := (yield BLOCK))) is not None:
            self._landing.count_entry()
            if info.type in _PAX:
                pax |= _pax_records((yield from self._text(info.size)))
            elif info.type in _LONG:
                text = yield from self._text(info.size)
                pax[_LONG[info.type]] = _decoded(text.partition(b"\0")[0])
            elif info.type == tarfile.XGLTYPE:
                yield from self._body(info.size)
            else:
                extended = info.type == tarfile.GNUTYPE_SPARSE and block[482]
                while extended:
                    extended = (yield BLOCK)[504]
                _apply(info, pax)
                self._start(info, sparse=any(k.startswith("GNU.sparse") for k in pax))
                yield from self._body(0 if info.type in _BODILESS else info.size)
                self._landing.end(info.mtime)
                pax = {}
        self._ended = True
        yield BLOCK

    def _body(self, size: int) -> Steps:
        self._landing.count_bytes(size)
        left = size
        while left:
            piece = yield -left
            self._landing.write(piece)
            left -= len(piece)
        if size % BLOCK:
            yield -size % BLOCK

    def _text(self, size: int) -> Generator[int, bytes, bytes]:
        if not 0 < size <= MAX_HEADER:
            raise _broken(f"a header of {size} bytes")
        self._landing.count_bytes(size)
        return (yield size + -size % BLOCK)[:size]

    def _start(self, info: tarfile.TarInfo, *, sparse: bool) -> None:
        landing = self._landing
        with landing.entry(info.name):
            parts = self._below(info.name)
            if sparse or info.type == tarfile.GNUTYPE_SPARSE:
                raise Refused("a sparse file")
            if info.isdir():
                landing.folder(parts, info.mode)
            elif info.issym():
                landing.symlink(parts, info.linkname)
            elif info.islnk():
                landing.hardlink(parts, self._below(info.linkname))
            elif info.isreg():
                landing.begin(parts, info.mode)
                if info.mode & 0o6000:
                    landing.refuse(info.name, "its set-id bit was dropped")
            else:
                raise Refused(_KINDS.get(info.type, "an entry of unknown kind"))

    def _below(self, name: str) -> Parts:
        parts = parts_of(name)
        if parts[: len(self._root)] != self._root:
            raise Refused(f"{shown(name)} is outside of what was asked for")
        return parts[len(self._root) :]


def _parse(block: bytes) -> tarfile.TarInfo | None:
    """A header; None at the archive's end."""
    if not any(block):
        return None
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise _broken(str(error)) from error
    if info.size < 0:
        raise _broken("a negative size")
    return info


def _apply(info: tarfile.TarInfo, pax: dict[str, str]) -> None:
    info.name = pax.get("path", info.name)
    info.linkname = pax.get("linkpath", info.linkname)
    if "size" in pax:
        if not re.fullmatch(r"\d{1,19}", pax["size"], re.ASCII):
            raise _broken("a size that is no number")
        info.size = int(pax["size"])


def _pax_records(data: bytes) -> dict[str, str]:
    """Read `LENGTH KEY=VALUE` lines, each ended by a line feed that its length counts."""
    records: dict[str, str] = {}
    at = 0
    while at < len(data):
        match = _PAX_RECORD.match(data, at)
        end = at + int(match[1]) if match else 0
        if match is None or not match.end() < end <= len(data) or data[end - 1] != 0x0A:
            raise _broken("a header that cannot be read")
        records[_decoded(match[2])] = _decoded(data[match.end() : end - 1])
        at = end
    return records


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _broken(what: str) -> TransferRefused:
    return TransferRefused(
        f"what came out of the box is no tar archive: {what}", reason="archive_broken"
    )
