"""The list of what was copied out of the box, as Harbor keeps it: `artifacts/manifest.json`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mechagym.events import ArtifactCollected, Event


def manifest(number: int, events: Sequence[Event], folder: Path) -> list[dict[str, Any]]:
    """The entries of try `number`, whose evidence lies in `folder`."""
    collected = (
        event.body
        for event in events
        if event.try_number == number and isinstance(event.body, ArtifactCollected)
    )
    return [entry for body in collected if (entry := _entry(body, folder))]


def _entry(body: ArtifactCollected, folder: Path) -> dict[str, Any] | None:
    """None for what is no artifact: logs and changed files are collected too."""
    target = Path(body.target)
    base = next((parent for parent in target.parents if parent.name == "artifacts"), None)
    if target.name == "artifacts":
        base = target
    if base is None:
        return None
    place = target.relative_to(base)
    status = "ok" if body.files else ("failed" if body.refused else "empty")
    return {
        "source": body.source,
        "destination": (Path("artifacts") / place).as_posix(),
        "type": "file" if (folder / "artifacts" / place).is_file() else "directory",
        "status": status,
        "service": None,
        "exclude": None,
        "files": body.files,
        "size_bytes": body.size_bytes,
        "refused": list(body.refused),
    }
