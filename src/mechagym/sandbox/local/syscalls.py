"""The few Linux calls that Python's library lacks, each a thin, checked wrapper.

Every function raises OSError with the path it was about; none keeps state.
"""

import ctypes
import os
from functools import cache

CLONE_NEWNS = 0x0002_0000
CLONE_NEWUSER = 0x1000_0000
CLONE_NEWNET = 0x4000_0000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT = 1, 2, 4, 32
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18

RESOLVE_NO_MAGICLINKS, RESOLVE_IN_ROOT = 0x02, 0x10

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
# the same numbers on every architecture, as for all calls since 5.1
_SYS_OPEN_TREE, _SYS_MOVE_MOUNT, _SYS_OPENAT2 = 428, 429, 437
_SYS_FSOPEN, _SYS_FSCONFIG, _SYS_FSMOUNT = 430, 431, 432
_CLOEXEC, _SET_FLAG, _SET_STRING, _CMD_CREATE = 1, 0, 1, 6
_ATTR_NOSUID_NODEV = 2 | 4
_OPEN_TREE_CLONE, _MOVE_MOUNT_F_EMPTY_PATH = 1, 4
_AT_FDCWD = -100


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, about: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), about)
    return result


def unshare(flags: int) -> None:
    """Leave namespaces of the parent for new ones. CLONE_NEWUSER wants a process of one thread."""
    _check(_libc().unshare(flags), f"unshare {flags:#x}")


def enter(namespace: str, flags: int) -> None:
    """Join the namespace that a `/proc/PID/ns/…` path names."""
    descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc().setns(descriptor, flags), namespace)
    finally:
        os.close(descriptor)


def mount(source: str, target: str, *, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2); `data` is at most a page long."""
    result = _libc().mount(
        source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode()
    )
    _check(result, f"mount {kind or source} on {target}")


def detached(path: str) -> int:
    """A mount of a folder that stands nowhere yet, to be attached by somebody else; for root."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC
    return _check(_libc().syscall(_SYS_OPEN_TREE, _AT_FDCWD, path.encode(), flags), path)


def new_mount(kind: str, source: str, flags: tuple[str, ...] = ()) -> int:
    """A file system of a device, mounted nowhere yet, to be attached by somebody else; for root."""
    call = _libc().syscall
    about = f"{kind} on {source}"
    opened = _check(call(_SYS_FSOPEN, kind.encode(), _CLOEXEC), about)
    try:
        for flag in flags:
            _check(call(_SYS_FSCONFIG, opened, _SET_FLAG, flag.encode(), None, 0), about)
        _check(call(_SYS_FSCONFIG, opened, _SET_STRING, b"source", source.encode(), 0), about)
        _check(call(_SYS_FSCONFIG, opened, _CMD_CREATE, None, None, 0), about)
        return _check(call(_SYS_FSMOUNT, opened, _CLOEXEC, _ATTR_NOSUID_NODEV), about)
    finally:
        os.close(opened)


def attach(tree: int, target: str) -> None:
    """Put a detached mount in its place."""
    result = _libc().syscall(
        _SYS_MOVE_MOUNT, tree, b"", _AT_FDCWD, target.encode(), _MOVE_MOUNT_F_EMPTY_PATH
    )
    _check(result, f"attach {target}")


def unmount(target: str) -> None:
    """Take a mount out of the tree now; it ends with its last user."""
    _check(_libc().umount2(target.encode(), 2), f"unmount {target}")


def adopt_orphans() -> None:
    """Become the reaper of all descendants whose parents end."""
    _check(_libc().prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")


def die_with_parent() -> None:
    """Be killed when the thread that forked this process ends: for parents of one thread."""
    _check(_libc().prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0), "prctl")


def copy_sparse(source: int, target: int) -> None:
    """Copy an open file into an open empty one, holes as holes."""
    size, at = os.fstat(source).st_size, 0
    os.ftruncate(target, size)
    while at < size:
        try:
            at = os.lseek(source, at, os.SEEK_DATA)
        except OSError:  # ENXIO: a hole up to the end
            return
        end = os.lseek(source, at, os.SEEK_HOLE)
        os.lseek(target, at, os.SEEK_SET)
        while at < end and (count := os.sendfile(target, source, at, end - at)):
            at += count


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


def open_within(root: int, path: str, flags: int, mode: int = 0) -> int:
    """Open a path as if the folder `root` were `/`: no link and no `..` leads out of it.

    Magic links (of /proc) are refused. The descriptor is closed on exec.
    """
    how = _OpenHow(flags | os.O_CLOEXEC, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
    name = os.fsencode(path)
    result = _libc().syscall(_SYS_OPENAT2, root, name, ctypes.byref(how), ctypes.sizeof(how))
    return _check(result, path)
