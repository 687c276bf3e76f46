"""What lies in a trial's folder: logs, and the files that the agent changed."""

import json
from collections.abc import Iterator
from difflib import unified_diff
from pathlib import Path
from typing import Any, Literal

from mechagym.cli.found import find_trial, opened
from mechagym.config import Settings
from mechagym.errors import ConfigError
from mechagym.trajectory.files import regular_files
from mechagym.trajectory.folder import JobFolder

SHOWN_BYTES = 1_000_000
LOGS = {"trial": ("trial.log", "exception.txt"), "agent": ("agent",), "verifier": ("verifier",)}


async def trial_folder(settings: Settings, called: str) -> Path:
    """The folder of a trial. Raises ConfigError where there is none."""
    async with opened(settings) as store:
        job, trial = await find_trial(store, called)
    folder = JobFolder(Path(job.folder)).trial_dir(trial.key.trial_name)
    if not folder.is_dir():
        raise ConfigError(
            f"{folder}: this folder is gone, or the trial has not begun",
            remedy=f"what the store keeps of it: mechagym trials show {trial.key.trial_name}",
        )
    return folder


def log_files(folder: Path, part: Literal["trial", "agent", "verifier"]) -> Iterator[Path]:
    """The log files of a part that are there, in order; binary ones are left out."""
    for name in LOGS[part]:
        path = folder / name
        found = [path] if path.is_file() else regular_files(path)
        yield from (file for file in found if _is_text(file))


def changes(folder: Path) -> Iterator[str]:
    """The files that were added (+), changed (~) and removed (-), new ones with their content."""
    last = _last_try(folder)
    listing = _listing(last)
    yield f"workdir {listing.get('workdir', '?')}"
    yield from (f"~ {path}" for path in listing.get("changed", ()))
    yield from (f"- {path}" for path in listing.get("removed", ()))
    for path in listing.get("added", ()):
        yield f"+ {path}"
        copy = last / "workspace" / path
        if copy.is_file() and not copy.is_symlink() and _is_text(copy):
            yield from (f"+   {line}" for line in _lines(copy))


def differences(ours: Path, theirs: Path) -> Iterator[str]:
    """Unified diffs of what the agents of two trials left in the files they changed."""
    left, right = _last_try(ours) / "workspace", _last_try(theirs) / "workspace"
    names = {file.relative_to(root) for root in (left, right) for file in regular_files(root)}
    for name in sorted(names):
        yield from unified_diff(
            _lines(left / name),
            _lines(right / name),
            f"{ours.name}/{name}",
            f"{theirs.name}/{name}",
            lineterm="",
        )


def _last_try(folder: Path) -> Path:
    tries = sorted((folder / "tries").glob("[0-9]*"))
    return tries[-1] if tries else folder


def _listing(folder: Path) -> dict[str, Any]:
    try:
        listing: dict[str, Any] = json.loads((folder / "workspace.json").read_bytes())
    except (OSError, ValueError):
        raise ConfigError(
            f"{folder}: no list of changed files was kept for this trial",
            remedy="it ended before its files were collected: see `mechagym trials show`",
        ) from None
    return listing


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        return []
    with path.open("rb") as file:
        return file.read(SHOWN_BYTES).decode("utf-8", "replace").splitlines()


def _is_text(path: Path) -> bool:
    with path.open("rb") as file:
        return b"\0" not in file.read(8192)
