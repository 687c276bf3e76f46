"""The values that are kept: usage, verdicts, phases, outcomes and the record of a trial.

No I/O here. Every value is frozen and survives a round trip through JSON (`to_json`, `from_json`);
an old record always loads, so fields are only ever added, with a default.
"""

import json
import secrets
import string
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")

Json = Any
"""A JSON value. Used for free data of others (task metadata, tool arguments), never for our own."""


class Outcome(StrEnum):
    """How a trial ended. Only graded ones enter a mean; the others are counted beside it."""

    PASSED = "passed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    AGENT_ERROR = "agent_error"
    BUDGET_EXHAUSTED = "budget_exhausted"
    INFRA_ERROR = "infra_error"
    CANCELLED = "cancelled"
    REFUSED = "refused"


class Phase(StrEnum):
    """The parts of a try, in order; their times add up to its wall time."""

    QUEUE = "queue"
    IMAGE = "image"
    START = "start"
    PREPARE = "prepare"
    AGENT = "agent"
    VERIFY = "verify"
    COLLECT = "collect"
    CLOSE = "close"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Six disjoint token counts, each ≥ 0; no token is in two. `web_searches` counts calls."""

    input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0
    web_searches: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(**{name: getattr(self, name) + getattr(other, name) for name in _USAGE})

    @property
    def tokens(self) -> int:
        """The sum of the six counts, cache reads too."""
        return sum(getattr(self, name) for name in _USAGE if name != "web_searches")


_USAGE = tuple(Usage.__dataclass_fields__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """What something cost: tokens, and money as whole nano-dollars so that sums are exact."""

    usage: Usage = Usage()
    billed_nano: int = 0
    imputed_nano: int = 0
    unpriced_calls: int = 0

    def __add__(self, other: "Spend") -> "Spend":
        return Spend(
            usage=self.usage + other.usage,
            billed_nano=self.billed_nano + other.billed_nano,
            imputed_nano=self.imputed_nano + other.imputed_nano,
            unpriced_calls=self.unpriced_calls + other.unpriced_calls,
        )

    @property
    def cost_usd(self) -> float:
        """What will be invoiced."""
        return self.billed_nano / 1e9


TestStatus = Literal["passed", "failed", "skipped", "pending", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResult:
    """One row of a CTRF report. A skip is not a pass."""

    __test__ = False  # not a test class, whatever its name suggests to pytest

    name: str
    status: TestStatus
    duration_ms: float | None = None
    message: str | None = None
    trace: str | None = None
    suite: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TamperFinding:
    """Something the agent did to what decides the reward. `rule` is a stable word."""

    rule: str
    detail: str
    path: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the task's own tests said. `rewards` are finite; `reward` is the one that decides."""

    rewards: dict[str, float]
    tests: tuple[TestResult, ...] = ()
    findings: tuple[TamperFinding, ...] = ()
    source: Literal["task", "generated"] = "task"
    exit_code: int | None = None
    duration_s: float = 0.0

    @property
    def reward(self) -> float:
        """`reward` if it is named; else the mean of all, as for a multi-criteria task."""
        if "reward" in self.rewards:
            return self.rewards["reward"]
        return sum(self.rewards.values()) / len(self.rewards)

    @property
    def passed(self) -> bool:
        """All that was asked: reward ≥ 1.0."""
        return self.reward >= 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxInfo:
    """What a box is and what it enforces; kept with the trial as evidence."""

    backend: str
    box_id: str
    image: str
    image_digest: str | None = None
    container_id: str | None = None
    hostname: str = ""
    workdir: str = "/"
    user: str = "root"
    network: str = "public"
    door: str | None = None
    isolation: Literal["vm", "container", "namespace", "none"] = "container"
    fidelity: Literal["exact", "approximate"] = "exact"
    limits_asked: dict[str, float] = field(default_factory=dict)
    limits_enforced: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseTime:
    """One phase of a try: when it began and how long it took."""

    phase: Phase
    started_at: datetime
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRecord:
    """An error as it is kept: class and reason for tables, message for a person."""

    type: str
    reason: str
    message: str
    blame: str
    retry: bool = False
    trace: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """One step of a multi-step task, as graded."""

    name: str
    outcome: Outcome
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TryRecord:
    """One try of a trial, ended. `number` counts from 1.

    `agent_metadata` is what the agent said of itself beside its claim, its own cost figure say.
    `credential_exposed`: a login lay in its box, where the agent could read it.
    """

    number: int
    outcome: Outcome
    started_at: datetime
    ended_at: datetime
    phases: tuple[PhaseTime, ...] = ()
    box: BoxInfo | None = None
    verdict: Verdict | None = None
    steps: tuple[StepRecord, ...] = ()
    error: ErrorRecord | None = None
    spend: Spend = Spend()
    turns: int | None = None
    claim: str | None = None
    agent_metadata: dict[str, Json] = field(default_factory=dict)
    credential_exposed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialKey:
    """What a trial is, before anything happened: the cell of a job's matrix.

    `agent` carries its version (`oracle@0.1.0`); `dataset` may be empty for a bare folder.
    """

    trial_id: str
    trial_name: str
    job_id: str
    dataset: str
    task: str
    task_digest: str
    agent: str
    model: str | None
    repeat: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """A trial with all its tries; the last one counts, the cost is the sum of all."""

    key: TrialKey
    tries: tuple[TryRecord, ...]

    @property
    def counted(self) -> TryRecord:
        """The try whose outcome is the trial's."""
        return self.tries[-1]

    @property
    def outcome(self) -> Outcome:
        """The outcome of the counted try."""
        return self.counted.outcome

    @property
    def reward(self) -> float | None:
        """The deciding reward, or None where nothing was graded. Never a silent 0."""
        return self.counted.verdict.reward if self.graded and self.counted.verdict else None

    @property
    def graded(self) -> bool:
        """Whether this trial enters means and pass@k."""
        return is_graded(self.outcome, verified=is_verified(self.counted.verdict))

    @property
    def spend(self) -> Spend:
        """Summed over all tries, the failed ones too."""
        return sum((t.spend for t in self.tries), Spend())


def is_verified(verdict: Verdict | None) -> bool:
    """Whether the task's own tests spoke: what generated ones say is pooled with nothing."""
    return verdict is not None and verdict.source == "task"


def is_graded(outcome: Outcome, *, verified: bool) -> bool:
    """Say whether an outcome enters a mean; `verified`: the task's own tests gave a reward."""
    match outcome:
        case Outcome.PASSED | Outcome.FAILED | Outcome.TIMED_OUT:
            return verified
        case Outcome.AGENT_ERROR | Outcome.BUDGET_EXHAUSTED:
            return verified
        case Outcome.INFRA_ERROR | Outcome.CANCELLED | Outcome.REFUSED:
            return False


def now() -> datetime:
    """The time, UTC, with its zone."""
    return datetime.now(UTC)


_ALPHABET = string.ascii_letters + string.digits


def new_id(length: int = 12) -> str:
    """A random id of letters and digits, by one draw: asking the system for each costs more."""
    number, letters = secrets.randbelow(len(_ALPHABET) ** length), []
    for _ in range(length):
        number, index = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[index])
    return "".join(letters)


def adapter(shape: Any) -> "TypeAdapter[Any]":
    """The pydantic adapter of a value or union, made once. Imported late: row 0 stays light."""
    return _adapter(shape)


@cache
def _adapter(shape: Any) -> "TypeAdapter[Any]":
    from pydantic import TypeAdapter

    return TypeAdapter(shape)


def to_json(value: object) -> str:
    """One line of JSON for any value of ours. Bytes of a box that were no text become `?`."""
    shape = adapter(type(value))
    try:
        return shape.dump_json(value).decode()
    except ValueError:  # a lone surrogate: how `ExecResult.text` keeps what is not UTF-8
        text = json.dumps(shape.dump_python(value, mode="json"), ensure_ascii=False)
        return text.encode("utf-8", "replace").decode()


def from_json(shape: type[T], text: str | bytes) -> T:
    """Read what `to_json` wrote. Raises pydantic's ValidationError."""
    return cast("T", adapter(shape).validate_json(text))


def over_strings(value: Json, change: Callable[[str], str]) -> Json:
    """A JSON value with `change` put over its strings, keys too: it stays JSON whatever comes."""
    match value:
        case str():
            return change(value)
        case list() | tuple():
            return [over_strings(item, change) for item in value]
        case dict():
            return {change(str(key)): over_strings(item, change) for key, item in value.items()}
        case _:
            return value


def to_dict(value: Any) -> dict[str, Any]:
    """A plain dict of a record, for folds that rename fields (Harbor's result.json)."""
    return asdict(value)
