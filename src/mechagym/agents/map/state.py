"""How the state of the work changes: pure steps, each from one state to the next."""

from dataclasses import replace

from mechagym.agents.map.types import (
    ActionResult,
    Decomposition,
    EvaluatorResult,
    Executed,
    ExecutionState,
    SubtaskState,
    SubtaskStatus,
    ToolAction,
)

RECENT = 12
"""So many executed actions are remembered as values; the events have all."""


def begin(plan: Decomposition, *, workdir: str, max_turns: int, flat_limit: int) -> ExecutionState:
    """Before the first turn: the first sub-task is in progress."""
    statuses = tuple(SubtaskStatus(id=part.id, name=part.name) for part in plan.subtasks)
    state = ExecutionState(
        plan=plan,
        subtask_status=statuses,
        workdir=workdir,
        max_turns=max_turns,
        flat_limit=flat_limit,
        missing_outputs=plan.required_outputs,
        missing_artifacts=plan.subtasks[0].expected_artifacts,
    )
    return _marked(state, "in_progress")


def turn_began(state: ExecutionState) -> ExecutionState:
    """One more turn, of all and of the sub-task."""
    return _marked(
        replace(
            state,
            total_turns=state.total_turns + 1,
            subtask_turns=state.subtask_turns + 1,
            turns_since_best=state.turns_since_best + 1,
            warnings=(),
        ),
        "in_progress",
    )


def executed(state: ExecutionState, action: ToolAction, result: ActionResult) -> ExecutionState:
    """An action was done; the revision grows where it changed a file."""
    done = Executed(action=action, result=result, revision=state.box_revision)
    return changed(
        replace(state, actions=(*state.actions, done)[-RECENT:], denials=()), result.changed_paths
    )


def changed(state: ExecutionState, paths: tuple[str, ...]) -> ExecutionState:
    """Files are other than they were."""
    if not paths:
        return state
    older = tuple(path for path in state.modified_files if path not in paths)
    return replace(
        state, box_revision=state.box_revision + 1, modified_files=(*reversed(paths), *older)
    )


def denied(state: ExecutionState, rule: str) -> ExecutionState:
    """An action was denied: it is no history, but the denials in a row are counted."""
    return replace(state, denials=(*state.denials, rule))


def looked(state: ExecutionState, *, there: frozenset[str], at: "dict[str, str]") -> ExecutionState:
    """Which outputs and artifacts are there. `at`: path as the plan has it → absolute path."""
    return replace(
        state,
        missing_outputs=tuple(p for p in state.plan.required_outputs if at[p] not in there),
        missing_artifacts=tuple(p for p in state.subtask.expected_artifacts if at[p] not in there),
    )


def evaluated(state: ExecutionState, said: EvaluatorResult) -> tuple[ExecutionState, bool]:
    """The checks ran on the box as it is; True where that is a new best.

    Only an evaluation of a new revision can be flat: the same said again is no try.
    """
    again = state.evaluated_revision == state.box_revision
    best = said.tests_passing > state.best_passing or (
        state.best_revision is None and said.progress is not None
    )
    state = replace(state, last_evaluation=said, evaluated_revision=state.box_revision)
    if again or said.progress is None:
        return state, False
    if not best:
        return replace(state, flat_evaluations=state.flat_evaluations + 1), False
    risen = said.tests_passing > state.best_passing
    return (
        replace(
            state,
            best_progress=said.progress,
            best_passing=said.tests_passing,
            best_revision=state.box_revision,
            flat_evaluations=0 if risen else 1,
            turns_since_best=0,
            rung=0,
        ),
        True,
    )


def advanced(state: ExecutionState, how: SubtaskState) -> ExecutionState:
    """On to the next sub-task; the one before is marked as it ended."""
    state = replace(
        _marked(state, how),
        current_subtask=state.current_subtask + 1,
        subtask_turns=0,
        turns_since_best=0,
    )
    return _marked(state, "in_progress")


def stalled(state: ExecutionState) -> ExecutionState:
    """The next rung of the ladder; what counted up to it counts anew."""
    rung = {0: 1, 1: 2, 2: 3, 3: 3}[state.rung]
    return replace(state, rung=rung, flat_evaluations=0, turns_since_best=0)  # type: ignore[arg-type]


def ended(state: ExecutionState, *, well: bool) -> ExecutionState:
    """The run is over: the sub-task in progress is completed or failed."""
    return _marked(state, "completed" if well else "failed")


def _marked(state: ExecutionState, status: SubtaskState) -> ExecutionState:
    index = state.current_subtask
    marked = replace(
        state.subtask_status[index],
        status=status,
        turns_used=state.subtask_turns,
        progress=state.progress,
        checkpoint_passed=status == "completed",
    )
    before, after = state.subtask_status[:index], state.subtask_status[index + 1 :]
    return replace(state, subtask_status=(*before, marked, *after))
