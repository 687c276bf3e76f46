"""Datasets: a source that a person names becomes tasks, and broken tasks with their reasons.

A source is a folder (of task folders, or one task), `git+URL[@rev][#subdir]`, a registry name, a
registry file (`registry.json#name`, `dataset.toml`) or a suite file. One broken task never keeps
the others from loading.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from mechagym.errors import ConfigError, TaskError
from mechagym.tasks.folder import is_task, load_task
from mechagym.tasks.git import PREFIX, GitSource, checkout, parse_git
from mechagym.tasks.model import Task
from mechagym.tasks.registry import Listing, Place, find_listing, read_registry
from mechagym.tasks.suite import is_suite, read_suite
from mechagym.tasks.texts import read_json

NOT_TASKS = frozenset({"scripts", "docs"})
KNOWN: dict[str, GitSource] = {
    "terminal-bench@2.0": GitSource(
        url="https://github.com/laude-institute/terminal-bench-2.git",
        rev="69671fbaac6d67a7ef0dfec016cc38a64ef7a77c",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A task that cannot be read: its folder, and the error that says why."""

    folder: Path
    reason: TaskError


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A named set of tasks, sorted by name.

    `skipped` are entries of the folder that are no tasks; `version` is a commit for git.
    """

    name: str
    source: str
    tasks: tuple[Task, ...]
    version: str | None = None
    broken: tuple[Broken, ...] = ()
    skipped: tuple[Path, ...] = ()

    @property
    def digest(self) -> str:
        """One number for the set: equal sets have it equal, wherever they lie."""
        lines = "".join(f"{task.name}\0{task.digest}\n" for task in self.tasks)
        return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def load_dataset(
    source: str, *, cache: Path | None = None, registries: Sequence[Path] = ()
) -> Dataset:
    """Load a dataset. `registries` are files in which a bare name is looked up, the first wins.

    Raises ConfigError where the source does not exist, TaskError where nothing of it can be read.
    """
    if source.startswith(PREFIX):
        return _from_git(source, parse_git(source), cache)
    if source in KNOWN:
        name, _, version = source.partition("@")
        return replace(_from_git(source, KNOWN[source], cache, name), version=version)
    place, _, label = source.partition("#")
    path = Path(place).expanduser()
    if path.is_dir():
        return _from_folder(source, path.resolve(), cache)
    if path.is_file():
        return _from_file(source, path.resolve(), label, cache)
    return _from_registries(source, registries, cache)


def _from_git(source: str, place: GitSource, cache: Path | None, name: str = "") -> Dataset:
    found = checkout(place, cache)
    dataset = _from_folder(source, found.folder, cache, name or place.name)
    return replace(dataset, version=found.commit)


def _from_folder(source: str, folder: Path, cache: Path | None, name: str = "") -> Dataset:
    if is_task(folder):
        tasks, broken = _load([folder], "", cache)
        return Dataset(name=name or folder.name, source=source, tasks=tasks, broken=broken)
    manifest = folder / "dataset.toml"
    if manifest.is_file():
        listing = read_registry(manifest)[0]
        if listing.tasks:
            return _from_listing(source, manifest, listing, cache)
        name = name or listing.name
    found = list(_walk(folder))
    name = name or folder.name
    tasks, broken = _load([path for path, wanted in found if wanted], name, cache)
    if not tasks and not broken:
        raise TaskError(
            f"{folder}: holds no task",
            remedy="A dataset is a folder of folders with a task.toml each.",
            reason="no_tasks",
        )
    skipped = tuple(path for path, wanted in found if not wanted)
    return Dataset(name=name, source=source, tasks=tasks, broken=broken, skipped=skipped)


def _walk(folder: Path, *, nested: bool = False) -> Iterator[tuple[Path, bool]]:
    """Yield each entry and whether it is (or tries to be) a task; one level of folders of tasks."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise TaskError(f"{folder}: cannot be read: {error.strerror}") from None
    for entry in entries:
        if not entry.is_dir() or entry.name.startswith(".") or entry.name in NOT_TASKS:
            yield entry, False
        elif is_task(entry) or not os.access(entry, os.R_OK | os.X_OK) or _looks_like_one(entry):
            yield entry, True
        else:
            inner = [] if nested else list(_walk(entry, nested=True))
            yield from inner if any(wanted for _, wanted in inner) else [(entry, False)]


def _looks_like_one(folder: Path) -> bool:
    return (folder / "instruction.md").is_file()


def _load(
    folders: Iterable[Path], dataset: str, cache: Path | None
) -> tuple[tuple[Task, ...], tuple[Broken, ...]]:
    tasks: dict[str, Task] = {}
    broken: list[Broken] = []
    for folder in folders:
        try:
            task = load_task(folder, dataset=dataset, cache=cache)
        except TaskError as error:
            broken.append(Broken(folder=folder, reason=error))
            continue
        first = tasks.setdefault(task.name, task)
        if first is not task:
            reason = TaskError(f"{folder}: {first.folder} is named {task.name!r} too")
            broken.append(Broken(folder=folder, reason=reason))
    return tuple(sorted(tasks.values(), key=lambda task: task.name)), tuple(broken)


def _from_file(source: str, path: Path, label: str, cache: Path | None) -> Dataset:
    if path.name in {"task.toml", "task.yaml"}:
        return _from_folder(source, path.parent, cache)
    if path.suffix == ".json" and is_suite(read_json(path)):
        return _from_suite(source, path, cache)
    if path.suffix not in {".json", ".toml"}:
        raise ConfigError(
            f"{path}: not a source of tasks",
            remedy="A source is a folder, a .json or .toml file, git+URL or a registry name.",
        )
    listings = read_registry(path)
    only = listings[0] if len(listings) == 1 and not label else None
    listing = only or find_listing(listings, label)
    if listing is None:
        names = ", ".join(sorted(x.label for x in listings))
        raise ConfigError(f"{path}: no dataset {label!r} in it", remedy=f"It has: {names}")
    return _from_listing(source, path, listing, cache)


def _from_suite(source: str, path: Path, cache: Path | None) -> Dataset:
    suite = read_suite(path, cache)
    tasks, broken = _load(suite.folders, suite.name, cache)
    return Dataset(
        name=suite.name,
        version=suite.version,
        source=source,
        tasks=tuple(replace(task, form="suite") for task in tasks),
        broken=broken + tuple(Broken(folder=path, reason=error) for error in suite.broken),
    )


def _from_registries(source: str, registries: Sequence[Path], cache: Path | None) -> Dataset:
    labels = list(KNOWN)
    for path in registries:
        listings = read_registry(path)
        listing = find_listing(listings, source)
        if listing is not None:
            return _from_listing(source, path, listing, cache)
        labels += [listing.label for listing in listings]
    close = get_close_matches(source, labels, n=1)
    raise ConfigError(
        f"no folder, file or dataset named {source!r}",
        remedy=f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(sorted(labels))}",
    )


def _from_listing(source: str, path: Path, listing: Listing, cache: Path | None) -> Dataset:
    folders, away = _places(path, listing.tasks, cache)
    tasks, broken = _load(folders, listing.name, cache)
    return Dataset(
        name=listing.name,
        version=listing.version,
        source=source,
        tasks=tasks,
        broken=broken + away,
    )


def _places(
    path: Path, places: Sequence[Place], cache: Path | None
) -> tuple[list[Path], tuple[Broken, ...]]:
    """Have all places at hand; each revision of a repository is asked for once."""
    folders: list[Path] = []
    away: list[Broken] = []
    revisions: dict[tuple[str, str | None], list[Place]] = {}
    for place in places:
        if place.git_url is None:
            folders.append((path.parent / place.folder).resolve())
        else:
            revisions.setdefault((place.git_url, place.git_commit_id), []).append(place)
    for (url, rev), here in revisions.items():
        try:
            root = checkout(GitSource(url=url, rev=rev), cache).folder
            folders += [root / place.folder for place in here]
        except TaskError as error:
            away += [Broken(folder=Path(place.folder), reason=error) for place in here]
    return folders, tuple(away)
