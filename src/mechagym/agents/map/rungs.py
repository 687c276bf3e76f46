"""What is done where nothing gets better: think anew, try several ways, stop with the best state.

Sampling at the start of a sub-task, where that is switched on, is done here too: it is the same
thing at another moment.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from mechagym.agents.map import state as states
from mechagym.agents.map.base import Episode, Evaluator, Sampler, SampleRequest
from mechagym.agents.map.checking import Checking
from mechagym.agents.map.clock import Clock
from mechagym.agents.map.config import MapConfig
from mechagym.agents.map.gate import open_points
from mechagym.agents.map.handover import files_told, tried
from mechagym.agents.map.prompts import RETHINK
from mechagym.agents.map.telling import Telling
from mechagym.agents.map.types import ExecutionState, SampleOutcome, Surroundings
from mechagym.budget import Meter
from mechagym.events.map import MapNoProgress
from mechagym.records import Spend
from mechagym.sandbox.base import Box

SAMPLINGS = 2
SAMPLED_AT = {"initial": (1,), "always": (1, 2)}
"""By switch: the sub-tasks, counted from 0, at whose start candidates are made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """What the sampler is asked with, but for the moment."""

    sampler: Sampler
    episode: Episode
    evaluator: Evaluator | None
    place: Surroundings
    meter: Meter
    mean_turn: Callable[[], tuple[Spend, float]]


class Rungs:
    """The three rungs. `act` is called with the state already on its new rung."""

    def __init__(
        self, box: Box, checking: Checking, config: MapConfig, *, clock: Clock, telling: Telling
    ) -> None:
        self._box, self._checking, self._config = box, checking, config
        self._clock, self._telling = clock, telling
        self.sampling: Sampling | None = None

    async def act(self, state: ExecutionState) -> tuple[ExecutionState, list[str]]:
        """Do what the rung asks for; gives what the model is told."""
        if state.rung == 1:
            self._told(1, "the model is asked to think anew")
            return state, [_rethink(state, self._config.prompts.rethink_prompt or RETHINK)]
        if state.rung == 2:
            return await self._resample(state)
        state, put_back = await self._checking.put_best_back(state)
        best = ", the best state is in the box" if put_back else ""
        self._told(3, f"the run stops{best}")
        return state, []

    async def sample_at_start(self, state: ExecutionState) -> tuple[ExecutionState, list[str]]:
        """Make candidates at the start of a sub-task, where that is switched on."""
        points = SAMPLED_AT.get(self._config.switches.sampler, ())
        if state.current_subtask not in points:
            return state, []
        state, outcome = await self._sample(state, with_present=False)
        return state, [await self._outcome_told(outcome)] if outcome and outcome.chosen else []

    async def _resample(self, state: ExecutionState) -> tuple[ExecutionState, list[str]]:
        """From the best state several ways are tried; else it is put back, and told afresh."""
        state, put_back = await self._checking.put_best_back(state)
        state, outcome = await self._sample(state, with_present=True)
        back = "The files of the best state so far were put back. " if put_back else ""
        if outcome is None or outcome.chosen is None:
            done = "the best state was put back" if put_back else "the open points are told afresh"
            rows = "\n".join(f"- {point}" for point in open_points(state))
            self._told(2, done)
            return state, [f"{back}There is still no progress. Open points:\n{rows}".rstrip()]
        self._told(2, f"candidates were made, {outcome.chosen} was taken")
        return state, [back + await self._outcome_told(outcome)]

    async def _sample(
        self, state: ExecutionState, *, with_present: bool
    ) -> tuple[ExecutionState, SampleOutcome | None]:
        sampling = self.sampling
        if sampling is None or state.samplings >= SAMPLINGS or self._clock.is_last:
            return state, None
        turn_spend, turn_s = sampling.mean_turn()
        outcome = await sampling.sampler.sample(
            SampleRequest(
                box=self._box,
                state=state,
                surroundings=sampling.place,
                episode=sampling.episode,
                evaluator=sampling.evaluator,
                meter=sampling.meter,
                emit=self._telling.emit,
                n=self._config.sampler_n,
                temperatures=self._config.temperatures,
                turn_spend=turn_spend,
                turn_s=turn_s,
                left_s=lambda: self._clock.left_s,
                with_present=with_present,
            )
        )
        state = replace(state, samplings=state.samplings + 1)
        if outcome.chosen:
            state = states.changed(state, outcome.changed_paths)
            state = await self._checking.adopted(state, outcome.evaluation, "candidate")
        return state, outcome

    async def _outcome_told(self, outcome: SampleOutcome) -> str:
        """What the model must know of the box being another one."""
        if not outcome.chosen:
            return "Several ways were tried; none was better than what is there. Try another one."
        lost = f"\nNot carried over: {', '.join(outcome.lost)}." if outcome.lost else ""
        files = await files_told(self._box, outcome.changed_paths)
        return (
            f"Several ways were tried in copies of the machine, and the best was taken"
            f" ({outcome.reason}); its changes are in your files now.{lost}\n{files}"
        )

    def _told(self, rung: int, done: str) -> None:
        self._telling.emit(MapNoProgress(rung=rung, done=done))


def _rethink(state: ExecutionState, prompt: str) -> str:
    """The prompt with what was tried and what is open, in their places or behind it."""
    rows = [f"- {tried(done)}" for done in state.actions]
    done = "Tried of late:\n" + "\n".join(rows) if rows else ""
    points = open_points(state)
    still = "Still open:\n" + "\n".join(f"- {point}" for point in points) if points else ""
    if "{tried}" not in prompt and "{open}" not in prompt:
        prompt = f"{prompt}\n{{tried}}\n{{open}}"
    return prompt.replace("{tried}", done).replace("{open}", still)
