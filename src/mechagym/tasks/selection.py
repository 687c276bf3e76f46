"""Choosing tasks by name: globs on `name` or `dataset/name`, and a word of help where none fits."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase

from mechagym.errors import ConfigError
from mechagym.tasks.dataset import Dataset, load_dataset
from mechagym.tasks.model import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Tasks that were asked for by name, and the dataset they were found in."""

    dataset: Dataset
    tasks: tuple[Task, ...]


def select(
    tasks: Iterable[Task], include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> tuple[Task, ...]:
    """Return the tasks that a glob of `include` fits (all, if there is none) and none of `exclude`.

    Raises ConfigError, with suggestions, where a glob of either fits nothing.
    """
    known = tuple(tasks)
    for glob in (*include, *exclude):
        if not any(_fits(task, glob) for task in known):
            raise _no_such_task(glob, known)
    return tuple(
        task
        for task in known
        if (not include or any(_fits(task, glob) for glob in include))
        and not any(_fits(task, glob) for glob in exclude)
    )


def resolve(
    names: Sequence[str],
    sources: Sequence[str],
    load: Callable[[str], Dataset] = load_dataset,
) -> tuple[Found, ...]:
    """Look each name up in the sources in turn; the first that has it wins, the rest stay unread.

    Raises ConfigError where a name is in none of them.
    """
    left = list(dict.fromkeys(names))
    found: list[Found] = []
    seen: list[Task] = []
    for source in sources:
        if not left:
            break
        dataset = load(source)
        seen += dataset.tasks
        here = [name for name in left if any(_fits(task, name) for task in dataset.tasks)]
        if here:
            found.append(Found(dataset=dataset, tasks=select(dataset.tasks, here)))
            left = [name for name in left if name not in here]
    if left:
        raise _no_such_task(left[0], seen)
    return tuple(found)


def _fits(task: Task, glob: str) -> bool:
    return fnmatchcase(task.name, glob) or fnmatchcase(task.task_id, glob)


def _no_such_task(glob: str, tasks: Sequence[Task]) -> ConfigError:
    names = sorted({task.name for task in tasks})
    close = get_close_matches(glob.rpartition("/")[2].strip("*"), names, n=3, cutoff=0.5)
    help_ = f"Did you mean {', '.join(close)}?" if close else f"There are {len(names)} tasks."
    return ConfigError(f"no task is named {glob!r}", remedy=help_, reason="no_such_task")
