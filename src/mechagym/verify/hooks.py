"""The `collect` commands of a task: run in the agent's box before the tests, for evidence.

They decide nothing: one that fails, hangs or names a service we cannot reach is told, and the exam
goes on.
"""

from pathlib import Path

from mechagym.events import Emit
from mechagym.sandbox.base import Box, ExecOptions
from mechagym.sandbox.scripts import shell
from mechagym.tasks.model import Step
from mechagym.verify.papers import note


async def run_hooks(step: Step, box: Box, folder: Path, emit: Emit) -> None:
    """Run them in order; the output of the n-th goes to `collect-n.txt` in `folder`."""
    for number, hook in enumerate(step.verifier.collect, start=1):
        if hook.service != "main":
            note(emit, "collect_skipped", f"collect {number}: no way into service {hook.service}")
            continue
        options = ExecOptions(user=hook.user, timeout_s=hook.timeout_s)
        result = await box.exec(shell(f"exec 2>&1\n{hook.command}"), options)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"collect-{number}.txt").write_bytes(result.stdout)
        if not result.ok:
            how = "timed out" if result.timed_out else f"ended with {result.exit_code}"
            note(emit, "collect_failed", f"collect {number} {how}: {hook.command}")
