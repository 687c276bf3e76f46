"""Tests that hang, fork bombs, floods of output, hostile files: each bounded, each typed."""

import gc
import os
from pathlib import Path

import anyio
import psutil
import pytest

from mechagym.agents.scripted import Exec
from mechagym.events import ArtifactCollected, ToolReturned
from mechagym.records import Outcome, TrialRecord
from mechagym.run.config import Pace, Rules
from mechagym.tasks.model import Task
from tests.run.gym import Gym, make_task

BOMB = "bomb() { bomb | bomb & }; bomb; sleep 60"
FLOOD = "echo the-head; head -c 1000000000 /dev/zero | tr '\\0' x; echo; echo the-tail"


async def both(gym: Gym, first: Task, second: Task) -> dict[str, TrialRecord]:
    """Outcomes of two trials that run one after the other, the first one in trouble."""
    gym.pace = Pace(trials=1, retries=0)
    report = await gym.run([first, second], gym.config("oracle"))
    return {trial.key.task: trial for trial in report.trials}


@pytest.mark.must("trials-11")
async def test_tests_that_hang_are_bounded_and_the_next_trial_runs(live_gym):
    root = live_gym.root / "tasks"
    toml = 'schema_version = "1.4"\n[verifier]\ntimeout_sec = 2.0\n'
    hangs = "trap '' TERM; echo before; setsid sleep 600 & sleep 600"
    first = make_task(root, "a", toml=toml, files={"tests/test.sh": hangs})
    trials = await both(live_gym, first, make_task(root, "b"))
    assert trials["a"].outcome is Outcome.INFRA_ERROR
    error = trials["a"].counted.error
    assert error is not None
    assert error.reason == "verifier_timed_out"
    assert trials["b"].outcome is Outcome.PASSED


@pytest.mark.must("trials-11")
@pytest.mark.alone
async def test_a_fork_bomb_is_bounded_and_the_next_trial_runs(live_gym):
    live_gym.rules = Rules(agent_timeout_s=2.0)
    root = live_gym.root / "tasks"
    first = make_task(root, "a", files={"solution/solve.sh": BOMB})
    trials = await both(live_gym, first, make_task(root, "b"))
    assert trials["a"].outcome in {Outcome.TIMED_OUT, Outcome.INFRA_ERROR}, trials["a"].counted
    assert trials["a"].reward in {0.0, None}
    assert trials["b"].outcome is Outcome.PASSED, trials["b"].counted.error


@pytest.mark.must("trials-11")
async def test_a_full_disk_is_said_and_the_next_trial_runs(live_gym):
    root = live_gym.root / "tasks"
    fills = (
        "cat /dev/zero > /dev/shm/fill; cat /dev/zero > /app/fill 2> /app/said & sleep 1; kill $!"
    )
    test = (
        "echo 1 > /dev/shm/more 2>/dev/null && [ -s /dev/shm/more ]\n"
        "echo $? > /logs/verifier/reward.txt"
    )
    files = {"solution/solve.sh": fills, "tests/test.sh": test}
    trials = await both(live_gym, make_task(root, "a", files=files), make_task(root, "b"))
    assert trials["a"].outcome is Outcome.PASSED, trials["a"].counted
    assert trials["b"].outcome is Outcome.PASSED


@pytest.mark.must("trials-10")
async def test_a_gigabyte_of_output_costs_the_controller_nothing(live_gym):
    live_gym.script = [Exec(command="true"), Exec(command=FLOOD)]
    gc.collect()
    process = psutil.Process()
    before_mb = process.memory_info().rss / 2**20
    peak = [before_mb]
    task = make_task(live_gym.root / "tasks")

    async def watch() -> None:
        while True:
            peak.append(process.memory_info().rss / 2**20)
            await anyio.sleep(0.05)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        record = await live_gym.trial(task, "scripted")
        tasks.cancel_scope.cancel()
    assert max(peak) - before_mb < 50
    events = await live_gym.events(record.key.trial_id)
    flooded = [e.body for e in events if isinstance(e.body, ToolReturned)][-1]
    assert flooded.output.startswith("the-head\nxxx")
    assert flooded.output.endswith("xxx\nthe-tail\n")
    assert "bytes left out" in flooded.output
    assert len(flooded.output) < 100_000


@pytest.mark.must("trials-15")
async def test_hostile_files_stay_in_the_trials_folder(live_gym):
    outside = live_gym.root / "outside"
    outside.mkdir()
    plant = f"""
    mkdir -p /logs/artifacts/deep && cd /logs/artifacts
    ln -s {outside} away; ln -s /etc/passwd passwd; ln -s ../../../../../.. up
    mkfifo pipe; ln {"/etc/hostname"} hard 2>/dev/null
    echo x > 'a name\nwith a line'; echo y > deep/ok; chmod 4777 deep/ok
    rm -rf /logs/agent && ln -s {outside} /logs/agent
    ln -s {outside}/reward.txt /app/link
    """
    live_gym.script = [Exec(command=plant, user="root")]
    test = (
        "ln -s /etc/passwd /logs/verifier/p; ln -sfn / /logs/verifier/root\n"
        "echo 0 > /logs/verifier/reward.txt"
    )
    task = make_task(live_gym.root / "tasks", files={"tests/test.sh": test})
    before = everything(live_gym.root)
    record = await live_gym.trial(task, "scripted")
    assert record.outcome is Outcome.FAILED, record.counted.error
    folder = live_gym.root / "jobs" / "job" / record.key.trial_name
    new = everything(live_gym.root) - before
    assert not any(path.is_relative_to(outside) for path in new)
    inside = [path for path in new if path.is_relative_to(folder)]
    for path in inside:
        assert path.resolve().is_relative_to(folder), f"{path} leads out"
        assert not path.is_fifo()
        assert not path.lstat().st_mode & 0o6000
    assert (folder / "artifacts" / "deep" / "ok").read_text() == "y\n"
    collected = [b for _, b in live_gym.seen if isinstance(b, ArtifactCollected)]
    assert any("away" in line for body in collected for line in body.refused)


def everything(root: Path) -> set[Path]:
    """Every path below a folder, links not followed."""
    return {Path(here, n) for here, dirs, files in os.walk(root) for n in dirs + files}
