"""A cached folder is whole or absent, whoever makes it and however often."""

import threading
from pathlib import Path

import pytest

from mechagym.errors import TaskError
from mechagym.tasks.cache import made_once
from tests.tasks.folders import write


def test_it_is_made_once(tmp_path: Path):
    calls: list[Path] = []
    for _ in range(2):
        made = made_once(tmp_path / "a/b", lambda room: calls.append(write(room, {"x": "1"})))
    assert (made / "x").read_text() == "1"
    assert len(calls) == 1
    assert [p.name for p in made.parent.iterdir()] == ["b"]


def test_the_quicker_of_two_wins(tmp_path: Path):
    both = threading.Barrier(2)

    def fill(room: Path) -> None:
        write(room, {"x": "1"})
        both.wait(10)

    threads = [threading.Thread(target=made_once, args=(tmp_path / "t", fill)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [p.name for p in tmp_path.iterdir()] == ["t"]
    assert (tmp_path / "t/x").read_text() == "1"


def test_a_failure_leaves_nothing(tmp_path: Path):
    def fill(room: Path) -> None:
        write(room, {"x": "1"})
        raise TaskError("no")

    with pytest.raises(TaskError):
        made_once(tmp_path / "t", fill)
    assert not list(tmp_path.iterdir())


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path):
    write(tmp_path, {"file": ""})
    with pytest.raises(TaskError, match=r"/file.*: cannot be written"):
        made_once(tmp_path / "file/x", lambda _room: None)
