"""Notes of the boxes open from here, so that a sweep waits for what the dead had asked for.

An engine goes on with a request whose sender was killed: a container may come into being after a
sweep has looked. Its note was there before the request; it goes when the box is closed.
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mechagym.sandbox.base import ReapScope
from mechagym.sandbox.owner import reapable


@dataclass(frozen=True, slots=True)
class Opening:
    """A box that a dead owner was opening or had open."""

    path: Path
    at: float

    @property
    def name(self) -> str:
        """The name of its container."""
        return self.path.stem

    @property
    def age_s(self) -> float:
        """How long ago it was begun."""
        return time.time() - self.at


@dataclass(frozen=True, slots=True)
class Openings:
    """Notes in `folder`, for one engine."""

    folder: Path

    @contextmanager
    def noted(self, name: str, labels: Mapping[str, str]) -> Iterator[None]:
        """Have a note of a box for as long as this lasts."""
        self.folder.mkdir(parents=True, exist_ok=True)
        note = self.folder / f"{name}.json"
        note.write_text(json.dumps(dict(labels)), encoding="utf-8")
        try:
            yield
        finally:
            note.unlink(missing_ok=True)

    def of_the_dead(self, scope: ReapScope) -> list[Opening]:
        """Those whose owner can be reaped, in no order."""
        found = []
        for note in self.folder.glob("*.json"):
            with suppress(FileNotFoundError, ValueError):
                if reapable(json.loads(note.read_text(encoding="utf-8")), scope):
                    found.append(Opening(note, note.stat().st_mtime))
        return found
