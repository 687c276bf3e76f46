"""Events and ops: everything that happened, and everything a person asked for.

An event is immutable and numbered within its subject (a trial or a job); every record, trajectory,
cost figure and screen is a fold over events. Old ones always load: kinds are never renamed, fields
only added with a default.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Literal, cast

from mechagym.events.job import (
    JobEnded,
    JobStarted,
    OpTaken,
)
from mechagym.events.map import MapEvent
from mechagym.events.money import (
    AgentSpent,
    BudgetRaised,
    BudgetWarned,
    EgressConnected,
    ModelAnswered,
    ModelFailed,
    ModelRefused,
    ModelRequested,
    ModelSelected,
    ReserveExceeded,
    spent_in,
)
from mechagym.events.testgen import (
    ProtocolReported,
    TestgenCalibrated,
    TestgenComplete,
    TestgenConfigAccepted,
    TestgenConfigSaved,
    TestgenError,
    TestgenInputs,
    TestgenMatrix,
    TestgenProgress,
    TestgenProposal,
    TestgenReflection,
    TestgenResult,
    TestgenStart,
    TestgenSurvey,
    TestgenTest,
)
from mechagym.events.trial import (
    AgentStarted,
    AgentStopped,
    ArtifactCollected,
    BoxClosed,
    BoxOpened,
    ErrorRaised,
    ImageProgressed,
    MessageSaid,
    NetworkProved,
    PhaseEnded,
    PhaseStarted,
    StepStarted,
    TamperFound,
    ToolCalled,
    ToolReturned,
    TrialEnded,
    TryEnded,
    TryStarted,
    VerdictReached,
)
from mechagym.records import adapter, to_json

EventBody = (
    TryStarted
    | PhaseStarted
    | PhaseEnded
    | ImageProgressed
    | BoxOpened
    | BoxClosed
    | NetworkProved
    | StepStarted
    | AgentStarted
    | MessageSaid
    | ToolCalled
    | ToolReturned
    | AgentSpent
    | AgentStopped
    | ArtifactCollected
    | TamperFound
    | VerdictReached
    | ErrorRaised
    | TryEnded
    | TrialEnded
    | BudgetWarned
    | BudgetRaised
    | ReserveExceeded
    | ModelRequested
    | ModelAnswered
    | ModelFailed
    | ModelRefused
    | ModelSelected
    | EgressConnected
    | JobStarted
    | JobEnded
    | OpTaken
    | TestgenStart
    | TestgenSurvey
    | TestgenInputs
    | TestgenMatrix
    | TestgenProgress
    | TestgenTest
    | TestgenResult
    | TestgenReflection
    | TestgenComplete
    | TestgenError
    | TestgenProposal
    | TestgenConfigAccepted
    | TestgenConfigSaved
    | TestgenCalibrated
    | ProtocolReported
    | MapEvent
)

Emit = Callable[[EventBody], None]
"""Hand over an event: never blocks, never fails; the store writes it within 100 ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A body with its place: `seq` counts from 1 within the subject, without gaps.

    `subject` is a trial id or a job id; `try_number` is 0 for what is not part of a try.
    """

    subject: str
    seq: int
    at: datetime
    body: EventBody
    try_number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StopOp:
    """End the job: `drain` lets running trials finish, else they are cancelled."""

    drain: bool = False
    kind: Literal["stop"] = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetBudgetOp:
    """Change a limit of the job's budget, up or down; `value` None lifts it."""

    limit: Literal["usd", "tokens", "seconds", "turns"]
    value: float | None
    kind: Literal["set_budget"] = "set_budget"


Op = StopOp | SetBudgetOp
"""A command from a person, polled by the job between steps."""


def op_from_json(text: str) -> Op:
    """Read an op. Raises pydantic's ValidationError."""
    return cast("Op", _ops().validate_json(text))


def body_to_json(body: EventBody) -> str:
    """One line of JSON; `kind` is the tag."""
    return to_json(body)


def body_from_json(text: str | bytes) -> EventBody:
    """Read what `body_to_json` wrote, today or long ago. Raises pydantic's ValidationError."""
    return cast("EventBody", _bodies().validate_json(text))


@cache
def _bodies() -> Any:
    from pydantic import Field

    return adapter(Annotated[EventBody, Field(discriminator="kind")])


@cache
def _ops() -> Any:
    from pydantic import Field

    return adapter(Annotated[Op, Field(discriminator="kind")])


__all__ = [
    "AgentSpent",
    "AgentStarted",
    "AgentStopped",
    "ArtifactCollected",
    "BoxClosed",
    "BoxOpened",
    "BudgetRaised",
    "BudgetWarned",
    "EgressConnected",
    "Emit",
    "ErrorRaised",
    "Event",
    "EventBody",
    "ImageProgressed",
    "JobEnded",
    "JobStarted",
    "MessageSaid",
    "ModelAnswered",
    "ModelFailed",
    "ModelRefused",
    "ModelRequested",
    "ModelSelected",
    "NetworkProved",
    "Op",
    "OpTaken",
    "PhaseEnded",
    "PhaseStarted",
    "ProtocolReported",
    "ReserveExceeded",
    "SetBudgetOp",
    "StepStarted",
    "StopOp",
    "TamperFound",
    "TestgenCalibrated",
    "TestgenComplete",
    "TestgenConfigAccepted",
    "TestgenConfigSaved",
    "TestgenError",
    "TestgenInputs",
    "TestgenMatrix",
    "TestgenProgress",
    "TestgenProposal",
    "TestgenReflection",
    "TestgenResult",
    "TestgenStart",
    "TestgenSurvey",
    "TestgenTest",
    "ToolCalled",
    "ToolReturned",
    "TrialEnded",
    "TryEnded",
    "TryStarted",
    "VerdictReached",
    "body_from_json",
    "body_to_json",
    "op_from_json",
    "spent_in",
]
