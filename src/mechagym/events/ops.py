"""What a person asks for: each op is a command that one process takes, and ends with a word.

A running job takes its own (`JobOp`); a worker takes the rest, and those of a job that nobody runs.
"""

from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, Literal, cast

from mechagym.records import Json, adapter


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


@dataclass(frozen=True, slots=True, kw_only=True)
class StartOp:
    """Begin a job. `entry` has the keys of a job file."""

    entry: dict[str, Json] = field(default_factory=dict)
    kind: Literal["start"] = "start"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeOp:
    """Go on with a job that nobody runs."""

    kind: Literal["resume"] = "resume"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryOp:
    """Try trials again that are not graded: all, those of some outcomes, or one."""

    outcomes: tuple[str, ...] = ()
    trial_id: str | None = None
    kind: Literal["retry"] = "retry"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetSettingOp:
    """Save a setting of this store, as text; None: it is no longer saved."""

    key: str
    value: str | None
    kind: Literal["set_setting"] = "set_setting"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOp:
    """Ask whether a model can be called; None: the default one and all aliases."""

    model: str | None = None
    kind: Literal["check"] = "check"


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTestOp:
    """Have a sandbox prove what it holds; None: the one that would be chosen."""

    sandbox: str | None = None
    kind: Literal["self_test"] = "self_test"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReapOp:
    """Remove what dead processes of ours left behind on the worker's machine."""

    kind: Literal["reap"] = "reap"


JobOp = StopOp | SetBudgetOp
"""What a job that runs is told, polled by it between steps."""

WorkerOp = StartOp | ResumeOp | RetryOp | SetSettingOp | CheckOp | SelfTestOp | ReapOp
"""What a worker is told."""

Op = JobOp | WorkerOp
"""A command from a person."""


def op_from_json(text: str | bytes) -> Op:
    """Read an op. Raises pydantic's ValidationError."""
    return cast("Op", op_adapter().validate_json(text))


@cache
def op_adapter() -> Any:
    """The pydantic adapter of all ops; `kind` is the tag."""
    from pydantic import Field

    return adapter(Annotated[Op, Field(discriminator="kind")])
