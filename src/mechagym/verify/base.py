"""The seam of all verifiers: a box as the agent left it goes in, a verdict comes out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mechagym.events import Emit
from mechagym.records import Verdict
from mechagym.sandbox.base import Box
from mechagym.tasks.model import Step, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Exam:
    """What is judged and where its papers go: `folder` is the trial's `verifier/` on the host.

    `env` is the verifier's, already resolved; `timeout_s` is after the job's multiplier.
    `tests_in_image`: the box was opened from a verifier image that holds `/tests` already.
    `second_box`: it is not the agent's, so the `collect` commands have run elsewhere.
    """

    task: Task
    step: Step
    folder: Path
    emit: Emit
    env: dict[str, str]
    timeout_s: float
    tests_in_image: bool = False
    second_box: bool = False


class Verifier(Protocol):
    """Something that can tell whether the work is done."""

    async def judge(self, exam: Exam, box: Box) -> Verdict:
        """Run the tests, read the reward. Raises VerifierError, never a silent 0."""
        ...
