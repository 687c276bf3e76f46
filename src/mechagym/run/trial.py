"""One try of one trial, from its journal line to its record.

Read `Try._live` aloud: admit, have the image, open a box, prepare the agent, do the steps.
Whatever happens a record comes out; a cancel writes its record too and goes on up.
"""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import datetime

import anyio

from mechagym.agents.base import Agent, WorksInBox
from mechagym.errors import AgentSetupError, LimitRefused
from mechagym.events import (
    BoxClosed,
    BoxOpened,
    CredentialExposed,
    ErrorRaised,
    ImageProgressed,
    TryEnded,
    TryStarted,
)
from mechagym.records import BoxInfo, Phase, Spend, TryRecord, now
from mechagym.run import boxes
from mechagym.run.clock import PhaseClock
from mechagym.run.grade import combine
from mechagym.run.hostenv import fill, resolve
from mechagym.run.kit import Kit
from mechagym.run.logins import check_readers
from mechagym.run.outcome import Ending, cause, error_record, outcome_of
from mechagym.run.plan import TrialPlan
from mechagym.run.prepare import ready_folders
from mechagym.run.space import check_space
from mechagym.run.steps import Course, Scene, StepRunner
from mechagym.sandbox.base import Box, BoxSpec, Image, Labels, admit, unenforced

PREPARE_S = 360.0
_ISOLATION = ("none", "namespace", "container", "vm")


class Try:
    """A try in progress: what it has found out so far. Nothing of it is used twice."""

    def __init__(self, plan: TrialPlan, number: int, kit: Kit, queued_at: datetime) -> None:
        """`number` counts from 1; `queued_at`: since when the trial waits for its turn."""
        self._plan, self._number, self._kit = plan, number, kit
        self._emit = kit.emitter(plan.key.trial_id, number)
        self._clock = PhaseClock(self._emit, queued_at=queued_at)
        self._course = Course()
        self._box: BoxInfo | None = None
        self._error: BaseException | None = None
        self._spend = Spend()
        self._exposed = False

    async def run(self) -> TryRecord:
        """Carry the try through. Raises only a cancel, and that after its record is written."""
        label = f"{self._plan.key.trial_id}.{self._number}"
        self._emit(TryStarted(number=self._number, owner_pid=os.getpid(), label=label))
        self._clock.enter(Phase.QUEUE)
        await self._kit.store.flush()
        try:
            await self._live()
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await self._end("cancelled")
            raise
        except Exception as error:  # noqa: BLE001 – one bad trial never stops a job
            self._error = cause(error)
            self._emit(ErrorRaised(error=error_record(self._error), phase=self._clock.phase))
        return await self._end(None)

    async def _live(self) -> None:
        kit = self._kit
        agent = self._agent()
        spec = self._admitted(agent)
        check_space(kit.folder.root)
        self._clock.enter(Phase.IMAGE)
        await self._have(spec.image)
        self._clock.enter(Phase.START)
        async with AsyncExitStack() as stack:
            spec = await stack.enter_async_context(self._with_login(agent, spec))
            async with kit.gates.starts:
                box = await stack.enter_async_context(kit.sandbox.open(spec))
            stack.callback(self._clock.enter, Phase.CLOSE)
            self._opened(box)
            meter = stack.enter_context(kit.meter.spend(kit.rules.trial_budget, emit=self._emit))
            try:
                self._clock.enter(Phase.PREPARE)
                await self._prepare(agent, box)
                await StepRunner(self._scene(), box, agent, meter).run(self._course)
            finally:
                self._spend = meter.settled + meter.held
        self._emit(BoxClosed(box_id=box.info.box_id))

    def _scene(self) -> Scene:
        return Scene(
            plan=self._plan,
            number=self._number,
            kit=self._kit,
            folder=self._kit.folder.try_dir(self._plan.key.trial_name, self._number),
            emit=self._emit,
            enter=self._clock.enter,
        )

    def _admitted(self, agent: Agent) -> BoxSpec:
        """The box's spec. Raises LimitRefused, before anything starts, where it cannot be given."""
        task, rules, sandbox = self._plan.task, self._kit.rules, self._kit.sandbox
        labels = Labels(job_id=self._plan.key.job_id, trial_id=self._plan.key.trial_id)
        spec = boxes.agent_box(task, rules, labels)
        network = boxes.agent_network(task, task.steps[0])
        spec = replace(spec, network=network, stays_offline=boxes.stays_offline(task))
        spec = replace(spec, on_egress=self._emit)
        if isinstance(agent, WorksInBox):
            door = self._kit.access.door if self._kit.access and self._plan.model else None
            spec = replace(spec, mounts=agent.mounts, door=door)
        lacks = admit(spec, sandbox.capabilities)
        if rules.require_limits:
            missing = unenforced(spec.limits, sandbox.capabilities)
            lacks += [f"it cannot enforce a limit on {name}" for name in missing]
        if lacks:
            raise LimitRefused(f"{sandbox.name} cannot run {task.task_id}: {'; '.join(lacks)}")
        return spec

    @asynccontextmanager
    async def _with_login(self, agent: Agent, spec: BoxSpec) -> AsyncIterator[BoxSpec]:
        """The spec with the login that its agent is to find in the box, if any is mounted."""
        access, model = self._kit.access, self._plan.model
        if access is None or model is None or spec.door is None:
            yield spec
            return
        async with access.exposing(agent.name, model, spec.labels) as mounts:
            for mount in mounts:
                self._exposed = True
                self._emit(CredentialExposed(agent=agent.name, target=mount.target))
            yield replace(spec, mounts=(*spec.mounts, *mounts))

    def _agent(self) -> Agent:
        """The agent; the solution's environment is filled in for the one agent that uses it."""
        plan, task = self._plan, self._plan.task
        if plan.agent.name == "oracle" and task.solution_env:
            whose = f"the solution of {task.name}"
            env = resolve(task.solution_env, self._kit.host_env, whose=whose)
            task = replace(task, solution_env=env)
        return self._kit.make_agent(fill(plan.agent, self._kit.host_env), task)

    async def _have(self, image: Image) -> None:
        digest = await self._kit.images.have(
            image, lambda line: self._emit(ImageProgressed(image=type(image).__name__, line=line))
        )
        self._emit(ImageProgressed(image=type(image).__name__, line="", digest=digest))

    def _opened(self, box: Box) -> None:
        self._box = box.info
        self._emit(BoxOpened(box=box.info))
        least = self._kit.rules.min_isolation
        if _ISOLATION.index(box.info.isolation) < _ISOLATION.index(least):
            raise LimitRefused(
                f"the box's isolation is {box.info.isolation}, at least {least} is asked for"
            )
        if self._exposed:
            check_readers(box.info, self._plan.task)

    async def _prepare(self, agent: Agent, box: Box) -> None:
        await ready_folders(box)
        with anyio.move_on_after(PREPARE_S):
            await agent.prepare(box)
            return
        raise AgentSetupError(f"{agent.name} was not ready after {PREPARE_S:g} s")

    async def _end(self, forced: Ending | None) -> TryRecord:
        self._clock.stop()
        course = self._course
        early = [stint.ending for stint in course.stints if stint.ending != "finished"]
        ending = forced or (early[0] if early else "finished")
        agents_own = next((stint.error for stint in course.stints if stint.error), None)
        whole = self._error is None
        verdict = combine(self._plan.task, course.steps) if whole else None
        error = self._error or agents_own
        results = [stint.result for stint in course.stints if stint.result]
        turns = [result.turns for result in results if result.turns is not None]
        record = TryRecord(
            number=self._number,
            outcome=outcome_of(ending, verdict, error),
            started_at=self._clock.started_at,
            ended_at=now(),
            phases=self._clock.times,
            box=self._box,
            verdict=verdict,
            steps=tuple(course.steps) if self._plan.task.multi_step else (),
            error=error_record(error) if error else None,
            spend=self._spend,
            turns=sum(turns) if turns else None,
            claim=results[-1].claim if results else None,
            credential_exposed=self._exposed,
            agent_metadata={k: v for result in results for k, v in result.metadata.items()},
        )
        self._emit(TryEnded(record=record))
        return record
