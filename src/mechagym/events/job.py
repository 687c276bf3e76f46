"""What happens to a job as a whole."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStarted:
    """A process took the job; `resumed` tells a first start from a continuation."""

    owner_pid: int
    trials: int
    resumed: bool = False
    kind: Literal["job_started"] = "job_started"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEnded:
    """The process is done with the job."""

    state: Literal["finished", "cancelled", "stopped"]
    kind: Literal["job_ended"] = "job_ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpAsked:
    """A person asked for something; the op's own subject is `op-ID`."""

    op_id: int
    op: str
    author: str = ""
    job_id: str | None = None
    kind: Literal["op_asked"] = "op_asked"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpTaken:
    """A person's op was applied or refused, with the reason."""

    op_id: int
    op: str
    applied: bool
    detail: str = ""
    kind: Literal["op_taken"] = "op_taken"
