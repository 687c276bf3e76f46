"""The values that go into the store and come out of it, beside events and records."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from mechagym.events import Op
from mechagym.records import Outcome, TrialKey

JobState = Literal["pending", "running", "finished", "cancelled", "stopped", "interrupted"]
TrialState = Literal["pending", "running", "ended"]
TrialOrder = Literal["started", "task", "outcome", "reward", "cost", "duration"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerRow:
    """A process. `started` and `place` (boot, pid namespace) tell it from later ones of its pid."""

    pid: int
    started: str
    place: str
    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """A job: its frozen config (JSON) with the digest, and who works on it now."""

    job_id: str
    name: str
    config: str
    config_digest: str
    folder: str
    created_at: datetime
    state: JobState = "pending"
    trials: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    owner: OwnerRow | None = None
    heartbeat_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRow:
    """A trial as lists show it. `outcome` is known once it ended.

    `reward` is None where nothing was graded; `tries` counts those that ended; money is their sum.
    """

    key: TrialKey
    state: TrialState = "pending"
    outcome: Outcome | None = None
    graded: bool = False
    tries: int = 0
    reward: float | None = None
    billed_nano: int = 0
    imputed_nano: int = 0
    tokens: int = 0
    duration_s: float = 0.0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    passed: bool | None = None
    turns: int | None = None
    fault: str | None = None
    fault_reason: str | None = None
    blame: str | None = None

    @property
    def cost_usd(self) -> float:
        """What will be invoiced for all its tries."""
        return self.billed_nano / 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """A task as lists show it; `needs` are words for what not every host has (`gpu`, `compose`)."""

    digest: str
    dataset: str
    name: str
    difficulty: str | None = None
    category: str | None = None
    tags: tuple[str, ...] = ()
    author: str | None = None
    agent_timeout_s: float | None = None
    image: str | None = None
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OpRow:
    """An op and what became of it. `applied` is known once it ended; `detail` says why not."""

    op_id: int
    job_id: str | None
    op: Op
    author: str
    at: datetime
    worker_id: str | None = None
    taken_at: datetime | None = None
    applied: bool | None = None
    detail: str = ""
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRow:
    """A process that takes ops."""

    worker_id: str
    owner: OwnerRow
    version: str
    began_at: datetime
    heartbeat_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialFilter:
    """Which trials a list shows; None does not bind. `text` is looked for in the task's name."""

    job_id: str | None = None
    dataset: str | None = None
    task: str | None = None
    agent: str | None = None
    model: str | None = None
    state: TrialState | None = None
    outcome: Outcome | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialPage:
    """How a list is sorted and which part of it is wanted."""

    order: TrialOrder = "started"
    descending: bool = True
    limit: int = 50
    offset: int = 0
