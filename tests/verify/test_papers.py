"""The papers of an exam when the host, not the box, makes trouble, or a box gives too much."""

from pathlib import Path

import pytest

from mechagym.errors import NoSpace, TransferRefused
from mechagym.events import ErrorRaised, EventBody
from mechagym.sandbox.base import ExecResult
from mechagym.verify.papers import PAPERS, TRANSCRIPT_BYTES, Transcript, bring_out, transcript


class Overfull:
    """A box whose log folder is over the caps; single files of it come out."""

    def __init__(self, files: dict[str, str]) -> None:
        self.files = files

    async def get(self, source: str, target: Path, caps: object) -> object:
        name = source.rpartition("/")[2]
        if name == "verifier":
            target.mkdir()
            (target / "junk").write_text("half of it")
            raise TransferRefused("more than 10000 files")
        if name not in self.files:
            raise FileNotFoundError(source)
        target.write_text(self.files[name])
        return None


async def test_over_its_caps_the_reward_comes_out_all_the_same(tmp_path: Path):
    events: list[EventBody] = []
    box = Overfull({"reward.txt": "1", "ctrf.json": "{}"})
    await bring_out(box, tmp_path, events.append)  # type: ignore[arg-type]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ctrf.json", "reward.txt"]
    (event,) = events
    assert isinstance(event, ErrorRaised)
    assert event.error.reason == "verifier_file_refused"
    assert "more than 10000 files" in event.error.message


def test_a_full_disk_is_named_and_does_not_stop_the_command():
    output = Transcript(Path("/dev/full"))
    output.keep("stdout", b"some output")
    output.keep("stdout", b"more")
    with pytest.raises(NoSpace, match="/dev: cannot keep the test output"):
        output.end(ExecResult(exit_code=0))
    output.close()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NoSpace, match="file/verifier"), transcript(tmp_path / "file" / "verifier"):
        pass


def test_output_is_there_while_it_comes(tmp_path: Path):
    with transcript(tmp_path) as output:
        output.keep("stdout", b"one\n")
        assert (tmp_path / "test-stdout.txt").read_bytes() == b"one\n"
        output.keep("stdout", b"x" * 2 * TRANSCRIPT_BYTES)
        assert (tmp_path / "test-stdout.txt").stat().st_size == TRANSCRIPT_BYTES
        cut = b"one\n... [cut] ...\nlast\n"
        output.end(ExecResult(exit_code=0, stdout=cut, stdout_total=2 * TRANSCRIPT_BYTES + 4))
    assert (tmp_path / "test-stdout.txt").read_bytes() == cut


def test_what_an_earlier_exam_left_goes(tmp_path: Path):
    for name in PAPERS:
        (tmp_path / name).mkdir()
    with transcript(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == ["test-stdout.txt"]
