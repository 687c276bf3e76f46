"""The examination of a step: what is noted before the agent, and the judging after it is dead.

Shared mode judges in the agent's box. `separate` (the task asks) and `pristine` (the job asks)
open a second box, which the agent never touched, and carry over only declared artifacts or the
files that it changed.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from mechagym.errors import VerifierError
from mechagym.events import BoxClosed, BoxOpened, Emit, TamperFound, ToolCalled
from mechagym.records import TamperFinding, Verdict
from mechagym.run import boxes
from mechagym.run.collect import Collected, Depot
from mechagym.run.hostenv import resolve
from mechagym.run.kit import Kit
from mechagym.run.outcome import after_tampering
from mechagym.run.plan import TrialPlan
from mechagym.run.prepare import enforce_network
from mechagym.run.survey import Survey
from mechagym.run.workspace import Changes, compare
from mechagym.sandbox.base import Box, ExecOptions, Labels
from mechagym.tasks.model import Step
from mechagym.verify import tamper
from mechagym.verify.base import Exam
from mechagym.verify.hooks import run_hooks
from mechagym.verify.reads import scan_reads

_PATHS_AT_ONCE = 500
"""More would not fit on a command line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What the agent left. `whole`: every changed file was copied to `folder/workspace`."""

    changes: Changes
    whole: bool
    findings: tuple[TamperFinding, ...]
    folder: Path


class Examiner:
    """Judges the steps of one try."""

    def __init__(self, plan: TrialPlan, kit: Kit, emit: Emit) -> None:
        self._plan, self._kit, self._emit = plan, kit, emit

    async def after(
        self, depot: Depot, before: Survey, after: Survey, calls: Sequence[ToolCalled]
    ) -> Left:
        """Say what the agent changed, keep it, tell what touches the way tests are run.

        `calls` are the agent's; they are scanned for a look at the answers.
        """
        changes = compare(before.files, after.files)
        touched = tamper.compare(before.prints, after.prints)
        findings = (*touched, *scan_reads(calls))
        for finding in findings:
            self._emit(TamperFound(finding=finding))
        whole = await depot.changes(changes)
        return Left(changes=changes, whole=whole, findings=findings, folder=depot.folder)

    async def judge(
        self, step: Step, box: Box, left: Left, artifacts: Sequence[Collected]
    ) -> Verdict:
        """Run the tests where they belong. Raises VerifierError, SandboxError, TaskRefused."""
        env = resolve(step.verifier.env, self._kit.host_env, whose=f"the verifier of {step.name}")
        task = self._plan.task
        exam = Exam(
            task=task,
            step=step,
            folder=left.folder / "verifier",
            emit=self._emit,
            env=env,
            timeout_s=step.verifier.timeout_s * self._kit.rules.timeout_multiplier,
            tests_in_image=boxes.tests_in_image(task, step),
            second_box=self._apart(step),
        )
        exam.folder.mkdir(parents=True, exist_ok=True)
        async with self._room(step, box, left, artifacts) as room, self._kit.gates.verifiers:
            verdict = await self._kit.verifier.judge(exam, room)
        verdict = replace(verdict, findings=verdict.findings + left.findings)
        return after_tampering(verdict, self._kit.rules.on_tamper)

    def _apart(self, step: Step) -> bool:
        """Whether the tests run in a second box: the task asks for it, or the job does."""
        return step.verifier.mode == "separate" or self._kit.rules.verify == "pristine"

    async def hooks(self, step: Step, box: Box, folder: Path) -> None:
        """Run the task's `collect` commands in the agent's box, where the tests will not be in
        it.
        """
        if self._apart(step):
            await run_hooks(step, box, folder / "verifier", self._emit)

    @asynccontextmanager
    async def _room(
        self, step: Step, box: Box, left: Left, artifacts: Sequence[Collected]
    ) -> AsyncIterator[Box]:
        task = self._plan.task
        wanted = boxes.verifier_network(task, step)
        if not self._apart(step):
            await enforce_network(box, wanted, boxes.agent_network(task, step), self._emit)
            yield box
            return
        labels = Labels(job_id=self._plan.key.job_id, trial_id=self._plan.key.trial_id)
        spec = boxes.verifier_box(task, step, self._kit.rules, labels)
        await self._kit.images.have(spec.image, lambda _: None)
        spec = replace(spec, network=wanted, stays_offline=wanted.mode != "public")
        async with self._kit.sandbox.open(spec) as room:
            self._emit(BoxOpened(box=room.info, purpose="verifier"))
            if step.verifier.mode == "shared":
                await self._carry_changes(room, left)
            else:
                for artifact in artifacts:
                    await room.put(artifact.path, artifact.source)
            yield room
        self._emit(BoxClosed(box_id=room.info.box_id))

    async def _carry_changes(self, room: Box, left: Left) -> None:
        if not left.whole:
            raise VerifierError(
                "the changed files are too many or too large to carry into a pristine box",
                reason="pristine_too_large",
            )
        workspace = left.folder / "workspace"
        if workspace.is_dir():
            await room.put(workspace, room.info.workdir)
        gone = [f"./{path}" for path in left.changes.removed]
        for first in range(0, len(gone), _PATHS_AT_ONCE):
            paths = gone[first : first + _PATHS_AT_ONCE]
            await room.exec(["rm", "-f", "--", *paths], ExecOptions(user="root"))
