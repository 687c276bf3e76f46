"""Runs a job of two trials and kills itself at a given event: `crash_driver ROOT SANDBOX KIND`.

KIND is `kind` or `phase_started:verify`; `none` runs to the end. With `:kept` the kill waits until
the event is in the store. It hits the second trial only.
"""

import os
import signal
import sys
import time
from pathlib import Path

import anyio

from mechagym.events import EventBody, PhaseStarted, TrialEnded
from mechagym.run.config import Pace
from mechagym.sandbox.base import Sandbox
from mechagym.tasks.folder import load_task
from tests.run.conftest import live_sandbox
from tests.run.gym import Gym


class Bomb:
    """A watcher that ends the process by SIGKILL."""

    def __init__(self, kind: str) -> None:
        self._kind, self._kept = kind.removesuffix(":kept"), kind.endswith(":kept")
        self._first_done = False

    def __call__(self, subject: str, body: EventBody) -> None:
        kind = f"phase_started:{body.phase}" if isinstance(body, PhaseStarted) else body.kind
        if self._first_done and kind == self._kind:
            if self._kept:
                time.sleep(0.5)  # the journal writes in its own thread, within 100 ms
            os.kill(os.getpid(), signal.SIGKILL)
        self._first_done = self._first_done or isinstance(body, TrialEnded)


async def main(root: Path, sandbox: Sandbox, kind: str) -> None:
    """Run the job, or go on with it."""
    gym = Gym(root=root, sandbox=sandbox, pace=Pace(trials=1, retries=0))
    tasks = [load_task(root / "tasks" / name) for name in ("first", "second")]
    gym.watcher = Bomb(kind)
    report = await gym.run(tasks, gym.config("oracle"))
    for trial in report.trials:
        sys.stdout.write(f"{trial.key.task} {trial.outcome} {len(trial.tries)}\n")


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]), live_sandbox(sys.argv[2]), sys.argv[3])
