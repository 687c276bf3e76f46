"""`mechagym tasks …`: new, check, list, show, fetch, import, and the source that is used."""

import json
from pathlib import Path

import pytest


@pytest.fixture
def dataset(cli, home: Path) -> Path:
    """Two tasks of our own skeleton, and one that is broken."""
    folder = home / "here/tasks"
    for name in ("first-task", "second-task"):
        assert cli("tasks", "new", folder / name).exit_code == 0
    broken = folder / "broken-task"
    broken.mkdir()
    (broken / "task.toml").write_text("[agent]\ntimeout_sec = 'soon'\n")
    (broken / "instruction.md").write_text("x")
    return folder


def test_new_writes_what_its_own_check_passes(cli, home: Path):
    made = cli("tasks", "new", "mine")
    assert (made.exit_code, made.stdout.splitlines()[0]) == (0, "mine: written")
    checked = cli("tasks", "check", "mine")
    assert checked.exit_code == 0, checked.output
    assert "error" not in checked.stdout
    assert "warning" not in checked.stdout
    again = cli("tasks", "new", "mine")
    assert again.exit_code == 2
    assert "is there already" in again.stderr


def test_list_names_the_broken_with_file_and_line(cli, dataset: Path):
    result = cli("tasks", "list", dataset)
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()[2:]] == [
        "first-task",
        "second-task",
    ]
    assert all(len(line) <= 80 for line in result.stdout.splitlines())
    assert "broken-task/task.toml:2" in result.stderr.replace("\n", "")


def test_list_json(cli, dataset: Path):
    (found,) = json.loads(cli("tasks", "list", dataset, "--json", "-t", "first*").stdout)
    assert [task["task_id"] for task in found["tasks"]] == ["tasks/first-task"]


def test_the_source_that_is_used_is_printed(cli, dataset: Path, home: Path, monkeypatch):
    result = cli("tasks", "show", "first-task")
    assert result.exit_code == 2
    assert "no dataset is set to look the name up in" in result.stderr
    (home / "here/mechagym.toml").write_text('tasks = "./tasks"\n')
    assert "tasks (from mechagym.toml)" in cli("tasks", "list").stderr
    monkeypatch.setenv("MECHAGYM_TASKS", str(dataset))
    result = cli("tasks", "show", "first-task")
    assert result.exit_code == 0, result.output
    assert "first-task" in result.stdout
    assert f"tasks: {dataset} (from environment)" in cli("tasks", "list").stderr
    assert "(from flag)" in cli("tasks", "list", "--tasks", dataset).stderr


def test_show(cli, dataset: Path):
    result = cli("tasks", "show", dataset / "first-task")
    assert "digest" in result.stdout
    assert "instruction" in result.stdout
    shown = json.loads(cli("tasks", "show", dataset / "first-task", "--json").stdout)
    assert shown["steps"][0]["name"] == "main"
    broken = cli("tasks", "show", dataset / "broken-task")
    assert broken.exit_code == 2
    assert "broken-task/task.toml:2" in broken.stderr


def test_check_of_a_broken_task(cli, dataset: Path):
    result = cli("tasks", "check", dataset)
    assert result.exit_code == 2
    assert "[unreadable]" in result.stdout
    found = json.loads(cli("tasks", "check", dataset, "--json").stdout)
    assert len(found) == 3
    assert cli("tasks", "check", dataset, "-t", "first-task").exit_code == 0


def test_fetch_and_import(cli, dataset: Path, home: Path):
    assert cli("tasks", "fetch", dataset).stdout.startswith("tasks: 2 tasks\n")
    result = cli("tasks", "import", dataset, home / "copy")
    assert result.exit_code == 0, result.output
    assert (home / "copy/first-task/task.toml").is_file()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("list", "no/such/folder"), "no folder, file or dataset named 'no/such/folder'"),
        (("list",), "no SOURCE is named"),
        (("list", "tasks", "-t", "frist-task"), "Did you mean first-task"),
        (("show", "tasks"), "not a task"),
        (("check", "tasks", "-x", "nothing"), "no task is named 'nothing'"),
    ],
)
def test_wrong_input(cli, dataset: Path, args, message):
    result = cli("tasks", *args)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output
