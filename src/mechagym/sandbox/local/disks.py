"""Disks of a box's own: all that it may write fits into a file system of that size.

A disk is a sparse file that never had a name, behind a loop device that the kernel frees with its
last user, mounted nowhere but in namespaces of ours: nothing of it can be left behind. An empty
file system per size is made once and copied. It takes root of the host; where it cannot be had,
`storage_mb` is declared.
"""

import fcntl
import os
import shutil
import struct
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from errno import EBUSY
from pathlib import Path

from mechagym.errors import SandboxError
from mechagym.records import new_id
from mechagym.sandbox.base import MIB
from mechagym.sandbox.local import syscalls

TRIED_MB = 1
_LEAN = (
    "-q -F -m 0 -b 4096 -I 256 -i 8192"
    " -O ^has_journal,^metadata_csum,^resize_inode,uninit_bg -E lazy_itable_init=1,root_owner="
)
"""No journal, since nothing outlives a crash; and as few blocks to copy as can be."""

_OVERHEAD, _RESERVED, _AT_LEAST_MB = 0.036, 0.025, 4
_RESERVED_MB = 16
_GET_FREE, _CONFIGURE, _SHUTDOWN = 0x4C82, 0x4C0A, 0x8004_587D
_AUTOCLEAR, _DIRECT_IO = 4, 16
_NO_FLUSH = 2
_TRIES = 100


class Disk:
    """One empty file system. `mount`: where it stands, for the keeper to attach."""

    def __init__(self, mount: int) -> None:
        self.mount = mount
        self._root = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=mount)

    def handed_over(self) -> None:
        """Let go of the mount: the keeper has it, or it ends now."""
        if self.mount >= 0:
            os.close(self.mount)
            self.mount = -1

    def drop(self) -> None:
        """Give up what is on it, without writing it out first; again is no error."""
        self.handed_over()
        if self._root >= 0:
            with suppress(OSError):
                fcntl.ioctl(self._root, _SHUTDOWN, struct.pack("I", _NO_FLUSH))
            os.close(self._root)
            self._root = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Disks:
    """Makes them. `folder` holds the empty ones; files there belong to `owner`, a box's root."""

    folder: Path
    mkfs: str
    owner: int

    def make(self, size_mb: int) -> Disk:
        """A disk on which `size_mb` can be written. Blocks for milliseconds. Raises OSError,
        SandboxError.
        """
        source = self._empty(size_mb)
        try:
            copy = _copy(source, self.folder)
        finally:
            os.close(source)
        try:
            device, name = _attach(copy)
        finally:
            os.close(copy)
        try:
            return Disk(syscalls.new_mount("ext4", name, ("noinit_itable",)))
        finally:
            os.close(device)

    def _empty(self, size_mb: int) -> int:
        path = self.folder / f"{size_mb}.ext4"
        with suppress(FileNotFoundError):
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        fresh = path.with_suffix(f".{new_id()}")
        try:
            with fresh.open("wb") as file:
                file.truncate(_whole(size_mb) * MIB)
            options = f"{_LEAN}{self.owner}:{self.owner}".split()
            argv = [self.mkfs, *options, str(fresh)]
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SandboxError(f"{self.mkfs}: {done.stderr.strip()[-300:]}")
            fresh.rename(path)
        finally:
            fresh.unlink(missing_ok=True)
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def found(folder: Path, owner: int) -> tuple[Disks | None, str]:
    """Try one; None and why not."""
    if os.getuid() != 0:
        return None, "only root may mount a disk of a size"
    mkfs = shutil.which("mkfs.ext4") or shutil.which("mkfs.ext4", path="/usr/sbin:/sbin")
    if mkfs is None:
        return None, "mkfs.ext4 is not installed: apt-get install e2fsprogs"
    disks = Disks(folder=folder / "disks", mkfs=mkfs, owner=owner)
    try:
        disks.folder.mkdir(exist_ok=True, mode=0o700)
        disks.make(TRIED_MB).drop()
    except (OSError, SandboxError) as error:
        return None, str(error)
    return disks, "a file system of its own for each box"


def _whole(size_mb: int) -> int:
    """How big a file system is that has room for so much."""
    reserved = min(size_mb * _RESERVED, _RESERVED_MB)
    return int(size_mb * (1 + _OVERHEAD) + reserved) + _AT_LEAST_MB


def _copy(source: int, folder: Path) -> int:
    """A file without a name, with the same data and the same holes."""
    copy = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    syscalls.copy_sparse(source, copy)
    return copy


def _attach(file: int) -> tuple[int, str]:
    """A loop device over a file, open: it goes with its last user."""
    info = bytearray(232)  # struct loop_info64
    struct.pack_into("=I", info, 52, _AUTOCLEAR | _DIRECT_IO)
    config = struct.pack("=II", file, 4096) + bytes(info) + bytes(64)
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(_TRIES):
            name = f"/dev/loop{fcntl.ioctl(control, _GET_FREE)}"
            device = os.open(name, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(device, _CONFIGURE, config)
            except OSError as error:
                os.close(device)
                if error.errno != EBUSY:  # somebody was quicker
                    raise
            else:
                return device, name
    finally:
        os.close(control)
    raise SandboxError("no loop device is free")
