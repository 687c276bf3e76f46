"""One event of each kind of the planner, with every field said."""

from mechagym.events import EventBody
from mechagym.events.map import (
    MapAction,
    MapActionResult,
    MapCandidate,
    MapChecksReady,
    MapChecksTampered,
    MapCompaction,
    MapCompletionCheck,
    MapDecision,
    MapError,
    MapHeartbeat,
    MapMonitor,
    MapNoProgress,
    MapPlan,
    MapRunComplete,
    MapSampleComplete,
    MapSampleStart,
    MapSnapshot,
    MapStart,
    MapSubtaskChange,
    MapTripwire,
    MapTurnStart,
    MapVerifyComplete,
    MapVerifyStart,
)
from mechagym.records import Usage
from mechagym.records.map import (
    CheckFailure,
    Decomposition,
    EvaluatorResult,
    MapResult,
    Subtask,
    SubtaskStatus,
)

FAILURE = CheckFailure(
    test_name="test_sum", file="checks/test_sum.py", line=7, expected="3", actual="4", message="no"
)
EVALUATION = EvaluatorResult(
    passed=False,
    progress=0.5,
    tests_passing=1,
    tests_total=2,
    failures=(FAILURE,),
    suggestion="look at the sum",
    guards_broken=("test_input_kept",),
    flaky=("test_port",),
    source="runner",
    duration_s=0.5,
    cached=True,
)
PLAN = Decomposition(
    subtasks=(
        Subtask(
            id="one",
            name="One",
            goal="begin",
            checkpoint="begun",
            expected_artifacts=("/app/a.txt",),
            depends_on=("zero",),
            hints=("look first",),
            max_turns=3,
            min_progress=0.5,
        ),
    ),
    required_outputs=("/app/a.txt",),
    files_to_read=("/app/in.csv",),
    global_hints=("keep it simple",),
    source="llm",
    reason="asked for",
)
STATUS = SubtaskStatus(
    id="one", name="One", status="forced", turns_used=3, progress=0.5, checkpoint_passed=True
)
RESULT = MapResult(
    self_passed=False,
    stop_reason="stalled",
    progress=0.25,
    best_progress=0.5,
    tests_passing=1,
    tests_total=2,
    turns=12,
    duration_s=60.5,
    usage=Usage(input=10, output=5),
    cost_usd=0.25,
    subtask_status=(STATUS,),
    last_evaluation=EVALUATION,
    summary="half of it",
    error="none",
)
MAP_EXAMPLES: tuple[EventBody, ...] = (
    MapStart(
        config_digest="ab",
        switches={"sampler": "off"},
        max_turns=30,
        seconds_left=900.0,
        usd_left=1.5,
        window_tokens=200_000,
    ),
    MapSnapshot(text="workdir /app", duration_s=0.05, problem="no list of ports"),
    MapPlan(plan=PLAN),
    MapChecksReady(digest="cd", goals=2, guards=1, rejected=3, problem="few"),
    MapTurnStart(turn=1, max_turns=30, subtask="one", candidate=2),
    MapAction(
        action_id="c1", tool="read_file", arguments={"path": "a"}, reasoning="to see", candidate=2
    ),
    MapMonitor(
        action_id="c1",
        allowed=False,
        rule="bounds",
        reason="outside",
        warning="careful",
        suggestion="stay inside",
        candidate=2,
    ),
    MapActionResult(
        action_id="c1",
        ok=False,
        output_chars=40_000,
        shown_chars=30_000,
        result_digest="ef",
        duration_s=0.25,
        exit_code=1,
        timed_out=True,
        changed_paths=("/app/a.txt",),
        candidate=2,
    ),
    MapTripwire(action_id="c1", path="/tests", action="run_command: cat /tests/x", candidate=2),
    MapVerifyStart(trigger="turn", revision=3, candidate=2),
    MapVerifyComplete(
        trigger="turn",
        passing=1,
        total=2,
        progress=0.5,
        passed=False,
        failures=(FAILURE,),
        new_best=True,
        source="runner",
        duration_s=0.5,
        candidate=2,
    ),
    MapDecision(turn=1, decision="forced_advance", reason="3 turns are over"),
    MapSubtaskChange(subtask="one", status="completed", reason="the file is there"),
    MapNoProgress(rung=2, done="3 candidates were made"),
    MapSampleStart(n=3, temperatures=(0.3, 0.5, 0.7), reserved_usd=0.25),
    MapCandidate(
        index=1,
        hint="precision",
        diff_digest="01",
        diff="+x",
        passing=2,
        total=2,
        guards_broken=1,
        cost_usd=0.01,
        problem="none",
    ),
    MapSampleComplete(
        chosen=1, reason="most goals", distinct=2, undecided=True, lost=("/app/s: a socket",)
    ),
    MapCompletionCheck(attempt=1, accepted=False, open_points=("/app/a.txt is missing",)),
    MapCompaction(tokens_before=100_000, tokens_after=20_000, method="summary"),
    MapChecksTampered(expected_digest="ab", found_digest="cd"),
    MapHeartbeat(turn=3, max_turns=30, progress=0.5, best_progress=0.75, elapsed_s=30.0),
    MapError(error="ModelError", message="gone", recoverable=True),
    MapRunComplete(result=RESULT),
)
