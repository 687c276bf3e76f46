"""Carries out one reply of the model in one box: each call is reviewed, done, and told.

The same in the trial's box and in a candidate's fork; what differs is who answers the two calls
that are about the work as a whole, the `Judge`.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from mechagym.agents.map import state as states
from mechagym.agents.map.arguments import TaskComplete, VerifyProgress
from mechagym.agents.map.base import Monitor
from mechagym.agents.map.messages import returned
from mechagym.agents.map.telling import Telling
from mechagym.agents.map.tools.toolbox import Toolbox
from mechagym.agents.map.types import (
    ActorTurn,
    BadCall,
    ExecutionState,
    MonitorDecision,
    ToolAction,
)
from mechagym.records import new_id

if TYPE_CHECKING:
    from pydantic_ai.messages import ToolReturnPart


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """An answer about the work as a whole: the state after it, the words, whether it is over."""

    state: ExecutionState
    text: str
    ok: bool = True
    over: bool = False


class Judge(Protocol):
    """Who answers `verify_progress` and `task_complete`."""

    async def verify(self, state: ExecutionState) -> Ruling:
        """Run the checks."""
        ...

    async def complete(self, state: ExecutionState, asked: TaskComplete) -> Ruling:
        """Accept the work, or say what is open."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """A reply that was carried out. `malformed`: it had calls, and none could be read; `silent`: it
    had none. `told` is said to it beside the results.
    """

    state: ExecutionState
    returns: "tuple[ToolReturnPart, ...]" = ()
    over: bool = False
    malformed: bool = False
    silent: bool = False
    told: str = ""


class Worker:
    """Works in one box."""

    def __init__(
        self, toolbox: Toolbox, monitor: Monitor, judge: Judge, *, telling: Telling
    ) -> None:
        self._toolbox, self._monitor, self._judge = toolbox, monitor, judge
        self._telling = telling

    async def carry_out(self, turn: ActorTurn, state: ExecutionState) -> Carried:
        """Do the calls in the order given, a `task_complete` last. Raises BoxDied."""
        self._telling.reply(turn)
        answers: dict[str, ToolReturnPart] = {}
        over = False
        for call in turn.calls:  # all first: they are one step of the trajectory
            self._telling.called(call)
        for call in sorted(turn.calls, key=_is_last):
            if isinstance(call, BadCall):
                text = f"This call could not be read: {call.problem}. Send it again, mended."
                answers[call.action_id] = self._answered(call, text, ok=False)
                continue
            state, part, ended = await self._one(call, state)
            answers[call.action_id] = part
            over = over or ended
        return Carried(
            state=state,
            returns=tuple(answers[call.action_id] for call in turn.calls),
            over=over,
            malformed=bool(turn.calls) and not turn.actions,
            silent=not turn.calls,
        )

    async def complete(self, state: ExecutionState, summary: str) -> Ruling:
        """Take prose for a call of `task_complete`: told and answered as one."""
        asked = TaskComplete(summary=summary)
        action = ToolAction(
            action_id=f"prose-{new_id()}", tool_name="task_complete", tool_args=asked
        )
        self._telling.called(action)
        ruling = await self._judge.complete(state, asked)
        self._telling.returned(action.action_id, ruling.text, ok=ruling.ok)
        return ruling

    async def _one(
        self, action: ToolAction, state: ExecutionState
    ) -> "tuple[ExecutionState, ToolReturnPart, bool]":
        said = await self._monitor.review(action, state)
        self._telling.reviewed(action, said)
        if not said.allowed:
            return states.denied(state, said.rule), self._denied(action, said), False
        match action.tool_args:
            case VerifyProgress():
                ruling = await self._judge.verify(state)
            case TaskComplete() as asked:
                ruling = await self._judge.complete(state, asked)
            case _:
                return await self._done(action, state, said.warning)
        return ruling.state, self._answered(action, ruling.text, ok=ruling.ok), ruling.over

    async def _done(
        self, action: ToolAction, state: ExecutionState, warning: str
    ) -> "tuple[ExecutionState, ToolReturnPart, bool]":
        done = await self._toolbox.do(action, state.workdir)
        result = done.result
        if warning:
            result = replace(result, output=f"{result.output}\n[warning: {warning}]")
        self._telling.done(result)
        self._telling.returned(
            action.action_id, result.output, ok=result.ok, duration_s=result.duration_s
        )
        state = replace(states.executed(state, action, result), workdir=done.workdir)
        return state, returned(action.action_id, action.tool_name, result), False

    def _denied(self, action: ToolAction, said: MonitorDecision) -> "ToolReturnPart":
        hint = f" Instead: {said.suggestion}." if said.suggestion else ""
        return self._answered(action, f"Not done: {said.reason}.{hint}", ok=False)

    def _answered(self, call: ToolAction | BadCall, text: str, *, ok: bool) -> "ToolReturnPart":
        self._telling.returned(call.action_id, text, ok=ok)
        return returned(call.action_id, call.tool_name, text)


def _is_last(call: ToolAction | BadCall) -> bool:
    return isinstance(call, ToolAction) and isinstance(call.tool_args, TaskComplete)
