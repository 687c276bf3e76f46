"""The planner solves an example in real boxes, by the command line: guarded on its careless day."""

import json
from pathlib import Path

import pytest

from mechagym.trajectory.validate import validate_file
from tests.cli.conftest import cli, home
from tests.run.conftest import live_sandbox
from tests.run.gym import make_task
from tests.testgen.author import INSTRUCTION

__all__ = ["cli", "home"]

ROOT = Path(__file__).parents[3]


@pytest.mark.live
@pytest.mark.parametrize(("sandbox", "base"), [("local", "host"), ("docker", "image")])
def test_an_example_is_solved_and_recorded(cli, home: Path, sandbox: str, base: str):
    live_sandbox(sandbox)  # skips, saying what is missing
    result = cli(
        *("run", ROOT / "examples" / "tasks", "-t", "regex-*", "-a", "map", "--name", "j"),
        *("-m", "scripted:benchmarks.map_model:careless", "--set", "agent.evaluator=off"),
        *("--sandbox", sandbox, "--base", base),
    )
    assert result.exit_code == 0, result.output
    assert "1 passed" in result.stdout
    (document,) = home.glob("here/jobs/j/*/agent/trajectory.json")
    assert validate_file(document) == []
    (log,) = home.glob("here/jobs/j/*/events.jsonl")
    bodies = [json.loads(line)["body"] for line in log.read_text().splitlines()]
    denied = [b for b in bodies if b["kind"] == "map_monitor" and not b["allowed"]]
    assert [b["rule"] for b in denied] == ["remove"], "it was kept from a clean-up"
    asked = [b["call_id"] for b in bodies if b["kind"] == "model_requested"]
    assert asked == [b["call_id"] for b in bodies if b["kind"] == "model_answered"]
    ended = next(b["result"] for b in bodies if b["kind"] == "map_run_complete")
    assert ended["stop_reason"] == "completed"


WORK = """
- calls: [{name: write_file, arguments: {path: /app/out.txt, content: "hallo\\n"}}]
- calls: [{name: edit_file, arguments: {path: out.txt, old_text: hallo, new_text: hello}}]
- calls: [{name: task_complete, arguments: {summary: It says hello., confirm: true}}]
"""


@pytest.mark.live
@pytest.mark.parametrize("sandbox", ["local", "docker"])
def test_checks_that_a_model_wrote_lead_the_work(cli, home: Path, sandbox: str):
    """Test generation for real: its checks tell a wrong word from the right one, and leave."""
    live_sandbox(sandbox)
    test = "grep -qx hello /app/out.txt && n=1; echo ${n:-0} > /logs/verifier/reward.txt"
    make_task(
        home / "here" / "tasks",
        files={"instruction.md": INSTRUCTION, "tests/test.sh": f"#!/bin/sh\n{test}\n"},
    )
    (home / "here" / "work.yaml").write_text(WORK)
    result = cli(
        *("run", "tasks", "-a", "map", "--name", "j", "--sandbox", sandbox),
        *("-m", "scripted:work.yaml", "--model", "testgen=scripted:tests.testgen.author:answer"),
    )
    assert "1 passed" in result.stdout, result.output
    (log,) = home.glob("here/jobs/j/*/events.jsonl")
    bodies = [json.loads(line)["body"] for line in log.read_text().splitlines()]
    (ready,) = [b for b in bodies if b["kind"] == "map_checks_ready"]
    assert ready["goals"] >= 5, ready
    said = [b for b in bodies if b["kind"] == "map_verify_complete"]
    assert [b["passed"] for b in said] == [False, True]
    assert 0 < said[0]["passing"] < said[1]["passing"] == said[1]["total"] == ready["goals"]
    ended = next(b["result"] for b in bodies if b["kind"] == "map_run_complete")
    assert (ended["self_passed"], ended["turns"]) == (True, 3)
