"""kill -9 at each step of a trial: the next start tidies up, resumes, and runs nothing twice."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mechagym.events import TrialEnded, TryStarted
from mechagym.sandbox.base import ReapScope
from mechagym.store import Store
from tests.run.gym import Gym, make_task

ROOT = Path(__file__).parent.parent.parent
STEPS = (
    "try_started",
    "phase_started:image",
    "phase_started:start",
    "box_opened",
    "phase_started:agent",
    "agent_stopped",
    "phase_started:collect",
    "phase_started:verify",
    "verdict_reached",
    "phase_started:close",
    "try_ended",
    "trial_ended",
    "trial_ended:kept",
)


def drive(root: Path, sandbox: str, kind: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.run.crash_driver", str(root), sandbox, kind],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.must("trials-8")
@pytest.mark.parametrize("kind", STEPS)
async def test_kill_9_then_resume(tmp_path, live, kind):
    for task in ("first", "second"):
        make_task(tmp_path / "tasks", task)
    killed = drive(tmp_path, live.name, kind)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    resumed = drive(tmp_path, live.name, "none")
    assert resumed.returncode == 0, resumed.stderr
    lines = sorted(resumed.stdout.split("\n"))
    assert [line.split()[:2] for line in lines if line] == [
        ["first", "passed"],
        ["second", "passed"],
    ]
    gym = Gym(root=tmp_path, sandbox=live)
    async with Store.open(gym.url) as store:
        job = await store.find_job("job")
        assert job is not None
        for row in await store.trials(job.job_id):
            bodies = [e.body for e in await store.events(row.key.trial_id, limit=10_000)]
            ends = [i for i, body in enumerate(bodies) if isinstance(body, TrialEnded)]
            starts = [i for i, body in enumerate(bodies) if isinstance(body, TryStarted)]
            assert len(ends) == 1
            assert max(starts) < ends[0]
            record = await store.record(row.key.trial_id)
            assert record is not None
            assert [each.number for each in record.tries] == list(range(1, len(starts) + 1))
            folder = tmp_path / "jobs" / "job" / row.key.trial_name
            assert (folder / "result.json").stat().st_size > 0
        left = await live.reap(ReapScope(job_id=job.job_id, dry_run=True))
    assert left == []
