"""The completion gate: what is called done is looked at before it is accepted.

Open points refuse it, at most twice; then a checklist is shown, once, with the instruction word for
word. The third call with open points is accepted as what it is: not passed by our own checks.
"""

from dataclasses import dataclass, replace

from mechagym.agents.map.types import CheckFailure, EvaluatorResult, ExecutionState

REFUSALS = 2
FAILURES_SHOWN = 5
FAILURE_CHARS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What the gate has already said. `forced` False: the first call ends the run."""

    forced: bool = True
    refusals: int = 0
    checklist_shown: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Whether the work is over. `open_points` refused it or were let pass; `checklist`: show it."""

    gate: Gate
    accepted: bool
    self_passed: bool | None = None
    open_points: tuple[str, ...] = ()
    checklist: bool = False


def consider(gate: Gate, state: ExecutionState, *, confirmed: bool, turns_left: int) -> Answer:
    """Answer a call of `task_complete`, or a decision that all is done. The state is evaluated."""
    points = open_points(state)
    passed = self_passed(state)
    if not gate.forced:
        return Answer(gate=gate, accepted=True, self_passed=passed, open_points=points)
    if points:
        if gate.refusals >= REFUSALS:
            return Answer(gate=gate, accepted=True, self_passed=False, open_points=points)
        refused = replace(gate, refusals=gate.refusals + 1)
        return Answer(gate=refused, accepted=False, open_points=points)
    if turns_left > 1 and not (gate.checklist_shown and confirmed):
        shown = replace(gate, checklist_shown=True)
        return Answer(gate=shown, accepted=False, checklist=not gate.checklist_shown)
    return Answer(gate=gate, accepted=True, self_passed=passed)


def open_points(state: ExecutionState) -> tuple[str, ...]:
    """What is known to be missing or wrong, a line each."""
    missing = tuple(f"{path} does not exist" for path in state.missing_outputs)
    said = state.last_evaluation
    if said is None or said.progress is None or said.passed:
        return missing
    broken = tuple(f"it worked before and is broken now: {name}" for name in said.guards_broken)
    return (*missing, *failures_told(said), *broken)


def failures_told(said: EvaluatorResult) -> tuple[str, ...]:
    """The first failures in a line each, and the count of the rest."""
    shown = tuple(map(_line, said.failures[:FAILURES_SHOWN]))
    rest = len(said.failures) - len(shown)
    return (*shown, f"and {rest} more checks fail") if rest > 0 else shown


def self_passed(state: ExecutionState) -> bool | None:
    """Our own opinion of the work as it is; None where nobody measured."""
    said = state.evaluation
    if state.missing_outputs:
        return False
    return None if said is None or said.progress is None else said.passed


def _line(failure: CheckFailure) -> str:
    place = f" ({failure.file}:{failure.line})" if failure.file and failure.line else ""
    wanted = f": expected {failure.expected}, got {failure.actual}" if failure.expected else ""
    text = f"{failure.test_name}{place}{wanted or f': {failure.message}'}"
    text = " ".join(text.split())
    return text if len(text) <= FAILURE_CHARS else f"{text[: FAILURE_CHARS - 1]}…"
