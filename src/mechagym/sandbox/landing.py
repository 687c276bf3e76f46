"""Where files of a box land on the host: the only code that writes names and links an agent chose.

Invariant: nothing is created, changed or followed outside the target. Every folder on the way is
opened by its descriptor with O_NOFOLLOW, every file is created with O_EXCL, links are kept only
where they can never lead out, and what cannot be kept is left out with a finding while the rest
goes on. Only too much of everything (`TransferCaps`) ends the whole transfer.
"""

import errno
import os
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mechagym.errors import NoSpace, SandboxError, TransferRefused
from mechagym.sandbox.base import TransferCaps, TransferReport

Parts = tuple[str, ...]
"""A place below the target; () is the target itself."""

MAX_DEPTH = 128
MAX_FINDINGS = 100
_NO_SOURCE = "a hard link to a file that is not there"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LATEST = 2**33  # hostile times would not fit into every file system
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_ITS_OWN_FAULT = frozenset(
    {errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.ELOOP, errno.ENOTDIR, errno.EISDIR,
     errno.EEXIST, errno.EMLINK, errno.EXDEV}
)  # fmt: skip


class Refused(Exception):
    """One entry is left out; the text says why. Becomes a finding, never leaves this room."""


def parts_of(name: str) -> Parts:
    """Split an archive's name. Raises Refused for what cannot be below any target."""
    if name.startswith("/"):
        raise Refused("an absolute name")
    parts = tuple(p for p in name.split("/") if p not in ("", "."))
    if ".." in parts:
        raise Refused("a name with ..")
    if "\0" in name:
        raise Refused("a name with a zero byte")
    if len(parts) > MAX_DEPTH:
        raise Refused(f"more than {MAX_DEPTH} folders deep")
    return parts


def shown(name: str) -> str:
    """A hostile name as it may be printed and stored: no control characters, no surrogates."""
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name[:200])
    return text or "(empty name)"


class Landing:
    """One transfer into `target`, which may exist. Blocking, for one thread; to be closed."""

    def __init__(self, target: Path, caps: TransferCaps) -> None:
        self._target = target
        self._caps = caps
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._top = os.open(target.parent, _FOLDER & ~os.O_NOFOLLOW)
        except OSError as error:
            raise self._failed(error) from error
        self._trail: list[tuple[str, int]] = []  # the open folders, from the target down
        self._seen: set[int] = set()
        self._open_file: tuple[int, int, str] | None = None
        self._findings: list[str] = []
        self._entries = self._files = self._promised = self._written = self._left_out = 0

    def count_entry(self) -> None:
        """Take one more entry into account, kept or not. Raises TransferRefused."""
        self._entries += 1
        if self._entries > self._caps.max_files:
            raise self._over(f"more than {self._caps.max_files} entries")

    def count_bytes(self, size: int) -> None:
        """Take `size` more bytes into account before they come. Raises TransferRefused."""
        self._promised += size
        if self._promised > self._caps.max_bytes:
            raise self._over(f"more than {self._caps.max_bytes} bytes")

    def refuse(self, name: str, reason: str) -> None:
        """Leave an entry out, with a finding."""
        self._left_out += 1
        if len(self._findings) < MAX_FINDINGS:
            self._findings.append(f"{shown(name)}: {reason}")

    @contextmanager
    def entry(self, name: str) -> Iterator[None]:
        """Do one entry: what is wrong with it alone becomes a finding.

        Raises NoSpace, SandboxError for what is wrong with the target.
        """
        try:
            yield
        except Refused as refused:
            self.refuse(name, str(refused))
        except OSError as error:
            if error.errno not in _ITS_OWN_FAULT:
                raise self._failed(error) from error
            self.refuse(name, (error.strerror or "cannot be written").lower())

    def folder(self, parts: Parts, mode: int) -> None:
        """Make a folder; ours to enter and to empty, whatever its mode said."""
        fd = self._enter((self._target.name, *parts))
        os.fchmod(fd, mode & 0o777 | 0o700)

    def begin(self, parts: Parts, mode: int) -> None:
        """Start a regular file; `write` and `end` go on with it."""
        fd, name = self._place(parts)
        file = os.open(name, _FILE, 0o600, dir_fd=fd)
        self._open_file = (file, fd, name)
        os.fchmod(file, mode & 0o777 | 0o400)

    def write(self, data: bytes | memoryview) -> None:
        """Append to the file begun. Raises NoSpace."""
        if self._open_file is None:
            return
        self._written += len(data)
        try:
            while data:
                data = data[os.write(self._open_file[0], data) :]
        except OSError as error:
            raise self._failed(error) from error

    def end(self, mtime: float) -> None:
        """Finish the file begun, if one was."""
        if self._open_file is None:
            return
        file, _, _ = self._open_file
        self._open_file = None
        moment = min(max(mtime, 0), _LATEST)
        os.utime(file, (moment, moment))
        os.close(file)
        self._files += 1

    def symlink(self, parts: Parts, target: str) -> None:
        """Make a link, if it stays below the target whatever other links it passes."""
        if not target or "\0" in target:
            raise Refused("a link to nowhere")
        if target.startswith("/"):
            raise Refused(f"a link to the absolute {shown(target)}")
        steps = [s for s in target.split("/") if s not in ("", ".")]
        ups = next((i for i, s in enumerate(steps) if s != ".."), len(steps))
        if not parts or ups > len(parts) - 1:
            raise Refused(f"a link out of the folder, to {shown(target)}")
        if ".." in steps[ups:]:  # after a link, `..` is not where the text says
            raise Refused(f"a link by a roundabout way, {shown(target)}")
        fd, name = self._place(parts)
        os.symlink(target, name, dir_fd=fd)
        self._files += 1

    def hardlink(self, parts: Parts, source: Parts) -> None:
        """Make a second name of a regular file that has landed."""
        try:
            from_fd = os.dup(self._enter((self._target.name, *source[:-1]), make=False))
        except FileNotFoundError:
            raise Refused(_NO_SOURCE) from None
        try:
            at = os.stat(source[-1] if source else ".", dir_fd=from_fd, follow_symlinks=False)
            if not stat.S_ISREG(at.st_mode):  # a link at another depth would lead elsewhere
                raise Refused("a hard link to what is no regular file")
            fd, name = self._place(parts)
            os.link(source[-1], name, src_dir_fd=from_fd, dst_dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            raise Refused(_NO_SOURCE) from None
        finally:
            os.close(from_fd)
        self._files += 1

    def report(self) -> TransferReport:
        """What landed so far, and what was left out."""
        more = self._left_out - len(self._findings)
        rest = (f"and {more} more",) if more else ()
        return TransferReport(
            files=self._files, size_bytes=self._written, refused=(*self._findings, *rest)
        )

    def close(self) -> None:
        """Let go of all descriptors; a file that was not finished is removed."""
        if self._open_file is not None:
            file, fd, name = self._open_file
            self._open_file = None
            os.close(file)
            with suppress(OSError):
                os.unlink(name, dir_fd=fd)
        self._leave(0)
        os.close(self._top)

    def _enter(self, path: Parts, *, make: bool = True) -> int:
        """The descriptor of a folder, made where it is missing; never through a link."""
        same = 0
        for (name, _), wanted in zip(self._trail, path, strict=False):
            if name != wanted:
                break
            same += 1
        self._leave(same)
        for depth in range(same, len(path)):
            here = self._trail[-1][1] if self._trail else self._top
            self._trail.append((path[depth], self._step(here, path[: depth + 1], make=make)))
        return self._trail[-1][1] if self._trail else self._top

    def _step(self, here: int, path: Parts, *, make: bool) -> int:
        try:
            fd = os.open(path[-1], _FOLDER, dir_fd=here)
        except FileNotFoundError:
            if not make:
                raise
            self._claim(path, here)
            os.mkdir(path[-1], 0o755, dir_fd=here)
            return os.open(path[-1], _FOLDER, dir_fd=here)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise Refused(f"{shown(path[-1])} on its way is a link or a file") from None
            raise
        self._seen.add(_key(path))
        return fd

    def _leave(self, depth: int) -> None:
        while len(self._trail) > depth:
            os.close(self._trail.pop()[1])

    def _place(self, parts: Parts) -> tuple[int, str]:
        """Where a new file or link goes; what stood there before this transfer is removed."""
        path = (self._target.name, *parts)
        here = self._enter(path[:-1])
        self._claim(path, here)
        with suppress(FileNotFoundError):
            if stat.S_ISDIR(os.stat(path[-1], dir_fd=here, follow_symlinks=False).st_mode):
                raise Refused("a folder stands there")
            os.unlink(path[-1], dir_fd=here)
        return here, path[-1]

    def _claim(self, path: Parts, here: int) -> None:
        key = _key(path)
        if key in self._seen:
            try:
                os.stat(path[-1], dir_fd=here, follow_symlinks=False)
            except FileNotFoundError:
                raise Refused("its name differs from another's only by case or accents") from None
            raise Refused("there twice; the first one was kept")
        self._seen.add(key)

    def _over(self, what: str) -> TransferRefused:
        return TransferRefused(
            f"{self._target}: {what} came out of the box; {self._files} files were kept",
            remedy="Let the task write less there, or raise the caps of the transfer.",
            reason="transfer_over_caps",
        )

    def _failed(self, error: OSError) -> SandboxError:
        if error.errno in _FULL:
            return NoSpace(
                f"{self._target}: {error.strerror}", remedy="Free space on that file system."
            )
        return SandboxError(f"{self._target}: {error.strerror}", retry=False)


def _key(path: Parts) -> int:
    """Equal for names that some file system takes for one; salted, so that none can be forged."""
    return hash(unicodedata.normalize("NFC", "/".join(path)).casefold())
