"""The planner at work: turn by turn, and after each turn a decision.

Read `Loop.turn` aloud: ask the model, do what it asks for, check what changed, decide, follow.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, assert_never

from mechagym.agents.map import state as states
from mechagym.agents.map.actor import is_too_long
from mechagym.agents.map.base import Actor, Orchestrator
from mechagym.agents.map.checking import Checking
from mechagym.agents.map.conversation import Conversation
from mechagym.agents.map.gate import Answer
from mechagym.agents.map.judge import TrialJudge, evaluation_told
from mechagym.agents.map.prompts import REMINDER
from mechagym.agents.map.rungs import Rungs
from mechagym.agents.map.telling import Telling
from mechagym.agents.map.types import ActorTurn, Decision, ExecutionState, StopReason, TurnContext
from mechagym.agents.map.worker import Carried, Worker
from mechagym.errors import ModelError
from mechagym.events.map import MapDecision, MapSubtaskChange

if TYPE_CHECKING:
    from mechagym.agents.map.types import SubtaskState

MALFORMED = 5
RETHINK_WARMER = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Modules:
    """What one run works with."""

    actor: Actor
    worker: Worker
    checking: Checking
    judge: TrialJudge
    orchestrator: Orchestrator
    rungs: Rungs
    conversation: Conversation
    telling: Telling
    temperature: float
    may_begin: Callable[[], bool]


class Loop:
    """One run. `state` is how the work stands; `ended` why it is over, None while it goes on."""

    def __init__(self, modules: Modules, state: ExecutionState) -> None:
        self._modules, self.state = modules, state
        self.ended: StopReason | None = None
        self._silent = self._malformed = 0
        self._warmer = 0.0

    async def run(self) -> None:
        """Turn by turn until it is over. Raises ModelError, BudgetError, SandboxError."""
        while self.ended is None:
            if self.state.total_turns < self.state.max_turns:
                await self.turn()
                continue
            self.state, _ = await self._modules.checking.put_best_back(self.state)
            self.ended = "turns_exhausted"

    @property
    def answer(self) -> Answer | None:
        """The last word of the completion gate."""
        return self._modules.judge.answer

    @property
    def summary(self) -> str:
        """What the model said of its work when it called it done."""
        return self._modules.judge.summary

    async def turn(self) -> None:
        """One reply of the model with all its calls, and what is decided after it."""
        before = self.state.box_revision
        self._begin()
        reply = await self._ask()
        carried = await self._modules.worker.carry_out(reply, self.state)
        carried = await self._prose(reply, carried)
        self.state = await self._modules.checking.after_turn(
            carried.state, grown=carried.state.box_revision > before and not carried.over
        )
        decision = self._modules.orchestrator.decide(self.state)
        self._tell(decision)
        if carried.over:
            self._complete_well()
            return
        notes = await self._follow(decision, grown=self.state.box_revision > before)
        self._modules.conversation.answered(reply, carried, notes=notes, state=self.state)

    def _begin(self) -> None:
        self.state = states.turn_began(self.state)
        self._modules.judge.asked = False
        state = self.state
        self._modules.telling.turn(state.total_turns, of=state.max_turns, subtask=state.subtask.id)

    async def _ask(self) -> ActorTurn:
        """Get a reply; where the conversation is too long for the model, shorten it once."""
        modules = self._modules
        await modules.conversation.shorten_if_due(self.state)
        try:
            return await self._acted()
        except ModelError as error:
            if not is_too_long(error) or not await modules.conversation.shorten(self.state):
                raise
        return await self._acted()

    async def _acted(self) -> ActorTurn:
        temperature = min(2.0, self._modules.temperature + self._warmer)
        context = TurnContext(
            messages=self._modules.conversation.messages,
            temperature=temperature,
            turn=self.state.total_turns,
        )
        reply = await self._modules.actor.act(context)
        self._warmer = 0.0
        return reply

    async def _prose(self, reply: ActorTurn, carried: Carried) -> Carried:
        """Count replies that asked for nothing: the second without a call counts as the end."""
        self._malformed = self._malformed + 1 if carried.malformed else 0
        self._silent = self._silent + 1 if carried.silent else 0
        if self._malformed >= MALFORMED:
            self.ended = "model_error"
        if self._silent < 2:
            return carried
        ruling = await self._modules.worker.complete(carried.state, reply.text)
        return replace(carried, state=ruling.state, over=ruling.over, told=ruling.text)

    def _tell(self, decision: Decision) -> None:
        self._modules.telling.emit(
            MapDecision(turn=self.state.total_turns, decision=decision.kind, reason=decision.reason)
        )

    async def _follow(self, decision: Decision, *, grown: bool) -> list[str]:
        """Do what was decided; gives what the model is told of it."""
        notes = [REMINDER] if self._silent == 1 else []
        if grown and self.state.evaluation is not None:
            notes.append(evaluation_told(self.state))
        match decision.kind:
            case "complete":
                notes += await self._complete(grown=grown)
            case "advance":
                notes += await self._advance("completed", decision.reason)
            case "forced_advance":
                notes += await self._advance("forced", decision.reason)
            case "no_progress":
                notes += await self._climb()
            case "continue":
                pass
            case _:
                assert_never(decision.kind)
        return notes

    async def _complete(self, *, grown: bool) -> list[str]:
        """Through the gate. A model that was asked and did nothing more has nothing to add."""
        judge = self._modules.judge
        if judge.asked or (judge.checklist_shown and grown):
            return []
        ruling = await judge.consider(self.state, confirmed=judge.checklist_shown)
        self.state = ruling.state
        if ruling.over:
            self._complete_well()
        return [ruling.text]

    def _complete_well(self) -> None:
        self.ended = "completed"
        answer = self._modules.judge.answer
        self.state = states.ended(self.state, well=answer is None or not answer.open_points)

    async def _advance(self, how: "SubtaskState", reason: str) -> list[str]:
        """On to the next part, but not in the last stretch."""
        if not self._modules.may_begin():
            return []
        left = self.state.subtask.id
        self.state = states.advanced(self.state, how)
        for subtask, status in ((left, how), (self.state.subtask.id, "in_progress")):
            self._modules.telling.emit(
                MapSubtaskChange(subtask=subtask, status=status, reason=reason)
            )
        self.state, sampled = await self._modules.rungs.sample_at_start(self.state)
        told = await self._modules.conversation.handed_over(self.state, why=reason)
        return [*sampled, told]

    async def _climb(self) -> list[str]:
        """Nothing gets better: the next rung of the ladder."""
        self.state = states.stalled(self.state)
        self.state, told = await self._modules.rungs.act(self.state)
        self._warmer = RETHINK_WARMER if self.state.rung == 1 else 0.0
        if self.state.rung == 3:
            self.ended = "stalled"
        return told
