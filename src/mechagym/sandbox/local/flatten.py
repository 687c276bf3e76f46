"""Many layers of overlayfs made into one, for forks of forks: what is on top wins.

What a layer says by whiteouts and opaque folders is kept, since the image is still underneath.
Files are linked, not copied: nobody writes into a layer. From another file system they are copied.
"""

import os
import shutil
import stat
from contextlib import suppress
from errno import EMLINK, EXDEV
from pathlib import Path

from mechagym.sandbox.local import syscalls

_OVERLAY = "user.overlay."
_OPAQUE = f"{_OVERLAY}opaque"

Copied = dict[tuple[int, int], Path]
"""Where a file with several names was copied to first, by device and inode."""


def flatten(layers: list[Path], target: Path) -> None:
    """Merge folders, the topmost first, into the folder `target`; one that is absent is empty."""
    copied: Copied = {}
    for layer in reversed(layers):
        if layer.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            _apply(layer, target, copied)


def _apply(layer: Path, target: Path, copied: Copied) -> None:
    """Lay a folder over another one."""
    for source in layer.iterdir():
        place = target / source.name
        if not _is_folder(source):
            _clear(place)
            _bring(source, place, copied)
            continue
        if _is_opaque(source) or not _is_folder(place):
            _clear(place)
            place.mkdir()
        _apply(source, place, copied)
    _dress(layer, target)


def _bring(source: Path, place: Path, copied: Copied) -> None:
    at = source.lstat()
    known = copied.get((at.st_dev, at.st_ino), source)
    try:
        os.link(known, place, follow_symlinks=False)
    except OSError as error:
        if error.errno not in {EXDEV, EMLINK}:
            raise
        _copy(source, place, at)
        _dress(source, place)
        if at.st_nlink > 1:
            copied[at.st_dev, at.st_ino] = place


def _copy(source: Path, place: Path, at: os.stat_result) -> None:
    if stat.S_ISLNK(at.st_mode):
        place.symlink_to(source.readlink())
    elif stat.S_ISREG(at.st_mode):
        with source.open("rb") as old, place.open("xb") as new:
            syscalls.copy_sparse(old.fileno(), new.fileno())
    else:
        os.mknod(place, at.st_mode, at.st_rdev)


def _dress(source: Path, place: Path) -> None:
    """Owner, attributes, mode and times as those of the source."""
    at = source.lstat()
    os.lchown(place, at.st_uid, at.st_gid)
    if not stat.S_ISLNK(at.st_mode):
        for name in os.listxattr(source, follow_symlinks=False):
            if name == _OPAQUE or not name.startswith(_OVERLAY):
                value = os.getxattr(source, name, follow_symlinks=False)
                os.setxattr(place, name, value, follow_symlinks=False)
        place.chmod(stat.S_IMODE(at.st_mode))
    os.utime(place, ns=(at.st_atime_ns, at.st_mtime_ns), follow_symlinks=False)


def _clear(place: Path) -> None:
    if _is_folder(place):
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _is_opaque(folder: Path) -> bool:
    with suppress(OSError):
        return os.getxattr(folder, _OPAQUE, follow_symlinks=False) == b"y"
    return False
