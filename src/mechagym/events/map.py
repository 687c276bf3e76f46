"""What the planner (`agents/map`) does, decides and sees, beside the calls of tools of any agent.

`candidate` is None in the box of the trial; in a fork of the sampler it is the candidate's index.
"""

from dataclasses import dataclass, field
from typing import Literal

from mechagym.records import Json
from mechagym.records.map import (
    CheckFailure,
    DecisionKind,
    Decomposition,
    MapResult,
    SubtaskState,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MapStart:
    """It begins: by which config, with what switched on, within which limits."""

    config_digest: str
    switches: dict[str, str]
    max_turns: int
    seconds_left: float | None = None
    usd_left: float | None = None
    window_tokens: int | None = None
    kind: Literal["map_start"] = "map_start"


@dataclass(frozen=True, slots=True, kw_only=True)
class MapSnapshot:
    """What the box looks like, as the first prompt has it."""

    text: str
    duration_s: float
    problem: str = ""
    kind: Literal["map_snapshot"] = "map_snapshot"


@dataclass(frozen=True, slots=True, kw_only=True)
class MapPlan:
    """The plan."""

    plan: Decomposition
    kind: Literal["map_plan"] = "map_plan"


@dataclass(frozen=True, slots=True, kw_only=True)
class MapChecksReady:
    """The checks of the work are there; with a `problem` they are not, and the evaluator is off."""

    digest: str = ""
    goals: int = 0
    guards: int = 0
    rejected: int = 0
    problem: str = ""
    kind: Literal["map_checks_ready"] = "map_checks_ready"


@dataclass(frozen=True, slots=True, kw_only=True)
class MapTurnStart:
    """A turn begins: one reply of the model with all its calls."""

    turn: int
    max_turns: int
    subtask: str
    candidate: int | None = None
    kind: Literal["map_turn_start"] = "map_turn_start"


@dataclass(frozen=True, slots=True, kw_only=True)
class MapAction:
    """An action that the model wants; it is not done yet."""

    action_id: str
    tool: str
    arguments: dict[str, Json] = field(default_factory=dict)
    reasoning: str = ""
    candidate: int | None = None
    kind: Literal["map_action"] = "map_action"


@dataclass(frozen=True, slots=True, kw_only=True)
class MapMonitor:
    """What the monitor said of an action."""

    action_id: str
    allowed: bool
    rule: str = ""
    reason: str = ""
    warning: str = ""
    suggestion: str = ""
    candidate: int | None = None
    kind: Literal["map_monitor"] = "map_monitor"


@dataclass(frozen=True, slots=True, kw_only=True)
class MapActionResult:
    """What an action came to; its output is in the `tool_returned` of the same call."""

    action_id: str
    ok: bool
    output_chars: int
    shown_chars: int
    result_digest: str
    duration_s: float
    exit_code: int | None = None
    timed_out: bool = False
    changed_paths: tuple[str, ...] = ()
    candidate: int | None = None
    kind: Literal["map_action_result"] = "map_action_result"


@dataclass(frozen=True, slots=True, kw_only=True)
class MapTripwire:
    """An action reached for what decides the reward, or for our checks; it was not done."""

    action_id: str
    path: str
    action: str
    candidate: int | None = None
    kind: Literal["map_tripwire"] = "map_tripwire"


@dataclass(frozen=True, slots=True, kw_only=True)
class MapVerifyStart:
    """The checks begin to run; `trigger` says what for."""

    trigger: str
    revision: int
    candidate: int | None = None
    kind: Literal["map_verify_start"] = "map_verify_start"


@dataclass(frozen=True, slots=True, kw_only=True)
class MapVerifyComplete:
    """What the checks said. A self-check, never the verdict."""

    trigger: str
    passing: int
    total: int
    progress: float | None
    passed: bool
    failures: tuple[CheckFailure, ...] = ()
    new_best: bool = False
    source: str = ""
    duration_s: float = 0.0
    candidate: int | None = None
    kind: Literal["map_verify_complete"] = "map_verify_complete"


@dataclass(frozen=True, slots=True, kw_only=True)
class MapDecision:
    """What the orchestrator decided after a turn."""

    turn: int
    decision: DecisionKind
    reason: str
    kind: Literal["map_decision"] = "map_decision"


@dataclass(frozen=True, slots=True, kw_only=True)
class MapSubtaskChange:
    """A sub-task has another state."""

    subtask: str
    status: SubtaskState
    reason: str = ""
    kind: Literal["map_subtask_change"] = "map_subtask_change"


@dataclass(frozen=True, slots=True, kw_only=True)
class MapNoProgress:
    """Nothing gets better: which rung of the ladder it is, and what was done."""

    rung: int
    done: str
    kind: Literal["map_no_progress"] = "map_no_progress"


@dataclass(frozen=True, slots=True, kw_only=True)
class MapSampleStart:
    """Candidates are about to be made, each in a fork; `reserved_usd` is set aside for them."""

    n: int
    temperatures: tuple[float, ...]
    reserved_usd: float | None = None
    kind: Literal["map_sample_start"] = "map_sample_start"


@dataclass(frozen=True, slots=True, kw_only=True)
class MapCandidate:
    """A candidate, verified. `diff` is kept because its fork is gone; 0 is the state as it was."""

    index: int
    hint: str = ""
    diff_digest: str = ""
    diff: str = ""
    passing: int = 0
    total: int = 0
    guards_broken: int = 0
    cost_usd: float = 0.0
    problem: str = ""
    kind: Literal["map_candidate"] = "map_candidate"


@dataclass(frozen=True, slots=True, kw_only=True)
class MapSampleComplete:
    """Which candidate was taken and why; `chosen` None: none was made, `reason` says why."""

    chosen: int | None
    reason: str
    distinct: int = 0
    undecided: bool = False
    lost: tuple[str, ...] = ()
    kind: Literal["map_sample_complete"] = "map_sample_complete"


@dataclass(frozen=True, slots=True, kw_only=True)
class MapCompletionCheck:
    """The work was called done: whether that was accepted, and what is open."""

    attempt: int
    accepted: bool
    open_points: tuple[str, ...] = ()
    kind: Literal["map_completion_check"] = "map_completion_check"


@dataclass(frozen=True, slots=True, kw_only=True)
class MapCompaction:
    """The history was shortened."""

    tokens_before: int
    tokens_after: int
    method: Literal["outputs", "summary"]
    kind: Literal["map_compaction"] = "map_compaction"


@dataclass(frozen=True, slots=True, kw_only=True)
class MapChecksTampered:
    """The suite in the box was not as it was made; it was restored before it ran."""

    expected_digest: str
    found_digest: str
    kind: Literal["map_checks_tampered"] = "map_checks_tampered"


@dataclass(frozen=True, slots=True, kw_only=True)
class MapHeartbeat:
    """It lives, also in a long call."""

    turn: int
    max_turns: int
    progress: float | None
    best_progress: float | None
    elapsed_s: float
    kind: Literal["map_heartbeat"] = "map_heartbeat"


@dataclass(frozen=True, slots=True, kw_only=True)
class MapError:
    """Something of it failed; `recoverable`: it went on without."""

    error: str
    message: str
    recoverable: bool
    kind: Literal["map_error"] = "map_error"


@dataclass(frozen=True, slots=True, kw_only=True)
class MapRunComplete:
    """It is over."""

    result: MapResult
    kind: Literal["map_run_complete"] = "map_run_complete"


MapEvent = (
    MapStart
    | MapSnapshot
    | MapPlan
    | MapChecksReady
    | MapTurnStart
    | MapAction
    | MapMonitor
    | MapActionResult
    | MapTripwire
    | MapVerifyStart
    | MapVerifyComplete
    | MapDecision
    | MapSubtaskChange
    | MapNoProgress
    | MapSampleStart
    | MapCandidate
    | MapSampleComplete
    | MapCompletionCheck
    | MapCompaction
    | MapChecksTampered
    | MapHeartbeat
    | MapError
    | MapRunComplete
)
