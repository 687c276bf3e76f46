"""Folders that are made once and kept: each appears whole under its name, or not at all.

The name of a cached folder says all that its content depends on (a commit, a digest), so that what
is there is never checked or updated. Two processes may make the same one: the first to finish wins.
"""

import errno
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mechagym.errors import NoSpace, TaskError

DEFAULT = Path("~/.cache/mechagym/tasks")


def cache_folder(given: Path | None) -> Path:
    """Return the cache folder: the one given, else the user's own."""
    return (given or DEFAULT).expanduser().resolve()


def made_once(target: Path, fill: Callable[[Path], None]) -> Path:
    """Return `target`, made by `fill` (which gets an empty folder to write in) if it is not there.

    Raises what `fill` raises, with nothing left behind; NoSpace or TaskError where the cache cannot
    be written.
    """
    if target.is_dir():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".making-", dir=target.parent) as room:
            fresh = Path(room) / "it"
            fresh.mkdir()
            fill(fresh)
            with suppress(FileExistsError, NotADirectoryError):
                _rename(fresh, target)
    except OSError as error:
        raise _unwritable(target, error) from error
    return target


def _rename(fresh: Path, target: Path) -> None:
    try:
        fresh.rename(target)
    except OSError:
        if not target.is_dir():  # else another process was quicker
            raise
        shutil.rmtree(fresh)


def _unwritable(target: Path, error: OSError) -> Exception:
    if error.errno == errno.ENOSPC:
        return NoSpace(f"{target.parent}: no space left", remedy="Free some, or set another cache.")
    return TaskError(f"{error.filename or target}: cannot be written: {error.strerror}")
