"""What is decided after a turn, and what the completion gate says: every row of both tables."""

from dataclasses import replace
from typing import Any

import pytest

from mechagym.agents.map import state as states
from mechagym.agents.map.clock import Clock
from mechagym.agents.map.gate import Gate, consider, open_points
from mechagym.agents.map.ladder import Ladder
from mechagym.agents.map.types import (
    ActionResult,
    CheckFailure,
    Decomposition,
    EvaluatorResult,
    ExecutionState,
    Subtask,
)
from mechagym.records.map import DecisionKind

PLAN = Decomposition(
    subtasks=(
        Subtask(id="one", name="one", goal="", max_turns=2),
        Subtask(id="two", name="two", goal="", max_turns=3, expected_artifacts=("/app/a",)),
        Subtask(id="three", name="three", goal="", max_turns=3, min_progress=0.5),
        Subtask(id="four", name="four", goal="", max_turns=4, min_progress=1.0),
    ),
    required_outputs=("/app/a",),
)
GREEN = EvaluatorResult(passed=True, progress=1.0, tests_passing=4, tests_total=4)
HALF = EvaluatorResult(
    progress=0.5,
    tests_passing=2,
    tests_total=4,
    failures=(CheckFailure(test_name="test_b", expected="1", actual="2"),),
)
RED = replace(HALF, progress=0.25, tests_passing=1)


def state(part: int, said: EvaluatorResult | None = None, **more: Any) -> ExecutionState:
    """In the sub-task, with everything there; `said` is of the box as it is."""
    made = states.begin(PLAN, workdir="/app", max_turns=30, flat_limit=5)
    made = replace(made, current_subtask=part, has_checks=True, modified_files=("/app/a",))
    made = replace(made, missing_outputs=(), missing_artifacts=(), total_turns=9, subtask_turns=1)
    if said is not None:
        made = replace(made, last_evaluation=said, evaluated_revision=made.box_revision)
    return replace(made, **more)


ROWS: tuple[tuple[str, ExecutionState, DecisionKind], ...] = (
    ("all is there and passes", state(0, GREEN), "complete"),
    ("also in the last part", state(3, GREEN, subtask_turns=4), "complete"),
    ("passes, but of another revision", state(3, GREEN, evaluated_revision=-1), "continue"),
    ("passes, an output is missing", state(3, GREEN, missing_outputs=("/app/a",)), "continue"),
    ("a guard is broken", state(3, replace(GREEN, passed=False)), "continue"),
    ("complete comes before stuck", state(3, GREEN, flat_evaluations=9), "complete"),
    ("the first file is written", state(0, RED), "advance"),
    ("no file yet", state(0, modified_files=()), "continue"),
    ("its artifact is there", state(1, RED, modified_files=()), "advance"),
    ("its artifact is missing", state(1, RED, missing_artifacts=("/app/a",)), "continue"),
    ("half is enough", state(2, HALF), "advance"),
    ("less than half is not", state(2, RED), "continue"),
    ("half, of another revision", state(2, HALF, evaluated_revision=-1), "continue"),
    ("not measured by anybody", state(2, has_checks=False), "advance"),
    ("checks that said nothing", state(2, EvaluatorResult()), "continue"),
    ("nothing after the last", state(3, HALF), "continue"),
    ("its turns are over", state(2, RED, subtask_turns=3), "forced_advance"),
    ("advance before forced", state(2, HALF, subtask_turns=3), "advance"),
    ("forced before stuck", state(2, RED, subtask_turns=3, flat_evaluations=5), "forced_advance"),
    ("five flat evaluations", state(2, RED, flat_evaluations=5), "no_progress"),
    ("four are not enough", state(2, RED, flat_evaluations=4), "continue"),
    ("stuck by turns", state(3, HALF, subtask_turns=4, turns_since_best=4), "no_progress"),
    ("a best just now", state(3, HALF, subtask_turns=9, turns_since_best=3), "continue"),
    ("just begun", state(3, HALF, subtask_turns=3, turns_since_best=9), "continue"),
)


@pytest.mark.must("map-16")
@pytest.mark.parametrize(("why", "now", "kind"), ROWS, ids=[row[0] for row in ROWS])
def test_the_truth_table(why: str, now: ExecutionState, kind: DecisionKind):
    assert Ladder().decide(now).kind == kind, why


def test_a_flat_evaluation_is_one_of_a_new_revision_without_a_new_best():
    now = states.begin(PLAN, workdir="/app", max_turns=30, flat_limit=5)
    now, best = states.evaluated(now, HALF)
    assert (best, now.flat_evaluations, now.best_passing) == (True, 0, 2)
    now, best = states.evaluated(now, HALF)  # the same revision
    assert (best, now.flat_evaluations) == (False, 0)
    now, best = states.evaluated(states.changed(now, ("/app/a",)), HALF)
    assert (best, now.flat_evaluations) == (False, 1)
    now = states.stalled(now)
    assert (now.rung, now.flat_evaluations) == (1, 0)
    now, best = states.evaluated(states.changed(now, ("/app/a",)), GREEN)
    assert (best, now.rung, now.best_passing) == (True, 0, 4)


def test_the_revision_grows_by_one_for_a_call_that_changed_anything():
    now = states.changed(state(0), ("/app/a", "/app/b"))
    assert (now.box_revision, now.modified_files) == (1, ("/app/b", "/app/a"))
    now = states.changed(now, ("/app/a",))
    assert (now.box_revision, now.modified_files) == (2, ("/app/a", "/app/b"))
    assert states.changed(now, ()) is now


def test_denials_in_a_row_are_counted_until_something_is_done():
    from tests.agents.map.test_tools import action

    now = states.denied(states.denied(state(0), "bounds"), "repetition")
    assert now.denials == ("bounds", "repetition")
    result = ActionResult(
        action_id="c", ok=True, output="", output_chars=0, shown_chars=0, result_digest=""
    )
    now = states.executed(now, action("run_command", command="ls"), result)
    assert (now.denials, len(now.actions), now.box_revision) == ((), 1, 0)


@pytest.mark.must("map-18")
def test_the_gate_refuses_twice_then_accepts_what_it_is():
    gate, now = Gate(), state(3, HALF, missing_outputs=("/app/a",))
    for number in (1, 2):
        answer = consider(gate, now, confirmed=True, turns_left=9)
        assert (answer.accepted, answer.checklist) == (False, False)
        assert answer.open_points == ("/app/a does not exist", "test_b: expected 1, got 2")
        gate = answer.gate
        assert gate.refusals == number
    last = consider(gate, now, confirmed=False, turns_left=9)
    assert (last.accepted, last.self_passed) == (True, False)


@pytest.mark.must("map-18")
def test_the_checklist_is_shown_once_and_skipped_at_the_last_turn():
    first = consider(Gate(), state(3, GREEN), confirmed=True, turns_left=9)
    assert (first.accepted, first.checklist) == (False, True)
    again = consider(first.gate, state(3, GREEN), confirmed=False, turns_left=9)
    assert (again.accepted, again.checklist) == (False, False)
    done = consider(first.gate, state(3, GREEN), confirmed=True, turns_left=9)
    assert (done.accepted, done.self_passed) == (True, True)
    last = consider(Gate(), state(3, GREEN), confirmed=False, turns_left=1)
    assert (last.accepted, last.checklist, last.self_passed) == (True, False, True)


@pytest.mark.must("map-18")
def test_without_forced_verification_the_first_call_ends_it():
    answer = consider(Gate(forced=False), state(3, HALF), confirmed=False, turns_left=9)
    assert (answer.accepted, answer.self_passed) == (True, False)


def test_many_failures_are_five_and_a_count():
    many = replace(
        HALF, failures=tuple(CheckFailure(test_name=f"t{n}", message="m" * 999) for n in range(8))
    )
    points = open_points(state(3, many))
    assert len(points) == 6
    assert points[-1] == "and 3 more checks fail"
    assert max(map(len, points)) == 300


@pytest.mark.parametrize(
    ("told_s", "stop_s"), [(1785.0, 1785.0), (285.0, 285.0), (85.5, 75.0), (19.0, 10.0), (9.5, 5.0)]
)
@pytest.mark.must("map-20")
def test_the_loop_ends_fifteen_seconds_before_the_deadline_or_at_its_half(told_s, stop_s):
    assert Clock(told_s).whole_s == pytest.approx(stop_s)


@pytest.mark.must("map-20")
def test_the_last_stretch_is_thirty_seconds_or_a_tenth():
    now = [0.0]
    clock = Clock(1785.0, lambda: now[0])
    for at, late, last in (
        (0, False, False),
        (1_339, True, False),
        (1_606, True, False),
        (1_607, True, True),
    ):
        now[0] = float(at)
        assert (clock.is_late, clock.is_last) == (late, last), at
    assert clock.bounded(1_200) == pytest.approx(178)
    assert not Clock(None).is_last
    short = Clock(85.5, lambda: now[0])
    now[0] += 46
    assert short.is_last
