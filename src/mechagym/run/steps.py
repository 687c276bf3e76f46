"""The steps of a task in one box: each is prepared, worked on, ended, collected and judged in turn.

A single-step task has one step, named `main`. The agent is dead before anything is collected, and
everything is collected before the tests come in.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from mechagym.agents.base import Agent, Context, WorksInBox
from mechagym.budget import Meter
from mechagym.events import (
    AgentStarted,
    AgentStopped,
    Emit,
    ErrorRaised,
    EventBody,
    StepStarted,
    ToolCalled,
    VerdictReached,
)
from mechagym.records import Phase, StepRecord
from mechagym.run import boxes
from mechagym.run.access import Borrower, Loan, Patience
from mechagym.run.collect import AGENT_LOGS, Depot, with_convention
from mechagym.run.exam import Examiner
from mechagym.run.grade import reached
from mechagym.run.kit import Kit
from mechagym.run.leash import Leash
from mechagym.run.outcome import error_record, outcome_of
from mechagym.run.plan import TrialPlan
from mechagym.run.prepare import enforce_network, ready_step
from mechagym.run.stint import Stint, let_work, told
from mechagym.run.survey import survey
from mechagym.run.wrapping import TaskWrapper, of_last_step
from mechagym.sandbox.base import Box, NetworkPolicy
from mechagym.tasks.model import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Where the steps take place: all that they share. `number` is that of the try; `enter` tells
    the clock of a phase.
    """

    plan: TrialPlan
    number: int
    kit: Kit
    folder: Path
    emit: Emit
    enter: Callable[[Phase], None]


@dataclass(slots=True, kw_only=True)
class Course:
    """What the steps have come to so far."""

    steps: list[StepRecord] = field(default_factory=list)
    stints: list[Stint] = field(default_factory=list)


class StepRunner:
    """Carries one box and one agent through the steps of a task."""

    def __init__(self, scene: Scene, box: Box, agent: Agent, meter: Meter) -> None:
        """The box is open with the first step's network; the agent is prepared in it."""
        self._scene, self._box, self._agent, self._meter = scene, box, agent, meter
        self._examiner = Examiner(scene.plan, scene.kit, scene.emit)
        self._network: NetworkPolicy | None = None
        self._calls: list[ToolCalled] = []
        self._patience = Patience(None)

    async def run(self, course: Course) -> None:
        """Do the steps in order, until one stays below its minimum reward; `course` is filled."""
        for index, step in enumerate(self._scene.plan.task.steps):
            self._scene.enter(Phase.PREPARE)
            self._scene.emit(StepStarted(name=step.name, index=index))
            await self._ready(step)
            record = await self._step(step, course)
            course.steps.append(record)
            if record.verdict is None or not reached(step, record.verdict):
                return

    async def _ready(self, step: Step) -> None:
        task = self._scene.plan.task
        wanted = boxes.agent_network(task, step)
        await enforce_network(self._box, wanted, self._network or wanted, self._scene.emit)
        self._network = wanted
        await ready_step(self._box, step)

    async def _step(self, step: Step, course: Course) -> StepRecord:
        scene, box = self._scene, self._box
        task = scene.plan.task
        folder = scene.folder / "steps" / step.name if task.multi_step else scene.folder
        wanted = with_convention(task.artifacts + step.artifacts)
        wrapper = scene.kit.make_wrapper() if scene.kit.make_wrapper else None
        instruction = step.instruction
        if wrapper is not None:
            instruction = await wrapper.wrap(instruction, box)
        before = await survey(box)
        scene.enter(Phase.AGENT)
        stint = await self._work(step, instruction)
        course.stints.append(stint)
        scene.enter(Phase.COLLECT)
        if wrapper is not None:
            await self._unwrap(wrapper, folder)
        await self._examiner.hooks(step, box, folder)
        after = await survey(box, [AGENT_LOGS, *(artifact.source for artifact in wanted)])
        depot = Depot(box=box, folder=folder, emit=scene.emit)
        if AGENT_LOGS in after.present:
            await depot.logs()
        artifacts = await depot.artifacts(wanted, after.present)
        left = await self._examiner.after(depot, before, after, self._calls)
        scene.enter(Phase.VERIFY)
        if step.verifier.mode == "shared":
            self._network = boxes.verifier_network(task, step)
        verdict = await self._examiner.judge(step, box, left, artifacts)
        scene.emit(VerdictReached(verdict=verdict, step=step.name))
        outcome = outcome_of(stint.ending, verdict, stint.error)
        return StepRecord(name=step.name, outcome=outcome, verdict=verdict)

    async def _unwrap(self, wrapper: TaskWrapper, folder: Path) -> None:
        """Have the wrapper out of the box before anything is judged, and keep what it says."""
        scene = self._scene
        events = await scene.kit.store.fold(
            scene.plan.key.trial_id, lambda told: of_last_step(told, scene.number)
        )
        report, texts = await wrapper.unwrap(self._box, events)
        for name, text in texts.items():
            path = folder / "protocol" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        scene.emit(report)

    async def _work(self, step: Step, instruction: str) -> Stint:
        self._calls.clear()
        with self._lent() as loan:
            return await self._worked(step, instruction, loan)

    async def _worked(self, step: Step, instruction: str, loan: Loan | None) -> Stint:
        scene, agent, model = self._scene, self._agent, self._scene.plan.model
        timeout_s = self._timeout_s(step)
        self._patience = Patience(timeout_s)
        end = loan.end if loan else lambda: None
        leash = Leash(self._box, user=step.agent.user, on_cut=end)
        door = self._box.info.door
        borrower, access = self._borrower(timeout_s), scene.kit.access
        context = Context(
            instruction=instruction,
            box=leash,
            meter=self._meter,
            emit=self._heard,
            step=step.name,
            model=model,
            endpoint=loan.endpoint(door) if loan and door else None,
            user=step.agent.user,
            seconds_left=told(timeout_s),
        )
        if access and borrower:
            context = replace(
                context,
                open_model=access.opener(borrower, scene.emit),
                facts=access.facts(borrower.model),
            )
        scene.emit(
            AgentStarted(
                agent=agent.name,
                version=agent.version,
                instruction=instruction,
                model=model,
                deadline_s=context.seconds_left,
            )
        )
        stint = await let_work(agent, context, leash, self._box, self._patience)
        if stint.error is not None:
            scene.emit(ErrorRaised(error=error_record(stint.error), phase=Phase.AGENT))
        scene.emit(
            AgentStopped(
                reason=stint.ending,
                killed=stint.stopped.killed,
                kept=stint.stopped.kept,
                claim=stint.result.claim if stint.result else None,
            )
        )
        return stint

    @contextmanager
    def _lent(self) -> Iterator[Loan | None]:
        """The way to the trial's model, for an agent that calls it from the box."""
        access, borrower = self._scene.kit.access, self._borrower(None)
        if access is None or borrower is None or not borrower.dialects:
            yield None
            return
        with access.lend(borrower) as loan:
            yield loan

    def _borrower(self, timeout_s: float | None) -> Borrower | None:
        """Who works with the trial's model from now on, for so long; None: nobody does."""
        plan, agent = self._scene.plan, self._agent
        if plan.model is None:
            return None
        until = math.inf if timeout_s is None else time.monotonic() + timeout_s
        return Borrower(
            trial_id=plan.key.trial_id,
            agent=agent.name,
            dialects=agent.dialects if isinstance(agent, WorksInBox) else (),
            model=plan.model,
            meter=self._meter,
            emit=self._heard,
            public=self._box.info.network == "public",
            left_s=lambda: max(0.0, until - time.monotonic()),
        )

    def _heard(self, body: EventBody) -> None:
        """What the agent and the gateway emit; calls of tools are kept until they were scanned."""
        self._patience.heard(body)
        if isinstance(body, ToolCalled):
            self._calls.append(body)
        self._scene.emit(body)

    def _timeout_s(self, step: Step) -> float | None:
        rules = self._scene.kit.rules
        asked_s = rules.agent_timeout_s or step.agent.timeout_s
        bounds = [asked_s and asked_s * rules.timeout_multiplier, self._meter.left("seconds")]
        return min((bound for bound in bounds if bound is not None), default=None)
