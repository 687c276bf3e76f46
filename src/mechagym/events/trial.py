"""What happens in a trial, from its first record to its verdict."""

from dataclasses import dataclass, field
from typing import Literal

from mechagym.records import (
    BoxInfo,
    ErrorRecord,
    Json,
    Outcome,
    Phase,
    TamperFinding,
    TryRecord,
    Verdict,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TryStarted:
    """Written and flushed before anything is started, so that a crash can be tidied up."""

    number: int
    owner_pid: int
    label: str
    kind: Literal["try_started"] = "try_started"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseStarted:
    """A phase began."""

    phase: Phase
    kind: Literal["phase_started"] = "phase_started"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseEnded:
    """A phase ended, well or not."""

    phase: Phase
    duration_s: float
    kind: Literal["phase_ended"] = "phase_ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageProgressed:
    """A line of a build or pull, or its end (`digest` set)."""

    image: str
    line: str
    digest: str | None = None
    kind: Literal["image_progressed"] = "image_progressed"


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxOpened:
    """A box is there; `purpose` tells the agent's from a separate verifier's."""

    box: BoxInfo
    purpose: Literal["agent", "verifier", "fork"] = "agent"
    kind: Literal["box_opened"] = "box_opened"


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxClosed:
    """A box is gone; `left` names what the reaper still has to remove."""

    box_id: str
    left: tuple[str, ...] = ()
    kind: Literal["box_closed"] = "box_closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkProved:
    """One probe of the network policy from inside: what was tried, and whether it was as asked."""

    policy: str
    probe: str
    expected: Literal["open", "closed"]
    held: bool
    detail: str = ""
    kind: Literal["network_proved"] = "network_proved"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted:
    """A step of the task began; single-step tasks have one, named `main`."""

    name: str
    index: int
    kind: Literal["step_started"] = "step_started"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentStarted:
    """The agent got its instruction. `deadline_s` is what it was told."""

    agent: str
    version: str
    instruction: str
    model: str | None = None
    deadline_s: float | None = None
    kind: Literal["agent_started"] = "agent_started"


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageSaid:
    """Text from the agent (or, with `source` user or system, to it)."""

    text: str
    source: Literal["agent", "user", "system"] = "agent"
    thinking: str | None = None
    model: str | None = None
    parent_call_id: str | None = None
    kind: Literal["message_said"] = "message_said"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCalled:
    """The agent asked for a tool. `call_id` is unique in the trial's try."""

    call_id: str
    tool: str
    arguments: dict[str, Json] = field(default_factory=dict)
    parent_call_id: str | None = None
    kind: Literal["tool_called"] = "tool_called"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolReturned:
    """What the tool gave back, as the agent saw it."""

    call_id: str
    output: str
    is_error: bool = False
    duration_s: float | None = None
    kind: Literal["tool_returned"] = "tool_returned"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentStopped:
    """The agent is dead; `killed` are its processes, `kept` the services the task may need."""

    reason: Literal["finished", "deadline", "budget", "cancelled", "error"]
    killed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    claim: str | None = None
    kind: Literal["agent_stopped"] = "agent_stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactCollected:
    """A file or folder was copied out of the box into the trial's folder, or why not."""

    source: str
    target: str
    files: int = 0
    size_bytes: int = 0
    refused: tuple[str, ...] = ()
    kind: Literal["artifact_collected"] = "artifact_collected"


@dataclass(frozen=True, slots=True, kw_only=True)
class TamperFound:
    """The agent touched what decides the reward."""

    finding: TamperFinding
    kind: Literal["tamper_found"] = "tamper_found"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictReached:
    """The verifier gave a reward."""

    verdict: Verdict
    step: str = "main"
    kind: Literal["verdict_reached"] = "verdict_reached"


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRaised:
    """Something failed; the trial goes on to its record all the same."""

    error: ErrorRecord
    phase: Phase | None = None
    kind: Literal["error_raised"] = "error_raised"


@dataclass(frozen=True, slots=True, kw_only=True)
class TryEnded:
    """A try is over and its record complete."""

    record: TryRecord
    kind: Literal["try_ended"] = "try_ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialEnded:
    """The end record: after this the trial is sealed and never run again by resume."""

    outcome: Outcome
    tries: int
    kind: Literal["trial_ended"] = "trial_ended"
