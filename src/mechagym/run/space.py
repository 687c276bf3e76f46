"""Free space is looked at before a trial, because a full disk spoils what is already there."""

import shutil
from pathlib import Path

from mechagym.errors import NoSpace

LEAST_FREE_MB = 500


def check_space(folder: Path) -> None:
    """Raise NoSpace, naming the folder, where less than 500 MB are free."""
    free_mb = shutil.disk_usage(folder).free // (1024 * 1024)
    if free_mb < LEAST_FREE_MB:
        raise NoSpace(
            f"{folder}: {free_mb} MB are free, a trial needs {LEAST_FREE_MB}",
            remedy="free some space, or choose another folder with -o",
        )
