"""What model calls ask for, cost and are refused: spend is the fold of these.

A call is `model_requested`, then `model_answered` or `model_failed` with the same `call_id`;
each try of a retried call is a call of its own.
"""

from dataclasses import dataclass, field
from typing import Literal

from mechagym.records import Spend


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSpent:
    """What model calls of this agent cost since the last such event."""

    spend: Spend
    model: str | None = None
    kind: Literal["agent_spent"] = "agent_spent"


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetWarned:
    """A meter passed 75 or 90 percent of a limit; once per meter and limit."""

    limit: Literal["usd", "tokens", "seconds", "turns"]
    percent: int
    spent: float
    of: float
    kind: Literal["budget_warned"] = "budget_warned"


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRaised:
    """A person changed a limit of this meter, up or down. None: it does not bind."""

    limit: Literal["usd", "tokens", "seconds", "turns"]
    before: float | None
    after: float | None
    kind: Literal["budget_raised"] = "budget_raised"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReserveExceeded:
    """A call cost more than was held for it: its provider did not keep to a limit, or we erred."""

    call_id: str
    model: str
    held: Spend
    spent: Spend
    kind: Literal["reserve_exceeded"] = "reserve_exceeded"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequested:
    """A try of a model call was reserved and is about to be sent; `held` is its worst case.

    `output_limit` is what the provider is told, `asked_limit` what the caller wanted. A request
    without an answer, a failure or a refusal counts as spent in full.
    """

    call_id: str
    model: str
    door: Literal["process", "gateway"]
    held: Spend
    output_limit: int
    asked_limit: int | None = None
    edits: tuple[str, ...] = ()
    kind: Literal["model_requested"] = "model_requested"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAnswered:
    """A reply came. `measured` False: no usage came with it, `spend` is what was held."""

    call_id: str
    model: str
    spend: Spend
    price_ref: str
    total_ms: float
    first_output_ms: float | None = None
    finish: str | None = None
    measured: bool = True
    request_id: str | None = None
    kind: Literal["model_answered"] = "model_answered"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFailed:
    """A try failed. `spend` is not zero where the provider may bill it all the same."""

    call_id: str
    model: str
    error: str
    message: str
    status: int | None = None
    wait_s: float | None = None
    spend: Spend = field(default_factory=Spend)
    kind: Literal["model_failed"] = "model_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRefused:
    """A call was refused by us before anything was sent; `reason` is a stable word."""

    model: str
    reason: str
    message: str
    kind: Literal["model_refused"] = "model_refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSelected:
    """The router chose; `skipped` names each model passed over, with its reason."""

    role: str
    model: str
    rule: str
    rationale: str
    attempt: int = 0
    skipped: tuple[str, ...] = ()
    kind: Literal["model_selected"] = "model_selected"


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialExposed:
    """A login was put where an agent can read it, since somebody asked for that. `target`: the
    file in the box.
    """

    agent: str
    target: str
    kind: Literal["credential_exposed"] = "credential_exposed"


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressConnected:
    """A connection that a box asked of the egress proxy, when it was over."""

    host: str
    port: int
    verdict: Literal["allowed", "refused", "failed"]
    reason: str = ""
    sent_bytes: int = 0
    received_bytes: int = 0
    duration_ms: float = 0.0
    kind: Literal["egress_connected"] = "egress_connected"


def spent_in(body: object) -> Spend | None:
    """What an event says was spent, once for each dollar; None for all that is no bill."""
    match body:
        case AgentSpent(spend=spend) | ModelAnswered(spend=spend) | ModelFailed(spend=spend):
            return spend
        case _:
            return None
