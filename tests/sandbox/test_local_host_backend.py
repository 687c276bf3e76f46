"""The backend `host`: plain processes in a folder, which says that nothing is isolated."""

import time
from pathlib import Path

import pytest

from mechagym.errors import ImageError, LimitRefused, SandboxError
from mechagym.sandbox.base import BoxSpec, ExecOptions, HostRoot, NetworkPolicy, ReapScope
from mechagym.sandbox.host import HostSandbox

SPEC = BoxSpec(image=HostRoot(), workdir="/app")


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> HostSandbox:
    folder = tmp_path / "boxes"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return HostSandbox()


async def test_commands_run_in_the_folder(sandbox):
    async with sandbox.open(SPEC) as box:
        await box.put(b"hello", "/app/in/file.txt")
        result = await box.exec(["cat", "in/file.txt"])
        assert result.text == "hello"
        assert box.info.isolation == "none"
        assert box.info.fidelity == "approximate"
        root = box.root
    assert not root.exists()


async def test_a_timeout_ends_the_whole_session(sandbox):
    async with sandbox.open(SPEC) as box:
        began = time.monotonic()
        late = "(sleep 2; touch late) & sleep 60"
        result = await box.exec(["sh", "-c", late], ExecOptions(timeout_s=0.3))
        assert result.timed_out
        assert time.monotonic() - began < 5
        await box.exec(["sleep", "2"])
        assert not (box.root / "app" / "late").exists()


async def test_a_fork_is_a_copy(sandbox):
    async with sandbox.open(SPEC) as box:
        await box.put(b"1", "/app/n")
        async with box.fork() as fork:
            await fork.put(b"2", "/app/n")
            assert (await box.exec(["cat", "n"])).text == "1"
            await box.adopt(fork)
        assert (await box.exec(["cat", "n"])).text == "2"


async def test_a_link_leads_nowhere(sandbox, tmp_path):
    async with sandbox.open(SPEC) as box:
        (box.root / "out").symlink_to(tmp_path)
        with pytest.raises(SandboxError, match="leads out"):
            await box.put(b"x", "/out/file")
        assert not (tmp_path / "file").exists()


async def test_the_lines_that_place_files_are_done_and_others_refused(sandbox, tmp_path):
    context = tmp_path / "context"
    context.mkdir()
    (context / "data.txt").write_text("data")
    lines = "FROM debian\nENV NAME=value\nWORKDIR /work\nCOPY data.txt .\n"
    (context / "Dockerfile").write_text(lines)
    spec = BoxSpec(image=HostRoot(context=context))
    async with sandbox.open(spec) as box:
        result = await box.exec(["sh", "-c", "cat data.txt; echo $NAME"])
        assert result.text == "datavalue\n"
    (context / "Dockerfile").write_text(lines + "RUN true\n")
    with pytest.raises(ImageError, match="Dockerfile:5: RUN"):
        async with sandbox.open(spec):
            pass


async def test_what_it_cannot_give_is_refused(sandbox):
    with pytest.raises(LimitRefused, match="no-network"):
        async with sandbox.open(
            BoxSpec(image=HostRoot(), network=NetworkPolicy(mode="no-network"))
        ):
            pass
    assert await sandbox.reap(ReapScope()) == []
