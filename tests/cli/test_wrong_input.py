"""What a person may get wrong: exit code 2, one clear message, never a traceback."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def task(cli, home: Path) -> Path:
    folder = home / "here/tasks/a-task"
    cli("tasks", "new", folder)
    return folder


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("tasks", "-a", "orcale"), "no agent is called 'orcale', did you mean `oracle`?"),
        (("tasks", "-a", "oracle@9"), "agent oracle is 0."),
        (("tasks", "-a", "nop", "--set", "agent.x=1"), "agent nop: no option 'x'"),
        (("tasks",), "a job needs an agent"),
        (("-a", "nop"), "no SOURCE is named"),
        (("no-such-folder", "-a", "nop"), "no folder, file or dataset named 'no-such-folder'"),
        (("tasks", "-t", "b-task", "-a", "nop"), "Did you mean a-task?"),
        (("tasks", "-a", "nop", "--sandbox", "dokcer"), "did you mean `docker`?"),
        (("tasks", "-a", "nop", "--sandbox", "host"), "--i-trust-this"),
        (("tasks", "-a", "nop", "--set", "repaets=3"), "did you mean `repeats`?"),
        (("tasks", "-a", "nop", "--set", "x"), "KEY=VALUE is expected"),
        (("tasks", "-a", "nop", "-k", "0"), "repeats must be 1 or more"),
        (("tasks", "-a", "nop", "--budget", "much"), "`budget.usd`"),
        (("tasks", "-a", "nop", "--budget", "-1"), "`budget.usd`"),
        (("tasks", "-a", "nop", "-n", "0"), "'-n'"),
        (("tasks", "-a", "nop", "--name", "a/b"), "job name 'a/b'"),
        (("-f", "absent.yaml"), "'absent.yaml' does not exist"),
        (("tasks", "-a", "nop", "--resume", "it"), "no job is called 'it'"),
        (("--resume", "it", "-k", "3"), "mechagym jobs resume it"),
        (("tasks", "--agnet", "nop"), "--agent"),
    ],
)
def test_run(cli, args, message):
    result = cli("run", *args)
    assert message in result.stderr
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_a_settings_file_that_is_wrong_stops_every_command(cli, home: Path):
    (home / "here/mechagym.toml").write_text("sandbx = 'docker'\n")
    for command in (("jobs", "list"), ("run", "tasks", "-a", "nop"), ("doctor",)):
        result = cli(*command)
        assert result.exit_code == 2
        assert "mechagym.toml:1: unknown key `sandbx`, did you mean `sandbox`?" in result.stderr


def test_an_unknown_variable_warns_and_goes_on(cli, monkeypatch):
    monkeypatch.setenv("MECHAGYM_SANDBOXX", "x")
    result = cli("jobs", "list")
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: MECHAGYM_SANDBOXX is not a setting")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("jobs", "show", "x"), "no job is called 'x'"),
        (("jobs", "stop", "last"), "no job is called 'last'"),
        (("jobs", "rm", "x", "-y"), "no job is called 'x'"),
        (("jobs", "retry", "x"), "which trials?"),
        (("jobs", "compare", "x", "y"), "no job is called 'x'"),
        (("jobs", "compare", "x"), "takes 2 values"),
        (("jobs", "prune", "--older-than", "soon"), "'soon' is not a time span"),
        (("trials", "show", "x"), "no trial is called 'x'"),
        (("trials", "logs", "last/x"), "no job is called 'last'"),
        (("trajectory", "validate", "absent.json"), "does not exist"),
        (("completion", "tcsh"), "'tcsh' is not one of"),
        (("clean", "--older-than", "7"), "'7' is not a time span"),
        (("clean", "--images", "--keep", "much"), "'much' is not a size"),
        (("clean", "--keep", "20GB"), "add --images"),
    ],
)
def test_other_commands(cli, args, message):
    result = cli(*args)
    assert message in result.stderr
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_a_store_that_cannot_be_opened(cli):
    result = cli("jobs", "list", "--store", "nonsense://x")
    assert result.exit_code == 1
    assert "nonsense" in result.stderr
    assert "Traceback" not in result.output


def test_trajectory_validate(cli, home: Path):
    (home / "here/bad.json").write_text('{"schema_version": "ATIF-v1.7", "steps": []}')
    result = cli("trajectory", "validate", "bad.json")
    assert result.exit_code == 2
    assert "bad.json: steps: must hold at least one step" in result.stdout
