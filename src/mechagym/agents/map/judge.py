"""Answers for the trial's box what is asked about the work as a whole: how far it is, and whether
it is done.
"""

from mechagym.agents.map.arguments import TaskComplete
from mechagym.agents.map.checking import Checking
from mechagym.agents.map.config import MapConfig
from mechagym.agents.map.gate import Answer, Gate, consider, failures_told
from mechagym.agents.map.prompts import CHECKLIST
from mechagym.agents.map.telling import Telling
from mechagym.agents.map.types import ExecutionState
from mechagym.agents.map.worker import Ruling
from mechagym.events.map import MapCompletionCheck


class TrialJudge:
    """See `Judge`. `answer` is the last one of the gate, `asked` whether this turn asked it."""

    def __init__(
        self, checking: Checking, config: MapConfig, *, instruction: str, telling: Telling
    ) -> None:
        self._checking, self._instruction, self._telling = checking, instruction, telling
        self._checklist = config.prompts.completion_checklist or CHECKLIST
        self._gate = Gate(forced=config.switches.forced_verification == "on")
        self._calls = 0
        self.asked = False
        self.answer: Answer | None = None
        self.summary = ""

    async def verify(self, state: ExecutionState) -> Ruling:
        """Run the checks, or say again what they said of this state."""
        if not state.has_checks:
            return Ruling(state=state, text="There are no checks of this work: test it yourself.")
        cached = state.evaluation is not None
        state = await self._checking.up_to_date(state, "verify_progress")
        again = " (nothing changed since: the result of before)" if cached else ""
        return Ruling(state=state, text=f"{evaluation_told(state)}{again}")

    async def complete(self, state: ExecutionState, asked: TaskComplete) -> Ruling:
        """Let the call through the gate."""
        self.asked, self.summary = True, asked.summary
        return await self.consider(state, confirmed=asked.confirm)

    async def consider(self, state: ExecutionState, *, confirmed: bool) -> Ruling:
        """Ask the gate about the work as it is now."""
        state = await self._checking.up_to_date(state, "completion")
        turns_left = state.max_turns - state.total_turns
        answer = consider(self._gate, state, confirmed=confirmed, turns_left=turns_left)
        self._gate, self.answer = answer.gate, answer
        self._calls += 1
        self._telling.emit(
            MapCompletionCheck(
                attempt=self._calls, accepted=answer.accepted, open_points=answer.open_points
            )
        )
        return Ruling(
            state=state, text=self._told(answer), ok=answer.accepted, over=answer.accepted
        )

    @property
    def checklist_shown(self) -> bool:
        """Whether the model has gone through it, or could have."""
        return self._gate.checklist_shown

    def _told(self, answer: Answer) -> str:
        if answer.accepted:
            return "Accepted: the work is over."
        if answer.checklist:
            if "{instruction}" in self._checklist:
                return self._checklist.replace("{instruction}", self._instruction)
            return f"{self._instruction}\n\n{self._checklist}"
        if answer.open_points:
            rows = "\n".join(f"- {point}" for point in answer.open_points)
            return f"Not accepted yet. Open points:\n{rows}"
        return "The checklist was shown: call task_complete with confirm: true, or go on working."


def evaluation_told(state: ExecutionState) -> str:
    """What the checks say, for the model."""
    said = state.last_evaluation
    if said is None or said.progress is None:
        return "The checks could not be run."
    rows = [f"Self-check: {said.tests_passing} of {said.tests_total} checks pass."]
    rows += [f"- {line}" for line in failures_told(said)]
    rows += [f"- it worked before and is broken now: {name}" for name in said.guards_broken]
    return "\n".join(filter(None, [*rows, said.suggestion]))
