"""What a person sees when something fails, and the exit code."""

import errno
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from mechagym.cli.app import Root
from mechagym.errors import ConfigError, NoSpace, SandboxUnusable, TaskError


def fail_with(error: BaseException) -> Result:
    @click.command()
    def fail() -> None:
        raise error

    return CliRunner().invoke(Root("root", commands={"fail": fail}), ["fail"])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("no agent is called 'x'", remedy="there are: nop"), 2),
        (TaskError("a/task.toml:3: bad", remedy="mend it"), 2),
        (SandboxUnusable("no engine", remedy="start it"), 1),
        (NoSpace("/tmp is full", remedy="make room"), 1),
    ],
)
def test_our_errors_are_told_with_their_remedy(error, code):
    result = fail_with(error)
    assert result.exit_code == code
    assert result.stderr == f"error: {error.message}\n  {error.remedy}\n"
    assert result.stdout == ""


def test_ctrl_c():
    assert fail_with(KeyboardInterrupt()).exit_code == 130


def test_a_full_disk_and_a_closed_folder_are_no_faults_of_ours():
    full = fail_with(OSError(errno.ENOSPC, "No space left on device", "/mnt/job.log"))
    assert (full.exit_code, full.stderr) == (1, "error: No space left on device: /mnt/job.log\n")
    closed = fail_with(PermissionError(errno.EACCES, "Permission denied", "/root/x"))
    assert closed.stderr == "error: Permission denied: /root/x\n"


def test_the_error_of_a_group_is_found():
    ours = ConfigError("this one")
    result = fail_with(BaseExceptionGroup("g", [ExceptionGroup("h", [ValueError("x"), ours])]))
    assert (result.exit_code, result.stderr) == (2, "error: this one\n")
    both = BaseExceptionGroup("g", [ours, KeyboardInterrupt()])
    assert fail_with(both).exit_code == 130


def test_a_fault_of_ours_leaves_a_report_and_no_traceback(home: Path):
    result = fail_with(ValueError("surprise"))
    assert result.exit_code == 1
    assert "Traceback" not in result.stderr
    (report,) = (home / ".local/share/mechagym/crashes").iterdir()
    assert str(report) in result.stderr
    text = report.read_text()
    assert "Traceback" in text
    assert "ValueError: surprise" in text


def test_a_report_that_cannot_be_kept_is_shown(home: Path, monkeypatch):
    monkeypatch.setenv("MECHAGYM_DATA_DIR", "/proc/none")
    assert "no report could be kept" in fail_with(ValueError("x")).stderr
