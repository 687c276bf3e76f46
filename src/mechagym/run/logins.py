"""A login as a file that one box sees, for who asks for `delivery = "mount"`.

Nobody else on this host can read it at any moment. It is gone with its try, however that ends;
what a killed process left goes at the next start. Each note of an owner is there before its folder.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mechagym.errors import LimitRefused
from mechagym.records import BoxInfo, new_id
from mechagym.sandbox.base import Labels, Mount, ReapScope, Removed
from mechagym.sandbox.lane import same_user
from mechagym.sandbox.owner import describe, owner_labels, reapable
from mechagym.tasks.model import Task

FILE = ".credentials.json"
IN_BOX = f"/root/.claude/{FILE}"
"""Where Claude Code looks; the folder around it can be written to."""


@dataclass(frozen=True, slots=True)
class Logins:
    """The login files of this host's user, each in a folder of its own below `folder`."""

    folder: Path

    @contextmanager
    def shown(self, content: bytes, labels: Labels) -> Iterator[Mount]:
        """Have such a file for as long as this lasts, as what a box is to be shown."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = new_id().lower()
        note, place = self.folder / f"{name}.json", self.folder / name
        try:
            note.write_text(json.dumps(owner_labels(labels)), encoding="utf-8")
            place.mkdir(mode=0o700)
            _write(place, content)
            yield Mount(source=place / FILE, target=IN_BOX, private=True)
        finally:
            _remove(place, note)

    def sweep(self, scope: ReapScope) -> list[Removed]:
        """Remove what dead processes left: ours only."""
        gone = []
        for note in sorted(self.folder.glob("*.json")):
            labels = _read(note)
            if labels is not None and reapable(labels, scope):
                place = note.with_suffix("")
                if not scope.dry_run:
                    _remove(place, note)
                gone.append(Removed(what="folder", name=str(place), owner=describe(labels)))
        return gone


def check_readers(box: BoxInfo, task: Task) -> None:
    """See that whoever works in the box can read the file. Raises LimitRefused."""
    others = {step.agent.user or box.user for step in task.steps}
    for user in sorted(user for user in others if not same_user("root", user)):
        raise LimitRefused(
            f"a mounted login is for the box's root alone, and the agent of this task is {user}",
            remedy='set delivery = "gateway": the login then stays outside of the box',
            reason="login_not_readable",
        )


def _write(place: Path, content: bytes) -> None:
    """Make the file in a folder that is held open, so that neither can be another one."""
    folder = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        how = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(FILE, how, 0o600, dir_fd=folder), "wb") as file:  # noqa: PTH123 – a descriptor
            file.write(content)
    finally:
        os.close(folder)


def _read(note: Path) -> Mapping[str, str] | None:
    with suppress(FileNotFoundError, ValueError):
        labels: Mapping[str, str] = json.loads(note.read_text(encoding="utf-8"))
        return labels
    return None


def _remove(place: Path, note: Path) -> None:
    """The file first; the note last, so that what is left here is found again."""
    with suppress(FileNotFoundError):
        os.truncate(place / FILE, 0)  # a box that still shows it shows nothing
    with suppress(FileNotFoundError):
        shutil.rmtree(place)
    note.unlink(missing_ok=True)
