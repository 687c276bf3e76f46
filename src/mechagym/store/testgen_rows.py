"""What the store says of test generation. A measure that is None was not taken."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from mechagym.records import Json
from mechagym.records.reports import CaseStatus
from mechagym.records.testgen import (
    GeneratedTest,
    GenerationContext,
    Matrix,
    Occasion,
    Requirement,
    StoppedBy,
)

RunStatus = Literal["running", "complete", "limited", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigRow:
    """A config with all its fields, and where it came from. At most one is the current one."""

    digest: str
    version: str
    body: Mapping[str, Json]
    parent_digest: str | None
    created_by: Literal["person", "meta"]
    is_current: bool
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A run, ended or not; `stream_id` is the subject of its events."""

    run_id: str
    stream_id: str
    config_digest: str
    task_id: str | None
    task_digest: str | None
    task_type: str
    trial_id: str | None
    proposal_id: str | None
    context: GenerationContext
    status: RunStatus
    stopped_by: StoppedBy | None
    ready: bool
    suite_digest: str | None
    tests_total: int
    tests_valid: int
    score: int | None
    tokens: int
    cost_usd: float | None
    duration_s: float
    created_at: datetime
    notes: tuple[str, ...] = ()
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    shares: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRow:
    """How one test did once."""

    test_id: str
    occasion: Occasion
    ordinal: int
    status: CaseStatus
    duration_s: float
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunParts:
    """What a run made."""

    tests: tuple[GeneratedTest, ...]
    results: tuple[ResultRow, ...]
    requirements: tuple[Requirement, ...]
    matrix: Matrix


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs are wanted; None does not bind."""

    task_id: str | None = None
    task_type: str | None = None
    config_digest: str | None = None
    trial_id: str | None = None
    proposal_id: str | None = None
    status: RunStatus | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class BestRow:
    """The best config for a type of tasks: its mean score, and counts of all its ended runs."""

    task_type: str
    config_digest: str
    run_id: str | None
    score: float | None
    pass_count: int
    total_runs: int
    is_override: bool
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EvolutionRow:
    """A proposal: what it changed, what was clamped, and what came of it."""

    id: str
    from_digest: str
    to_digest: str
    kind: str
    changes: Mapping[str, Json]
    clamps: tuple[str, ...]
    reasoning: str
    expected_improvement: float | None
    actual_improvement: float | None
    low: float | None
    high: float | None
    basis: Literal["agreement", "internal"] | None
    accepted: bool | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationRow:
    """Counts of one job."""

    config_digest: str
    category: str
    metric: Literal["false_fail", "false_pass", "toxicity"]
    successes: int
    trials: int
    job_id: str
