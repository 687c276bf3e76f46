"""Where tasks come from: what the person named, else the dataset of the settings."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import click

from mechagym.config import Settings
from mechagym.errors import ConfigError
from mechagym.tasks.dataset import Dataset, load_dataset
from mechagym.tasks.folder import is_task
from mechagym.tasks.model import Task
from mechagym.tasks.selection import resolve, select

HOW_TO_SET = (
    "name a folder of tasks, or set a dataset by --tasks, MECHAGYM_TASKS"
    " or `tasks` in a settings file"
)


def sources_of(settings: Settings, named: Sequence[str]) -> tuple[str, ...]:
    """What to load. Raises ConfigError where nothing is named and nothing is set."""
    if named:
        return tuple(named)
    if settings.tasks is None:
        raise ConfigError(
            "no tasks: no SOURCE is named, and no dataset is set to take them from",
            remedy=HOW_TO_SET,
        )
    click.echo(f"tasks: {settings.tasks} (from {settings.origins['tasks']})", err=True)
    return (settings.tasks,)


def load(settings: Settings, source: str) -> Dataset:
    """Load one source with this host's cache and registries; a bare task name is looked up.

    Raises ConfigError or TaskError.
    """
    loader = partial(
        load_dataset, cache=settings.cache_dir / "tasks", registries=settings.registries
    )
    bare = "/" not in source and not Path(source).exists() and not source.startswith("git+")
    if not bare or settings.tasks is None or source == settings.tasks:
        return loader(source)
    try:
        return loader(source)
    except ConfigError:
        (found,) = resolve([source], [settings.tasks], loader)
    click.echo(f"tasks: {settings.tasks} (from {settings.origins['tasks']})", err=True)
    return replace(found.dataset, tasks=found.tasks, broken=())


def datasets_of(
    settings: Settings,
    named: Sequence[str],
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> list[Dataset]:
    """Load all sources, with only the tasks that the globs let through; datasets left empty go."""
    datasets = [load(settings, source) for source in sources_of(settings, named)]
    if not include and not exclude:
        return datasets
    everything = [task for dataset in datasets for task in dataset.tasks]
    chosen = {task.folder for task in select(everything, include, exclude)}
    narrowed = (
        replace(d, tasks=tuple(t for t in d.tasks if t.folder in chosen), broken=())
        for d in datasets
    )
    return [dataset for dataset in narrowed if dataset.tasks]


def one_task(settings: Settings, called: str) -> Task:
    """A task by its folder or its name. Raises TaskError, ConfigError."""
    folder = Path(called)
    if folder.is_dir():
        if not is_task(folder):
            raise ConfigError(
                f"{folder}: not a task, it has no task.toml",
                remedy=f"if it is a dataset: mechagym tasks list {folder}",
            )
        dataset = load(settings, str(folder))
        if dataset.broken:
            raise dataset.broken[0].reason
        return dataset.tasks[0]
    if settings.tasks is None:
        raise ConfigError(
            f"no folder {called!r}, and no dataset is set to look the name up in",
            remedy=HOW_TO_SET,
        )
    (source,) = sources_of(settings, ())
    (found,) = resolve([called], [source], partial(load, settings))
    return found.tasks[0]
