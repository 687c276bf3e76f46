"""A job whose folder stands on a disk that is full, from the start or in the middle."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mechagym.errors import NoSpace
from mechagym.events import ErrorRaised, JobEnded, TrialEnded
from mechagym.run import space
from mechagym.testing.memory import MemorySandbox
from tests.run.gym import Gym, make_task

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root can mount a small disk")


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A disk of 1 MB, which is enough where nobody asks for 500 MB first."""
    monkeypatch.setattr(space, "LEAST_FREE_MB", 0)
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def fill(disk: Path) -> None:
    with pytest.raises(OSError, match="No space"):
        (disk / "fill").write_bytes(b"x" * 1_100_000)


async def test_a_job_that_has_no_room_for_its_folder_does_not_begin(tmp_path, disk):
    gym = Gym(root=tmp_path, sandbox=MemorySandbox())
    fill(disk)
    with pytest.raises(NoSpace, match=r"disk/job: cannot be written.*No space left"):
        await gym.run([make_task(tmp_path)], replace(gym.config("oracle"), out_dir=disk))


@pytest.mark.parametrize("when", [TrialEnded, JobEnded])
async def test_what_finds_no_room_at_the_end_is_told_and_written_by_the_next_start(
    tmp_path, disk, when
):
    def watch(_: str, body: object) -> None:
        if isinstance(body, when):
            fill(disk)

    gym = Gym(root=tmp_path, sandbox=MemorySandbox(), watcher=watch)
    config = replace(gym.config("oracle"), out_dir=disk)
    report = await gym.run([make_task(tmp_path)], config)
    assert [str(trial.outcome) for trial in report.trials] == ["passed"]
    told = [body.error for _, body in gym.seen if isinstance(body, ErrorRaised)]
    assert told
    assert all("No space left" in error.message for error in told)
    (disk / "fill").unlink()
    gym.watcher = None
    await gym.run([make_task(tmp_path)], config)
    written = sorted(path.name for path in disk.rglob("result.json"))
    assert written == ["result.json"] * 2
