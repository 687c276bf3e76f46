"""Whole jobs from the command line: run, look at, compare, retry, stop, resume, remove."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from mechagym import config
from mechagym.events import Event, ToolCalled
from mechagym.store import Store
from tests.cli.conftest import Cli

SANDBOX = "memory"
IMAGE = "debian:bookworm-slim"
TEST = """\
#!/bin/sh
if [ "$(cat /app/greeting.txt)" = hello ]; then echo 1; else echo 0; fi > /logs/verifier/reward.txt
"""
TOML = f"""\
schema_version = "1.4"
agent.timeout_sec = 60
verifier.timeout_sec = 60
environment = {{docker_image = "{IMAGE}", workdir = "/app"}}
"""
SCRIPT = "- {kind: say, text: I will}\n- {kind: exec, command: sleep 30}\n"


def write_task(folder: Path, test: str = TEST) -> None:
    files = {
        "task.toml": TOML,
        "instruction.md": "Write hello into greeting.txt.\n",
        "tests/test.sh": test,
        "solution/solve.sh": "echo hello > /app/greeting.txt\n",
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def tasks(home: Path, monkeypatch) -> Path:
    """Two tasks; the sandbox is set for every command of the test."""
    monkeypatch.setenv("MECHAGYM_SANDBOX", os.environ.get("FLOW_SANDBOX", SANDBOX))
    folder = home / "here/tasks"
    for name in ("one", "two"):
        write_task(folder / name)
    return folder


@pytest.fixture
def ran(cli: Cli, tasks: Path) -> str:
    """A job of the oracle and nop, twice each."""
    result = cli("run", tasks, "-a", "oracle", "-a", "nop", "-k", "2", "--name", "first")
    assert result.exit_code == 0, result.output
    return result.output


def test_a_run_ends_with_a_table_one_can_believe(cli, ran):
    assert "job first: 2 tasks × 2 agents × 2 = 8 trials" in ran
    assert "at once: trials 4, image builds 1" in ran
    assert "[8/8]" in ran
    rows = {line.split("@")[0]: line.split() for line in ran.splitlines() if " 4/4 " in line}
    assert rows["oracle"][2:6] == ["4/4", "1.00", "[0.34,", "1.00]"]
    assert rows["nop"][2:6] == ["4/4", "0.00", "[0.00,", "0.66]"]
    assert "4 passed; pass@1 1.00, pass@2 1.00" in ran
    assert "first finished in" in ran


def test_a_job_can_be_looked_at_afterwards(cli, ran, home: Path):
    (listed,) = json.loads(cli("jobs", "list", "--json").stdout)
    assert (listed["name"], listed["ended"], listed["passed"]) == ("first", 8, 4)
    assert "first" in cli("jobs", "list").stdout
    shown = json.loads(cli("jobs", "show", "last", "--trials", "--json").stdout)
    assert [group["graded"] for group in shown["groups"]] == [4, 4]
    assert len(shown["trial_rows"]) == 8
    text = cli("jobs", "show", "first", "--trials")
    assert text.exit_code == 0
    assert all(len(line) <= 80 for line in text.stdout.splitlines())
    assert cli("trials", "show", "last/one").exit_code == 2


def test_a_trial_can_be_looked_at_afterwards(cli, ran, home: Path):
    rows = json.loads(cli("jobs", "show", "last", "--trials", "--json").stdout)["trial_rows"]
    name = next(r["key"]["trial_name"] for r in rows if r["key"]["agent"].startswith("oracle"))
    shown = cli("trials", "show", name)
    assert shown.exit_code == 0, shown.output
    assert "outcome  passed, reward 1.00" in shown.stdout
    assert json.loads(cli("trials", "show", name, "--json").stdout)["reward"] == 1.0
    assert "try_ended" in cli("trials", "logs", name).stdout
    changed = cli("trials", "diff", name).stdout.splitlines()
    assert changed == ["workdir /app", "+ greeting.txt", "+   hello"]
    folder = Path(cli("trials", "open", name).stdout.strip())
    assert folder == home / "here/jobs/first" / name
    document = folder / "agent/trajectory.json"
    assert cli("trajectory", "validate", document).stdout == f"{document}: valid\n"


def test_compare(cli, ran):
    assert "which one is meant?" in cli("jobs", "compare", "last", "last").stderr
    result = cli("jobs", "compare", "first:nop", "first:oracle")
    assert result.exit_code == 0, result.output
    assert "B − A = +1.000" in result.stdout
    assert result.stdout.count("gained") == 2
    found = json.loads(cli("jobs", "compare", "first:nop", "first:oracle", "--json").stdout)
    assert found["difference"]["mean"] == 1.0


def test_a_name_is_taken_once(cli, ran, tasks: Path):
    result = cli("run", tasks, "-a", "nop", "--name", "first")
    assert result.exit_code == 2
    assert "a job named first exists" in result.stderr


def test_a_finished_job_resumes_without_running_anything(cli, ran):
    result = cli("jobs", "resume", "first")
    assert result.exit_code == 0, result.output
    assert "[8/8]" not in result.output


def test_a_resume_with_another_config_is_refused(cli, ran, tasks: Path):
    result = cli("run", tasks, "-a", "oracle", "--resume", "first")
    assert result.exit_code == 2
    assert "was begun with other agents" in result.stderr
    result = cli("run", "--resume", "first", "--sandbox", "local")
    assert result.exit_code == 2
    assert "mechagym jobs resume first" in result.stderr
    same = ("-a", "oracle", "-a", "nop", "-k", "2")
    assert cli("run", tasks, *same, "--resume", "first").exit_code == 0
    assert cli("run", "--resume", "first", "-n", "1").exit_code == 0


def test_remove(cli, ran, home: Path):
    assert cli("jobs", "prune", "--dry-run", "--older-than", "0s").stdout.startswith("would remove")
    assert "no job is that old" in cli("jobs", "prune", "-y").stdout
    assert cli("jobs", "rm", "first", "-y").exit_code == 0
    assert not (home / "here/jobs/first").exists()
    assert json.loads(cli("jobs", "list", "--json").stdout) == []


def test_events_as_json_lines(cli, tasks: Path):
    result = cli("run", tasks, "-t", "one", "-a", "oracle", "--json")
    assert result.exit_code == 0, result.output
    *events, end = map(json.loads, result.stdout.splitlines())
    kinds = [event["event"]["kind"] for event in events]
    assert kinds[0] == "job_started"
    assert kinds[-1] == "job_ended"
    assert {"try_started", "verdict_reached", "trial_ended"} <= set(kinds)
    assert end["groups"][0]["mean"]["mean"] == 1.0


def test_quiet(cli, tasks: Path):
    result = cli("run", tasks, "-t", "one", "-a", "oracle", "-q")
    assert result.stderr == ""
    assert " 1/1 " in result.stdout


def test_what_is_not_graded_is_named_and_can_be_tried_again(cli, tasks: Path):
    write_task(tasks / "one", "#!/bin/sh\necho no reward\n")
    result = cli("run", tasks, "-a", "oracle", "--name", "second", "--retries", "0")
    assert result.exit_code == 3, result.output
    assert "not graded: one__" in result.stdout
    assert "reward_missing" in result.stdout
    assert "to try these again: mechagym jobs retry second --unscored" in result.stdout
    again = cli("jobs", "retry", "second", "--unscored", "-q")
    assert again.exit_code == 3, again.output
    assert "1 trial to be tried again" in again.stderr
    rows = json.loads(cli("jobs", "show", "second", "--trials", "--json").stdout)["trial_rows"]
    assert sorted(row["tries"] for row in rows) == [1, 2]
    sealed = cli("jobs", "retry", "second", "--outcome", "passed")
    assert sealed.exit_code == 2
    assert "graded and sealed" in sealed.stderr
    assert "did you mean `passed`?" in cli("jobs", "retry", "second", "--outcome", "pased").stderr


def test_a_broken_task_is_told_and_the_others_run(cli, tasks: Path):
    (tasks / "two/task.toml").write_text("[agent]\ntimeout_sec = 'soon'\n")
    result = cli("run", tasks, "-a", "oracle")
    assert result.exit_code == 0, result.output
    assert "broken, left out:" in result.stderr
    assert "two/task.toml:2" in result.stderr


def test_check_run_proves_tasks(cli, tasks: Path):
    write_task(tasks / "two", "#!/bin/sh\necho 1 > /logs/verifier/reward.txt\n")
    result = cli("tasks", "check", tasks, "--run", "-k", "1", "--json")
    assert result.exit_code == 2, result.output
    assert [proof["standing"] for proof in json.loads(result.stdout)] == [
        "proved",
        "gives itself away",
    ]
    result = cli("tasks", "check", tasks, "--run", "-k", "2", "-t", "one")
    assert result.exit_code == 0, result.output
    assert "proved" in result.stdout


@contextmanager
def running(home: Path, job: str) -> Iterator[subprocess.Popen[str]]:
    """A job in a process of its own, whose agent is at work; killed at the end, come what may."""
    (home / "script.yaml").write_text(SCRIPT)
    options = ("-a", "scripted", "--set", f"agent.script={home / 'script.yaml'}", "--name", job)
    process = subprocess.Popen(
        [sys.executable, "-m", "mechagym", "run", "tasks", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while not anyio.run(at_work, job):
            assert process.poll() is None, process.communicate()
            time.sleep(0.2)
        yield process
    finally:
        process.kill()
        process.communicate()


async def at_work(job: str) -> bool:
    """Whether an agent of the job has called a tool."""
    async with Store.open(config.load().store) as store:
        row = await store.find_job(job)
        trials = await store.trials(row.job_id) if row else []
        events = [event for t in trials for event in await store.events(t.key.trial_id)]
    return any(isinstance(event.body, ToolCalled) for event in events)


def test_ctrl_c_stops_in_order_and_says_how_to_go_on(cli, tasks: Path, home: Path):
    with running(home, "third") as process:
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)  # the same press, passed on by what runs us
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "third cancelled" in out
    assert "to go on: mechagym jobs resume third" in out
    assert "Traceback" not in err
    (home / "script.yaml").write_text("- {kind: exec, command: echo hello > greeting.txt}\n")
    resumed = cli("jobs", "resume", "third")
    assert resumed.exit_code == 0, resumed.output
    assert " 2/2 " in resumed.stdout


@pytest.mark.must("trials-12")
def test_a_job_is_stopped_from_elsewhere(cli, tasks: Path, home: Path):
    with running(home, "fourth") as process:
        second = cli("jobs", "resume", "fourth")
        assert second.exit_code == 2, second.output
        assert f"process {process.pid}" in second.stderr
        retried = cli("jobs", "retry", "fourth", "--unscored")
        assert retried.exit_code == 2
        assert f"process {process.pid}" in retried.stderr
        told = cli("jobs", "stop", "fourth")
        assert f"process {process.pid}" in told.stdout
        out, err = process.communicate(timeout=60)
    assert process.returncode == 3, err
    assert "fourth stopped" in out


def test_a_limit_is_changed_from_elsewhere(cli, tasks: Path, home: Path):
    with running(home, "fifth") as process:
        told = cli("jobs", "raise", "fifth", "--usd", "2.5", "--tokens", "none")
        assert told.exit_code == 0, told.output
        assert "its limit in usd is 2.5" in told.stdout
        cli("jobs", "stop", "fifth")
        _, err = process.communicate(timeout=60)
    assert process.returncode == 3, err
    kinds = [event.body.kind for event in anyio.run(events_of_job, "fifth")]
    assert kinds.count("budget_raised") == 1  # tokens had no limit before
    assert (
        "to go on: mechagym jobs resume fifth" in cli("jobs", "raise", "last", "--usd", "3").stdout
    )
    assert cli("jobs", "raise", "fifth").exit_code == 2
    assert "neither a number" in cli("jobs", "raise", "fifth", "--usd", "-1").stderr


async def events_of_job(name: str) -> list[Event]:
    async with Store.open(config.load().store) as store:
        row = await store.find_job(name)
        assert row is not None
        return await store.events(row.job_id)


def test_a_login_is_not_asked_for_where_no_model_is(cli, tasks: Path, monkeypatch):
    monkeypatch.setenv("MECHAGYM_LLM__CREDENTIAL", "claude-code")  # and nobody has logged in
    done = cli("run", tasks, "-a", "oracle", "--name", "sixth")
    assert done.exit_code == 0, done.output
