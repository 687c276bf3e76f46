"""The task's own tests as verifier: put in fresh, run once, bounded, and read without trust.

The agent is dead when this begins. Whatever it left at `/logs/verifier` and `/tests` goes first, so
that a planted reward or a planted test has no effect. The exit code of the tests does not decide;
the reward does.
"""

import re
from pathlib import Path

from mechagym.errors import TaskError, VerifierError
from mechagym.records import Verdict
from mechagym.sandbox.base import Box, ExecOptions, ExecResult
from mechagym.sandbox.scripts import Fresh, clear, lay, renew, start
from mechagym.tasks.model import Step, Task
from mechagym.verify.base import Exam
from mechagym.verify.hooks import run_hooks
from mechagym.verify.papers import CTRF, LOGS, TRANSCRIPT_BYTES, bring_out, read_ctrf, transcript
from mechagym.verify.rewards import TRANSCRIPT, read_rewards, tail_of

TESTS = "/tests"
_ASKS_FOR_CTRF = re.compile(r"^[^#\n]*(?:--ctrf\b|verifier/ctrf\.json)", re.MULTILINE)


class TaskTests:
    """Runs `test.sh` in the box it is given: the agent's own, or a second one that run/ opened."""

    async def judge(self, exam: Exam, box: Box) -> Verdict:
        """Run the tests and read the reward.

        Raises VerifierError: `verifier_timed_out`, `verifier_did_not_run`, or a `reward_…` reason;
        TaskError where the task has no tests.
        """
        if not exam.second_box:
            await run_hooks(exam.step, box, exam.folder, exam.emit)
        logs = Fresh(path=LOGS, owner=exam.step.verifier.user or box.info.user)
        if exam.tests_in_image:
            await renew(box, logs)
        else:
            folders = tests_of(exam.task, exam.step)
            await renew(box, logs, TESTS)
            await lay(box, folders, TESTS)
        result = await _run(exam, box)
        await bring_out(box, exam.folder, exam.emit)
        if exam.task.multi_step:  # the next step's agent must not find them
            await clear(box, TESTS, LOGS)
        return _read(exam, result)


def tests_of(task: Task, step: Step) -> list[Path]:
    """What makes up `/tests`: the folder that all steps share, and the step's own over it."""
    folders = [folder for folder in _folders(task, step) if folder.is_dir()]
    if not any((folder / step.test_entry).is_file() for folder in folders):
        raise TaskError(f"{step.tests_dir / step.test_entry}: no such file", reason="tests_missing")
    return folders


def asks_for_ctrf(task: Task, step: Step) -> bool:
    """Whether the test script writes a CTRF report when it runs to its end."""
    for folder in reversed(_folders(task, step)):
        if (entry := folder / step.test_entry).is_file():
            text = entry.read_text(encoding="utf-8", errors="replace")
            return _ASKS_FOR_CTRF.search(text) is not None
    return False


def _folders(task: Task, step: Step) -> list[Path]:
    shared = [task.folder / "tests"] if task.multi_step else []
    return list(dict.fromkeys([*shared, step.tests_dir]))


async def _run(exam: Exam, box: Box) -> ExecResult:
    with transcript(exam.folder) as output:
        result = await box.exec(
            start(f"{TESTS}/{exam.step.test_entry}"),
            ExecOptions(
                env=exam.env,
                user=exam.step.verifier.user,
                timeout_s=exam.timeout_s,
                limit_bytes=TRANSCRIPT_BYTES,
                on_output=output.keep,
            ),
        )
        output.end(result)
    return result


def _read(exam: Exam, result: ExecResult) -> Verdict:
    try:
        rewards = read_rewards(exam.folder)
    except VerifierError as error:
        raise _explained(error, exam, result) from error
    report = read_ctrf(exam.folder, exam.emit)
    verdict = Verdict(
        rewards=rewards,
        tests=report.tests,
        exit_code=result.exit_code,
        duration_s=result.duration_s,
    )
    written = (exam.folder / CTRF).exists()
    if verdict.reward == 0 and not written and asks_for_ctrf(exam.task, exam.step):
        raise VerifierError(
            f"{exam.task.task_id}: reward 0 without the {CTRF} that the test script asks for,"
            f" so the tests never ran to their end{tail_of(exam.folder / TRANSCRIPT)}",
            reason="verifier_did_not_run",
        )
    return verdict


def _explained(error: VerifierError, exam: Exam, result: ExecResult) -> VerifierError:
    """Say whose tests these are and how they ended; a timeout explains any missing reward."""
    if result.timed_out:
        message = f"the tests did not end within {exam.timeout_s:g} s: {error.message}"
        return VerifierError(f"{exam.task.task_id}: {message}", reason="verifier_timed_out")
    how = f"ended with {result.exit_code}" if result.signal is None else f"died of {result.signal}"
    return VerifierError(
        f"{exam.task.task_id}: {exam.step.test_entry} {how}, {error.message}",
        reason=error.reason,
    )
