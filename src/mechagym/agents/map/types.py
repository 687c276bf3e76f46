"""What the modules hand each other: frozen values. What is kept of them stands in `records.map`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from mechagym.agents.base import OpenModel
from mechagym.agents.map.arguments import ToolArgs
from mechagym.budget import Meter
from mechagym.events import Emit
from mechagym.records import Spend
from mechagym.records.map import (
    CheckFailure,
    Decision,
    DecisionKind,
    Decomposition,
    EvaluatorResult,
    MapResult,
    MonitorDecision,
    StopReason,
    Subtask,
    SubtaskState,
    SubtaskStatus,
)
from mechagym.sandbox.base import Box

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelResponse

TriggerKind = Literal["turn", "verify_progress", "completion", "candidate"]
Rung = Literal[0, 1, 2, 3]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Where the work takes place. `helper` is our folder in the box: out of the model's reach, but
    for `outputs` in it, where whole outputs are kept for it to read. `named`: absolute paths that
    the instruction names.
    """

    instruction: str
    workdir: str
    home: str
    user: str | None
    helper: str
    named: tuple[str, ...] = ()

    @property
    def outputs(self) -> str:
        """What the model may read in our folder."""
        return f"{self.helper}/outputs"

    @property
    def checks(self) -> str:
        """Where the checks stand."""
        return f"{self.helper}/checks"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskView:
    """What a decomposer sees. `exists`: whether a path that the instruction names is there now."""

    instruction: str
    max_turns: int
    workdir: str
    snapshot: str = ""
    exists: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolAction:
    """One call of a tool as the model wants it. `action_id` is the model's own call id."""

    action_id: str
    tool_name: str
    tool_args: ToolArgs
    reasoning: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BadCall:
    """A call that could not be read; `problem` names the field, for the model to mend."""

    action_id: str
    tool_name: str
    arguments: str
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionResult:
    """What an action came to. `output` is as shown: cut, with a true notice.

    `result_digest` is over what the tool gave, not over how it was shown; `image` where a picture
    is handed to the model beside the text.
    """

    action_id: str
    ok: bool
    output: str
    output_chars: int
    shown_chars: int
    result_digest: str
    exit_code: int | None = None
    timed_out: bool = False
    duration_s: float = 0.0
    changed_paths: tuple[str, ...] = ()
    image: bytes | None = None
    media_type: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """An action that was done, at which revision of the box it began, and its result."""

    action: ToolAction
    result: ActionResult
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionState:
    """How the work stands. Each step makes a new one; `current_subtask` is an index of `plan`.

    `modified_files` are newest first; `actions` holds what was executed, never what was denied;
    `denials` the recent denials in a row, `rule` by `rule`, for the rule that must not lock out.
    `has_checks` False: nobody measures progress, so no threshold binds.
    """

    plan: Decomposition
    subtask_status: tuple[SubtaskStatus, ...]
    workdir: str
    max_turns: int
    current_subtask: int = 0
    total_turns: int = 0
    subtask_turns: int = 0
    modified_files: tuple[str, ...] = ()
    missing_outputs: tuple[str, ...] = ()
    missing_artifacts: tuple[str, ...] = ()
    actions: tuple[Executed, ...] = ()
    denials: tuple[str, ...] = ()
    last_evaluation: EvaluatorResult | None = None
    box_revision: int = 0
    evaluated_revision: int | None = None
    best_progress: float | None = None
    best_passing: int = 0
    best_revision: int | None = None
    flat_evaluations: int = 0
    flat_limit: int = 5
    turns_since_best: int = 0
    rung: Rung = 0
    has_checks: bool = False
    samplings: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def subtask(self) -> Subtask:
        """The sub-task that is worked on."""
        return self.plan.subtasks[self.current_subtask]

    @property
    def has_next(self) -> bool:
        """Whether another sub-task comes after it."""
        return self.current_subtask + 1 < len(self.plan.subtasks)

    @property
    def evaluation(self) -> EvaluatorResult | None:
        """The last evaluation, if it is of the box as it is now."""
        return self.last_evaluation if self.evaluated_revision == self.box_revision else None

    @property
    def progress(self) -> float | None:
        """Of the last evaluation, whatever has changed since."""
        return self.last_evaluation.progress if self.last_evaluation else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """Why the checks run, and which revision of the box they run on: equal ones need no new run."""

    kind: TriggerKind
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnContext:
    """All that one reply of the model is asked with."""

    messages: "tuple[ModelMessage, ...]"
    temperature: float
    turn: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorTurn:
    """One reply: what it says, and its calls in the order given, read or unreadable."""

    reply: "ModelResponse"
    text: str = ""
    thinking: str = ""
    calls: tuple[ToolAction | BadCall, ...] = ()

    @property
    def actions(self) -> tuple[ToolAction, ...]:
        """The calls that could be read."""
        return tuple(call for call in self.calls if isinstance(call, ToolAction))


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRequest:
    """What checks are made from: the instruction, the untouched box, and money for it."""

    instruction: str
    box: Box
    folder: str
    open_model: OpenModel
    meter: Meter
    emit: Emit
    timeout_s: float
    suite_timeout_s: float
    config_digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateBrief:
    """What makes one candidate another than the rest. `told` is said to it beside the handover."""

    index: int
    temperature: float
    hint: str
    told: str = ""
    max_turns: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeEnd:
    """What a candidate has done in its fork."""

    state: ExecutionState
    spend: Spend
    duration_s: float
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleOutcome:
    """What became of it. `chosen` None: nothing was sampled, and `reason` says why; 0: the state
    as it was is the best. `changed_paths` are what the winner brought into the box, `lost` what of
    it could not be carried over.
    """

    chosen: int | None
    reason: str
    evaluation: EvaluatorResult | None = None
    changed_paths: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    distinct: int = 0
    undecided: bool = False
    spend: Spend = field(default_factory=Spend)


__all__ = [
    "ActionResult",
    "ActorTurn",
    "BadCall",
    "CandidateBrief",
    "CheckFailure",
    "CheckRequest",
    "Decision",
    "DecisionKind",
    "Decomposition",
    "EpisodeEnd",
    "EvaluatorResult",
    "Executed",
    "ExecutionState",
    "MapResult",
    "MonitorDecision",
    "Rung",
    "SampleOutcome",
    "StopReason",
    "Subtask",
    "SubtaskState",
    "SubtaskStatus",
    "Surroundings",
    "TaskView",
    "ToolAction",
    "Trigger",
    "TriggerKind",
    "TurnContext",
]
