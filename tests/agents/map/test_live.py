"""The planner solves an example in real boxes, by the command line: guarded on its careless day."""

import json
from pathlib import Path

import pytest

from mechagym.trajectory.validate import validate_file
from tests.cli.conftest import cli, home
from tests.run.conftest import live_sandbox

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
