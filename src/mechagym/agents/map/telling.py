"""What the planner tells as it works: its own events, and those that every agent has.

Calls and results are told in the words of any agent too, so that a trajectory has them.
"""

from mechagym.agents.map.types import ActionResult, ActorTurn, BadCall, MonitorDecision, ToolAction
from mechagym.events import Emit, MessageSaid, ToolCalled, ToolReturned
from mechagym.events.map import MapAction, MapActionResult, MapMonitor, MapTurnStart


class Telling:
    """Tells of one box: the trial's, or a candidate's fork under `thread`."""

    def __init__(
        self,
        emit: Emit,
        *,
        model: str | None,
        candidate: int | None = None,
        thread: str | None = None,
    ) -> None:
        """`thread` names the candidate's part of the trajectory."""
        self.emit = emit
        self.candidate = candidate
        self.thread = thread
        self._model = model

    def turn(self, turn: int, *, of: int, subtask: str) -> None:
        """A turn begins."""
        self.emit(MapTurnStart(turn=turn, max_turns=of, subtask=subtask, candidate=self.candidate))

    def reply(self, turn: ActorTurn) -> None:
        """What the model said and thought."""
        if turn.text or turn.thinking:
            self.emit(
                MessageSaid(
                    text=turn.text,
                    thinking=turn.thinking or None,
                    model=self._model,
                    parent_call_id=self.thread,
                )
            )

    def said(self, text: str, *, system: bool = False) -> None:
        """What is said to the model."""
        self.emit(
            MessageSaid(
                text=text, source="system" if system else "user", parent_call_id=self.thread
            )
        )

    def called(self, call: ToolAction | BadCall) -> None:
        """A call of a tool, readable or not."""
        if isinstance(call, BadCall):
            arguments = {"unreadable": call.arguments}
        else:
            arguments = call.tool_args.model_dump(mode="json", exclude_defaults=True)
            self.emit(
                MapAction(
                    action_id=call.action_id,
                    tool=call.tool_name,
                    arguments=arguments,
                    reasoning=call.reasoning,
                    candidate=self.candidate,
                )
            )
        self.emit(
            ToolCalled(
                call_id=call.action_id,
                tool=call.tool_name,
                arguments=arguments,
                parent_call_id=self.thread,
            )
        )

    def reviewed(self, action: ToolAction, said: MonitorDecision) -> None:
        """What the monitor said."""
        self.emit(
            MapMonitor(
                action_id=action.action_id,
                allowed=said.allowed,
                rule=said.rule,
                reason=said.reason,
                warning=said.warning,
                suggestion=said.suggestion,
                candidate=self.candidate,
            )
        )

    def done(self, result: ActionResult) -> None:
        """What an action came to."""
        self.emit(
            MapActionResult(
                action_id=result.action_id,
                ok=result.ok,
                output_chars=result.output_chars,
                shown_chars=result.shown_chars,
                result_digest=result.result_digest,
                duration_s=result.duration_s,
                exit_code=result.exit_code,
                timed_out=result.timed_out,
                changed_paths=result.changed_paths,
                candidate=self.candidate,
            )
        )

    def returned(
        self, call_id: str, text: str, *, ok: bool, duration_s: float | None = None
    ) -> None:
        """What went back to the model for a call."""
        self.emit(
            ToolReturned(call_id=call_id, output=text, is_error=not ok, duration_s=duration_s)
        )
