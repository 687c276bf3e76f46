"""`tasks import`: the tasks of any source written out as Harbor folders of one's own."""

import errno
import shutil
from pathlib import Path

from mechagym.errors import ConfigError, NoSpace, TaskError
from mechagym.tasks.dataset import Dataset


def import_tasks(dataset: Dataset, target: Path) -> tuple[Path, ...]:
    """Copy each task of a dataset to `target/<name>`, in Harbor's form; return the new folders.

    Raises ConfigError, before anything is written, where one of them is there already.
    """
    folders = tuple(target / task.name for task in dataset.tasks)
    taken = next((folder for folder in folders if folder.exists()), None)
    if taken is not None:
        raise ConfigError(f"{taken}: is there already", remedy="Name an empty folder.")
    for task, folder in zip(dataset.tasks, folders, strict=True):
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(task.folder, folder, symlinks=True, ignore=_git)
        except OSError as error:
            kind = NoSpace if error.errno == errno.ENOSPC else TaskError
            raise kind(f"{folder}: cannot be written: {error}") from error
    return folders


def _git(_directory: str, names: list[str]) -> list[str]:
    return [name for name in names if name == ".git"]
