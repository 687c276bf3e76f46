"""What the planner (`agents/map`) decides and finds, as it is kept in its events and its result.

Plain values, as everything here: the agent works with them, a screen and a fold read them.
"""

from dataclasses import dataclass, field
from typing import Literal

from mechagym.records import Usage

PlanSource = Literal["rules", "llm", "off"]
DecisionKind = Literal["complete", "advance", "forced_advance", "no_progress", "continue"]
SubtaskState = Literal["pending", "in_progress", "completed", "forced", "failed"]
StopReason = Literal[
    "completed",
    "stalled",
    "turns_exhausted",
    "deadline",
    "budget",
    "model_error",
    "context_exhausted",
    "cancelled",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subtask:
    """A part of the work. `min_progress` None: it does not wait for the checks."""

    id: str
    name: str
    goal: str
    checkpoint: str = ""
    expected_artifacts: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    max_turns: int
    min_progress: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decomposition:
    """The plan. Paths are as the instruction has them, relative ones from the working directory.

    `reason`: why it is not what was asked for (an invalid plan of the model, say).
    """

    subtasks: tuple[Subtask, ...]
    required_outputs: tuple[str, ...] = ()
    files_to_read: tuple[str, ...] = ()
    global_hints: tuple[str, ...] = ()
    source: PlanSource = "rules"
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubtaskStatus:
    """How far a sub-task came."""

    id: str
    name: str
    status: SubtaskState = "pending"
    turns_used: int = 0
    progress: float | None = None
    checkpoint_passed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the orchestrator decided after a turn; `reason` is for a person."""

    kind: DecisionKind
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorDecision:
    """What the monitor says of an action; `rule` is the id of the rule that spoke."""

    allowed: bool = True
    reason: str = ""
    warning: str = ""
    suggestion: str = ""
    rule: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckFailure:
    """A check that fails, as the model is told of it."""

    test_name: str
    file: str = ""
    line: int | None = None
    expected: str = ""
    actual: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatorResult:
    """What the checks made for the work say of it. `progress` None: nobody could tell.

    `tests_passing` and `tests_total` count goal tests; `cached`: nothing changed since, so nothing
    was run.
    """

    passed: bool = False
    progress: float | None = None
    tests_passing: int = 0
    tests_total: int = 0
    failures: tuple[CheckFailure, ...] = ()
    suggestion: str = ""
    guards_broken: tuple[str, ...] = ()
    flaky: tuple[str, ...] = ()
    source: str = ""
    duration_s: float = 0.0
    cached: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MapResult:
    """How the planner ended. `self_passed` is its own opinion and never the verdict."""

    self_passed: bool | None
    stop_reason: StopReason
    progress: float | None = None
    best_progress: float | None = None
    tests_passing: int = 0
    tests_total: int = 0
    turns: int = 0
    duration_s: float = 0.0
    usage: Usage = field(default_factory=Usage)
    cost_usd: float = 0.0
    subtask_status: tuple[SubtaskStatus, ...] = ()
    last_evaluation: EvaluatorResult | None = None
    summary: str = ""
    error: str = ""
