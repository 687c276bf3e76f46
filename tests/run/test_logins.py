"""A login as a file: nobody else can read it at any moment, and it goes however its try ends."""

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from mechagym.errors import LimitRefused
from mechagym.llm.claude_login import ClaudeLogin, as_file
from mechagym.records import BoxInfo
from mechagym.run.logins import FILE, IN_BOX, Logins, check_readers
from mechagym.sandbox.base import Labels, Mount, ReapScope
from tests.actors import make_task

LOGIN = b'{"claudeAiOauth": {"accessToken": "sk-ant-oat01-planted"}}'
ALL = ReapScope()

pytestmark = pytest.mark.must("llm-12")


@pytest.fixture
def logins(tmp_path: Path) -> Logins:
    return Logins(tmp_path / "logins")


@pytest.fixture
def open_umask() -> Iterator[None]:
    """What is made has the very mode that it is made with."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_it_has_its_modes_from_the_first_moment(logins: Logins, open_umask: None, monkeypatch):
    def never(*_args: object, **_named: object) -> None:
        raise AssertionError("a mode was changed after the fact")

    for name in ("chmod", "fchmod", "lchmod", "umask"):
        monkeypatch.setattr(os, name, never, raising=False)
    opened: list[tuple[object, int, int]] = []
    plain = os.open

    def noted(path: object, flags: int, mode: int = 0o777, **more: object) -> int:
        opened.append((path, flags, mode))
        return plain(path, flags, mode, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", noted)
    with logins.shown(LOGIN, Labels(job_id="j1", trial_id="t1")) as mount:
        assert mount == Mount(source=mount.source, target=IN_BOX, private=True)
        assert mount.source.read_bytes() == LOGIN
        assert mode(mount.source) == 0o600
        assert mode(mount.source.parent) == mode(logins.folder) == 0o700
        assert [path.name for path in mount.source.parent.iterdir()] == [FILE]
        (note,) = logins.folder.glob("*.json")
        told = json.loads(note.read_text())
        assert (told["mechagym.job"], told["mechagym.trial"]) == ("j1", "t1")
        assert told["mechagym.pid"] == str(os.getpid())
    made = [(flags, mode) for path, flags, mode in opened if path == FILE]
    assert [mode for _, mode in made] == [0o600]
    for flag in (os.O_CREAT, os.O_EXCL, os.O_NOFOLLOW):
        assert made[0][0] & flag
    assert list(logins.folder.iterdir()) == []


def test_what_stands_there_already_is_never_written_into(logins: Logins, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    plain = Path.mkdir

    def trapped(path: Path, **more: object) -> None:
        plain(path, **more)  # type: ignore[arg-type]
        if path.parent == logins.folder:
            (path / FILE).symlink_to(elsewhere)

    monkeypatch.setattr(Path, "mkdir", trapped)
    with pytest.raises(FileExistsError), logins.shown(LOGIN, Labels()):
        pass
    assert not elsewhere.exists()
    assert list(logins.folder.iterdir()) == []


def test_it_goes_with_an_error_and_is_empty_to_whoever_holds_it(logins: Logins):
    held = -1
    with suppress(RuntimeError), logins.shown(LOGIN, Labels()) as mount:
        held = os.open(mount.source, os.O_RDONLY)
        raise RuntimeError
    assert os.read(held, 100) == b""
    os.close(held)
    assert list(logins.folder.iterdir()) == []


async def test_it_goes_with_a_cancel(logins: Logins):
    with anyio.move_on_after(0.05):
        with logins.shown(LOGIN, Labels()):
            await anyio.sleep(10)
    assert list(logins.folder.iterdir()) == []


HOLDER = """
import pathlib, sys, time
from mechagym.run.logins import Logins
from mechagym.sandbox.base import Labels
with Logins(pathlib.Path(sys.argv[1])).shown(b"secret", Labels(job_id="dead")):
    print("shown", flush=True)
    time.sleep(60)
"""


def test_what_a_killed_process_left_goes_at_the_next_start_and_nothing_of_the_living(
    logins: Logins,
):
    argv = [sys.executable, "-c", HOLDER, str(logins.folder)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "shown\n"
        assert logins.sweep(ALL) == []
        os.kill(holder.pid, signal.SIGKILL)
    with logins.shown(LOGIN, Labels()) as mine:
        assert len(list(logins.folder.glob(f"*/{FILE}"))) == 2
        (told,) = logins.sweep(ReapScope(dry_run=True))
        assert told.owner.startswith("dead, pid")
        assert len(list(logins.folder.glob(f"*/{FILE}"))) == 2
        (gone,) = logins.sweep(ALL)
        assert gone.name == told.name
        assert list(logins.folder.glob(f"*/{FILE}")) == [mine.source]
        assert mine.source.read_bytes() == LOGIN
    assert logins.sweep(ALL) == []


def test_the_copy_has_nothing_to_renew_it_by(tmp_path: Path):
    own = {"accessToken": "sk-a", "refreshToken": "sk-r", "expiresAt": 1_900_000_000_000}
    folder = tmp_path / ".claude"
    folder.mkdir()
    (folder / ".credentials.json").write_text(json.dumps({"claudeAiOauth": own}))
    login = ClaudeLogin(environ={}, home=tmp_path, platform="linux")
    copied = json.loads(as_file(login.get()))["claudeAiOauth"]
    assert copied["accessToken"] == "sk-a"
    assert copied["expiresAt"] == own["expiresAt"]
    assert "refreshToken" not in copied
    variable = ClaudeLogin(environ={"CLAUDE_CODE_OAUTH_TOKEN": "sk-b"}, home=tmp_path)
    assert json.loads(as_file(variable.get()))["claudeAiOauth"]["expiresAt"] is None


@pytest.mark.parametrize(("image_user", "step_user"), [("node", None), ("root", "agent")])
def test_an_agent_that_is_not_root_cannot_have_it(tmp_path, image_user, step_user):
    task = make_task(tmp_path / "task", {})
    (step,) = task.steps
    step = replace(step, agent=replace(step.agent, user=step_user))
    task = replace(task, steps=(step,))
    box = BoxInfo(backend="docker", box_id="b", image="i", user=image_user)
    with pytest.raises(LimitRefused, match=step_user or image_user) as refused:
        check_readers(box, task)
    assert "gateway" in (refused.value.remedy or "")
