"""The orchestrator: what happens after a turn, decided from the state alone.

The order is the rule: done, on to the next part, on to it because the turns are over, stuck, or
just on.
"""

from mechagym.agents.map.types import Decision, ExecutionState


class Ladder:
    """See `Orchestrator`."""

    def decide(self, state: ExecutionState) -> Decision:
        """Pure."""
        part = state.subtask
        if _is_complete(state):
            return Decision(kind="complete", reason="every check passes, every output is there")
        if state.has_next and _holds(state):
            return Decision(kind="advance", reason=f"{part.id}: what it was for is there")
        if state.has_next and state.subtask_turns >= part.max_turns:
            return Decision(
                kind="forced_advance", reason=f"{part.id}: its {part.max_turns} turns are over"
            )
        if state.flat_evaluations >= state.flat_limit:
            flat = state.flat_evaluations
            return Decision(kind="no_progress", reason=f"{flat} evaluations without a new best")
        if not state.has_next and _turns_without_best(state) >= part.max_turns:
            turns = _turns_without_best(state)
            return Decision(kind="no_progress", reason=f"{turns} turns without a new best")
        return Decision(kind="continue", reason="")


def _is_complete(state: ExecutionState) -> bool:
    said = state.evaluation
    return said is not None and said.passed and not state.missing_outputs


def _holds(state: ExecutionState) -> bool:
    """Whether the sub-task's condition holds. Without checks no threshold binds."""
    part = state.subtask
    there = not state.missing_artifacts if part.expected_artifacts else bool(state.modified_files)
    if not there or part.min_progress is None or not state.has_checks:
        return there
    said = state.evaluation
    return said is not None and said.progress is not None and said.progress >= part.min_progress


def _turns_without_best(state: ExecutionState) -> int:
    return min(state.subtask_turns, state.turns_since_best)
