"""A new task passes its own check, and proves itself without a network."""

import json
import subprocess
from pathlib import Path

import pytest

from mechagym.errors import ConfigError
from mechagym.tasks.folder import load_task
from mechagym.tasks.lint import lint_folder
from mechagym.tasks.new import create_task


def run(script: Path, room: Path) -> int:
    """Run a script of the task with the box's folders moved to a room of the test's."""
    text = script.read_text().replace("/app", f"{room}/app").replace("/logs", f"{room}/logs")
    (room / "app").mkdir(parents=True, exist_ok=True)
    return subprocess.run(["sh", "-c", text], check=False, capture_output=True).returncode


def test_a_new_task_passes_its_own_check(tmp_path: Path):
    folder = create_task(tmp_path / "a/first-task", "first-task")
    assert {f.severity for f in lint_folder(folder)} <= {"note"}
    task = load_task(folder)
    assert (task.name, task.full_name) == ("first-task", "local/first-task")
    assert "canary" in task.canary[0]
    assert "canary" not in task.steps[0].instruction
    assert not [p for p in folder.rglob("*") if p.is_file() and "{{" in p.read_text()]


@pytest.mark.parametrize(("solved", "reward"), [(True, "1"), (False, "0")])
def test_a_new_task_can_tell_done_from_not_done(tmp_path: Path, solved: bool, reward: str):
    folder = create_task(tmp_path / "t", "org/t.1")
    room = tmp_path / "room"
    if solved:
        assert run(folder / "solution/solve.sh", room) == 0
    run(folder / "tests/test.sh", room)
    logs = room / "logs/verifier"
    assert (logs / "reward.txt").read_text().strip() == reward
    results = json.loads((logs / "ctrf.json").read_text())["results"]
    statuses = [test["status"] for test in results["tests"]]
    assert statuses == ["passed" if solved else "failed"] * 2
    assert results["summary"]["tests"] == 2
    assert results["summary"]["passed"] == (2 if solved else 0)


def test_two_new_tasks_have_canaries_of_their_own(tmp_path: Path):
    one, two = (load_task(create_task(tmp_path / name, name)) for name in "ab")
    assert one.canary != two.canary


def test_what_is_there_is_not_overwritten(tmp_path: Path):
    folder = create_task(tmp_path / "t", "t")
    with pytest.raises(ConfigError, match="is there already"):
        create_task(folder, "t")
    for name in ("", "a/b/c", "../x", "-x", "a b"):
        with pytest.raises(ConfigError, match="cannot be a task's name"):
            create_task(tmp_path / "other", name)
