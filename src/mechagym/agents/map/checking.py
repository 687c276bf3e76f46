"""Runs the checks of the work when they are due, and brings what they say into the state.

With nobody to ask progress is unknown, and only the files that should be there are looked at.
"""

import posixpath

from mechagym.agents.map import state as states
from mechagym.agents.map.base import Evaluator
from mechagym.agents.map.keepsake import Keepsake
from mechagym.agents.map.telling import Telling
from mechagym.agents.map.tools.files import existing
from mechagym.agents.map.tools.toolbox import Toolbox
from mechagym.agents.map.types import (
    EvaluatorResult,
    ExecutionState,
    Surroundings,
    Trigger,
    TriggerKind,
)
from mechagym.events.map import MapError, MapVerifyComplete, MapVerifyStart
from mechagym.sandbox.base import Box

SLOW_S = 30.0
SLOW_EVERY = 3


class Checking:
    """The checks of the trial's box."""

    def __init__(
        self,
        box: Box,
        evaluator: Evaluator | None,
        *,
        place: Surroundings,
        toolbox: Toolbox,
        telling: Telling,
    ) -> None:
        self._box, self._evaluator = box, evaluator
        self._place, self._toolbox, self._telling = place, toolbox, telling
        self._waited = 0
        self.keepsake = Keepsake(box, (place.workdir, *place.named))

    async def after_turn(self, state: ExecutionState, *, grown: bool) -> ExecutionState:
        """Look what is there; run the checks if the box changed (`grown`) and they are due."""
        state = await self.look(state)
        if not grown or self._evaluator is None or state.evaluation is not None:
            return state
        self._waited += 1
        last = state.last_evaluation
        if last is not None and last.duration_s > SLOW_S and self._waited < SLOW_EVERY:
            return state
        return await self.run(state, "turn")

    async def up_to_date(self, state: ExecutionState, kind: TriggerKind) -> ExecutionState:
        """Run the checks unless the last evaluation is of the box as it is."""
        state = await self.look(state)
        return state if state.evaluation else await self.run(state, kind)

    async def look(self, state: ExecutionState) -> ExecutionState:
        """See which outputs and artifacts are there."""
        wanted = (*state.plan.required_outputs, *state.subtask.expected_artifacts)
        at = {path: posixpath.join(self._place.workdir, path) for path in wanted}
        return states.looked(state, there=await existing(self._box, tuple(at.values())), at=at)

    async def run(self, state: ExecutionState, kind: TriggerKind) -> ExecutionState:
        """Run them now; what they themselves leave in the box is nobody's change."""
        if self._evaluator is None:
            return state
        trigger = Trigger(kind=kind, revision=state.box_revision)
        self._telling.emit(MapVerifyStart(trigger=kind, revision=trigger.revision))
        return await self.adopted(state, await self._evaluator.evaluate(self._box, trigger), kind)

    async def adopted(
        self, state: ExecutionState, said: EvaluatorResult | None, kind: TriggerKind
    ) -> ExecutionState:
        """Take an evaluation of the box as it is, and keep that where it is a new best."""
        self._waited = 0
        await self._toolbox.footprint.look()
        if said is None:
            return state
        state, is_best = states.evaluated(state, said)
        self._told(kind, said, is_best=is_best)
        if is_best and not await self.keepsake.keep(self._toolbox.footprint.seen):
            text = "the best state is too large to be kept; it cannot be put back"
            self._telling.emit(MapError(error="Keepsake", message=text, recoverable=True))
        return state

    async def put_best_back(self, state: ExecutionState) -> tuple[ExecutionState, bool]:
        """Put the best state back where the present one is worse; True where that was done."""
        said = state.last_evaluation
        worse = said is not None and said.tests_passing < state.best_passing
        if not worse or not self.keepsake.holds:
            return state, False
        await self._toolbox.footprint.look()
        paths = await self.keepsake.put_back(self._toolbox.footprint.seen)
        await self._toolbox.footprint.look()
        return await self.run(states.changed(state, paths), "turn"), True

    def _told(self, kind: TriggerKind, said: EvaluatorResult, *, is_best: bool) -> None:
        self._telling.emit(
            MapVerifyComplete(
                trigger=kind,
                passing=said.tests_passing,
                total=said.tests_total,
                progress=said.progress,
                passed=said.passed,
                failures=said.failures,
                new_best=is_best,
                source=said.source,
                duration_s=said.duration_s,
            )
        )
