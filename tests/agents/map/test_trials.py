"""The planner in whole trials, by the command line: record, trajectory, money and verdict."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mechagym.agents.map.agent import MapAgent
from mechagym.agents.map.result import is_false_self_pass
from mechagym.events import ModelAnswered, ModelRequested, ToolCalled, TryEnded, body_from_json
from mechagym.events.map import MapStart
from mechagym.records import Spend
from mechagym.tasks.model import Task
from mechagym.testing.checks import ShellChecks
from mechagym.trajectory.validate import validate_file
from tests.cli.conftest import cli, home
from tests.run.gym import make_task

__all__ = ["cli", "home"]

SCRIPT = """
- text: I look around.
  calls:
    - {name: run_command, arguments: {command: "pwd; ls"}}
    - {name: read_file, arguments: {path: /app/missing}}
- calls: [{name: write_file, arguments: {path: /app/%s, content: "done\\n"}}]
- calls: [{name: task_complete, arguments: {summary: It is there.}}]
- calls: [{name: task_complete, arguments: {summary: It is there., confirm: true}}]
"""
CONTENT = f"{__name__}:Content"


class Content(MapAgent):
    """The planner with a check that is content with less than the task asks for."""

    takes_checks = False

    def __init__(self, *, task: Task, options: Mapping[str, str]) -> None:
        super().__init__(
            task=task, options=options, checks=ShellChecks(lines={"any": "ls /app/*.txt"})
        )


def events_of(home: Path) -> list[Any]:
    (log,) = home.glob("here/jobs/j/*/events.jsonl")
    return [
        body_from_json(json.dumps(json.loads(line)["body"]))
        for line in log.read_text().splitlines()
    ]


def run_it(
    cli: Any, home: Path, *, file: str, agent: str = "map", more: tuple[str, ...] = ()
) -> Any:
    make_task(home / "here" / "tasks")
    (home / "here" / "do.yaml").write_text(SCRIPT % file)
    return cli(
        *("run", "tasks", "-a", agent, "-m", "scripted:do.yaml", "--sandbox", "memory"),
        *("--name", "j", *more),
    )


@pytest.mark.must("map-21")
def test_a_trial_is_recorded_metered_and_judged(cli, home: Path):
    result = run_it(cli, home, file="done.txt", more=("--set", "agent.switches.evaluator=off"))
    assert result.exit_code == 0, result.output
    assert "1 passed" in result.stdout
    events = events_of(home)
    requested = [e.call_id for e in events if isinstance(e, ModelRequested)]
    answered = [e for e in events if isinstance(e, ModelAnswered)]
    assert requested == [e.call_id for e in answered]
    assert len(requested) == 4
    (ended,) = [e for e in events if isinstance(e, TryEnded)]
    assert ended.record.spend == sum((e.spend for e in answered), Spend())
    assert (ended.record.turns, ended.record.agent_metadata["map"]["self_passed"]) == (4, None)
    (start,) = [e for e in events if isinstance(e, MapStart)]
    assert start.switches["evaluator"] == "off", "what is switched off is shown with the trial"
    (document,) = home.glob("here/jobs/j/*/agent/trajectory.json")
    assert validate_file(document) == []
    steps = json.loads(document.read_text())["steps"]
    works = [step for step in steps if step["source"] == "agent"]
    called = [[c["function_name"] for c in step["tool_calls"]] for step in works]
    assert called == [
        *(["run_command", "read_file"], ["write_file"], ["task_complete"], ["task_complete"])
    ]
    assert all(step["metrics"]["prompt_tokens"] > 0 for step in works), "each turn has its own cost"
    assert len(works[0]["observation"]["results"]) == 2
    assert works[0]["message"] == "I look around."


@pytest.mark.must("map-24")
def test_the_self_check_never_sets_the_outcome_and_no_view_calls_it_a_pass(cli, home: Path):
    """Example 4: our own checks are green, the task's tests are not."""
    result = run_it(cli, home, file="other.txt", agent=CONTENT)
    assert "1 failed" in result.stdout, result.output
    (ended,) = [e for e in events_of(home) if isinstance(e, TryEnded)]
    assert ended.record.outcome == "failed"
    assert ended.record.agent_metadata["map"]["self_passed"] is True
    assert is_false_self_pass(ended.record)
    assert ended.record.claim == "completed · self-check 1/1 · It is there."
    (trial,) = home.glob("here/jobs/j/*/events.jsonl")
    shown = cli("trials", "show", trial.parent.name).stdout
    assert "self-check 1/1" in shown
    assert "passed" not in shown


def test_a_switch_is_part_of_the_job_s_digest(cli, home: Path):
    run_it(cli, home, file="done.txt", more=("--set", "agent.sampler=off", "--dry-run"))
    config = cli(
        *("run", "tasks", "-a", "map", "-m", "scripted:do.yaml", "--sandbox", "memory"),
        *("--set", "agent.switches.smapler=off"),
    )
    assert config.exit_code == 2
    assert "did you mean" in config.stderr + config.stdout


def test_a_role_may_have_a_model_of_its_own(cli, home: Path):
    (home / "here").mkdir(exist_ok=True)
    (home / "here" / "plan.yaml").write_text("- text: 'no plan'\n- text: 'none either'\n")
    more = ("--model", "decomposer=scripted:plan.yaml", "--set", "agent.decomposer=llm")
    result = run_it(cli, home, file="done.txt", more=(*more, "--set", "agent.evaluator=off"))
    assert result.exit_code == 0, result.output
    models = [e.model for e in events_of(home) if isinstance(e, ModelAnswered)]
    assert models == ["scripted:plan.yaml"] * 2 + ["scripted:do.yaml"] * 4
    assert [e for e in events_of(home) if isinstance(e, ToolCalled)]


def test_a_config_of_test_generation_is_found_by_its_digest(cli, home: Path):
    result = run_it(cli, home, file="done.txt", more=("--set", "agent.testgen=0123456789abcdef"))
    assert "1 agent_error" in result.stdout, result.output
    assert "0123456789abcdef" in result.output
    assert not [e for e in events_of(home) if isinstance(e, ModelRequested)]
