"""Lets one candidate of the sampler work in its own fork: a few turns, the same tools and rules.

What it spends its own meter pays. Its checks run afterwards, for all candidates alike.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mechagym.agents.base import ModelFacts, OpenModel
from mechagym.agents.map.actor import NativeActor
from mechagym.agents.map.arguments import TaskComplete
from mechagym.agents.map.base import MakeMonitor
from mechagym.agents.map.clock import Clock
from mechagym.agents.map.handover import handover
from mechagym.agents.map.messages import answer, opening
from mechagym.agents.map.prompts import FORK_NOTE
from mechagym.agents.map.telling import Telling
from mechagym.agents.map.tools.toolbox import Toolbox
from mechagym.agents.map.types import (
    CandidateBrief,
    EpisodeEnd,
    ExecutionState,
    Surroundings,
    TurnContext,
)
from mechagym.agents.map.worker import Ruling, Worker
from mechagym.budget import Meter
from mechagym.errors import BudgetError, ModelError
from mechagym.sandbox.base import Box

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage

NOT_OFFERED = frozenset({"verify_progress"})
"""The checks run for all candidates alike, once they are done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What every candidate begins with."""

    system: str
    first: str
    handover_chars: int


class ForkJudge:
    """See `Judge`: a candidate is done when it says so."""

    async def verify(self, state: ExecutionState) -> Ruling:
        """Not offered to candidates; called all the same it is answered."""
        return Ruling(state=state, text="The checks run when you are done.")

    async def complete(self, state: ExecutionState, asked: TaskComplete) -> Ruling:  # noqa: ARG002
        """Done."""
        return Ruling(state=state, text="Done.", over=True)


@dataclass(slots=True, kw_only=True)
class ForkEpisode:
    """See `Episode`. `state` gives the state of the trial's box at the fork."""

    state: Callable[[], ExecutionState]
    opening: Opening
    place: Surroundings
    open_model: OpenModel
    make_monitor: MakeMonitor
    tell: Callable[[int], Telling]
    clock: Clock
    facts: ModelFacts
    scale: float = 1.0

    async def play(self, box: Box, brief: CandidateBrief, meter: Meter) -> EpisodeEnd:
        """Work. A model that fails and money that ends are told in the result."""
        began, problem = time.monotonic(), ""
        state, telling = self.state(), self.tell(brief.index)
        toolbox = Toolbox(box, self.place, clock=self.clock, facts=self.facts, scale=self.scale)
        await toolbox.open()
        actor = NativeActor(
            self.open_model("actor", meter), without=NOT_OFFERED, prefix=f"{telling.thread}-"
        )
        worker = Worker(toolbox, self.make_monitor(box, brief.index), ForkJudge(), telling=telling)
        first = await self._first(box, brief, state)
        telling.said(first)
        messages: tuple[ModelMessage, ...] = (opening(self.opening.system, first),)
        try:
            for turn in range(1, brief.max_turns + 1):
                telling.turn(turn, of=brief.max_turns, subtask=state.subtask.id)
                context = TurnContext(messages=messages, temperature=brief.temperature, turn=turn)
                reply = await actor.act(context)
                carried = await worker.carry_out(reply, state)
                state = carried.state
                if carried.over or carried.silent:
                    break
                left = f"[turn {turn}/{brief.max_turns} of this try]"
                messages = (*messages, reply.reply, answer(carried.returns, left))
        except (ModelError, BudgetError) as error:
            problem = str(error)
        return EpisodeEnd(
            state=state,
            spend=meter.settled,
            duration_s=time.monotonic() - began,
            problem=problem,
        )

    async def _first(self, box: Box, brief: CandidateBrief, state: ExecutionState) -> str:
        """The first prompt of the trial, how things stand, and what makes this try another one."""
        stand = await handover(
            box, state, all_chars=self.opening.handover_chars, why="It is tried in several ways."
        )
        own = [f"Your way: {brief.hint}" if brief.hint else "", brief.told, FORK_NOTE]
        turns = f"You have {brief.max_turns} turns; call task_complete when you are done."
        return "\n\n".join(filter(None, [self.opening.first, stand, *own, turns]))
