"""Events and ops: everything that happened, and everything a person asked for.

An event is immutable and numbered within its subject (a trial or a job); every record, trajectory,
cost figure and screen is a fold over events. Old ones always load: kinds are never renamed, fields
only added with a default.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Annotated, Any, cast

from mechagym.events.job import (
    JobEnded,
    JobStarted,
    OpAsked,
    OpTaken,
)
from mechagym.events.map import MapEvent
from mechagym.events.money import (
    AgentSpent,
    BudgetRaised,
    BudgetWarned,
    CredentialExposed,
    EgressConnected,
    ModelAnswered,
    ModelFailed,
    ModelRefused,
    ModelRequested,
    ModelSelected,
    ReserveExceeded,
    spent_in,
)
from mechagym.events.ops import (
    CheckOp,
    JobOp,
    Op,
    ReapOp,
    ResumeOp,
    RetryOp,
    SelfTestOp,
    SetBudgetOp,
    SetSettingOp,
    StartOp,
    StopOp,
    WorkerOp,
    op_from_json,
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
    | CredentialExposed
    | EgressConnected
    | JobStarted
    | JobEnded
    | OpAsked
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


__all__ = [
    "AgentSpent",
    "AgentStarted",
    "AgentStopped",
    "ArtifactCollected",
    "BoxClosed",
    "BoxOpened",
    "BudgetRaised",
    "BudgetWarned",
    "CheckOp",
    "CredentialExposed",
    "EgressConnected",
    "Emit",
    "ErrorRaised",
    "Event",
    "EventBody",
    "ImageProgressed",
    "JobEnded",
    "JobOp",
    "JobStarted",
    "MessageSaid",
    "ModelAnswered",
    "ModelFailed",
    "ModelRefused",
    "ModelRequested",
    "ModelSelected",
    "NetworkProved",
    "Op",
    "OpAsked",
    "OpTaken",
    "PhaseEnded",
    "PhaseStarted",
    "ProtocolReported",
    "ReapOp",
    "ReserveExceeded",
    "ResumeOp",
    "RetryOp",
    "SelfTestOp",
    "SetBudgetOp",
    "SetSettingOp",
    "StartOp",
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
    "WorkerOp",
    "body_from_json",
    "body_to_json",
    "op_from_json",
    "spent_in",
]
