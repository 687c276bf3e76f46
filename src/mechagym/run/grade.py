"""Several steps, one verdict: how a multi-step task is put together."""

from collections.abc import Sequence

from mechagym.records import StepRecord, Verdict
from mechagym.tasks.model import Step, Task


def reached(step: Step, verdict: Verdict) -> bool:
    """Whether the next step may begin: every minimum reward of this one was reached."""
    return all(verdict.rewards.get(name, 0.0) >= least for name, least in step.min_reward.items())


def combine(task: Task, done: Sequence[StepRecord]) -> Verdict | None:
    """The task's verdict: the last step's (`final`) or the mean over all steps of the task.

    A step that was not reached counts as 0 in a mean. None where no step was judged.
    """
    verdicts = [record.verdict for record in done if record.verdict is not None]
    if not verdicts:
        return None
    if not task.multi_step:
        return verdicts[0]
    whole = len(verdicts) == len(task.steps)
    final = verdicts[-1].reward if whole else 0.0
    mean = sum(v.reward for v in verdicts) / len(task.steps)
    names = [record.name for record in done]
    return Verdict(
        rewards={"reward": final if task.reward_strategy == "final" else mean}
        | {f"step:{name}": v.reward for name, v in zip(names, verdicts, strict=False)},
        tests=tuple(test for v in verdicts for test in v.tests),
        findings=tuple(finding for v in verdicts for finding in v.findings),
        source="task" if all(v.source == "task" for v in verdicts) else "generated",
        duration_s=sum(v.duration_s for v in verdicts),
    )
