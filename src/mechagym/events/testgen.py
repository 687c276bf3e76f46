"""What happens while tests are generated, measured and evolved. All carry the run's id.

The generator knows neither task nor trial: whoever starts a run adds those to `testgen_start`.
"""

from dataclasses import dataclass, field
from typing import Literal

from mechagym.records import Json
from mechagym.records.reports import CaseStatus
from mechagym.records.survey import Survey
from mechagym.records.testgen import (
    Category,
    GeneratedTest,
    GenerationContext,
    InputFact,
    Matrix,
    Occasion,
    ProhibitedTool,
    Requirement,
    TestTotals,
)

GLOBAL = "_global_"
"""The type of a task that is of no other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestgenStart:
    """A run began, with its limits by name."""

    __test__ = False

    run_id: str
    context: GenerationContext
    config_digest: str
    limits: dict[str, Json]
    categories: tuple[Category, ...]
    models: tuple[str, ...] = ()
    task_id: str | None = None
    task_digest: str | None = None
    trial_id: str | None = None
    proposal_id: str | None = None
    task_type: str = GLOBAL
    kind: Literal["testgen_start"] = "testgen_start"


@dataclass(frozen=True, slots=True, kw_only=True)
class TestgenSurvey:
    """The box was looked at; without a survey `why_none` says why."""

    __test__ = False

    run_id: str
    survey: Survey | None
    prohibited: tuple[ProhibitedTool, ...] = ()
    why_none: str = ""
    kind: Literal["testgen_survey"] = "testgen_survey"


@dataclass(frozen=True, slots=True, kw_only=True)
class TestgenInputs:
    """The input files were opened."""

    __test__ = False

    run_id: str
    facts: tuple[InputFact, ...]
    kind: Literal["testgen_inputs"] = "testgen_inputs"


@dataclass(frozen=True, slots=True, kw_only=True)
class TestgenMatrix:
    """The instruction was split; `uncovered` sentences no quote covers, even after asking."""

    __test__ = False

    run_id: str
    requirements: tuple[Requirement, ...]
    matrix: Matrix
    uncovered: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    kind: Literal["testgen_matrix"] = "testgen_matrix"


@dataclass(frozen=True, slots=True, kw_only=True)
class TestgenProgress:
    """Where the run is: `made` of `target` valid tests in a category, and what it has cost."""

    __test__ = False

    run_id: str
    phase: Literal["survey", "matrix", "category", "cells", "refining", "inputs", "final"]
    category: Category | None = None
    round: int = 0
    rounds: int = 0
    made: int = 0
    target: int = 0
    tests: int = 0
    tokens: int = 0
    cost_usd: float | None = None
    note: str = ""
    kind: Literal["testgen_progress"] = "testgen_progress"


@dataclass(frozen=True, slots=True, kw_only=True)
class TestgenTest:
    """A test as it now stands. It may come again: the last one of an id counts."""

    __test__ = False

    run_id: str
    test: GeneratedTest
    kind: Literal["testgen_test"] = "testgen_test"


@dataclass(frozen=True, slots=True, kw_only=True)
class TestgenResult:
    """How one test did once. `ordinal` tells runs of the same occasion apart."""

    __test__ = False

    run_id: str
    test_id: str
    occasion: Occasion
    ordinal: int
    status: CaseStatus
    duration_s: float = 0.0
    message: str = ""
    kind: Literal["testgen_result"] = "testgen_result"


@dataclass(frozen=True, slots=True, kw_only=True)
class TestgenReflection:
    """What a model thinks of the suite. `comprehensiveness` None: it was not asked or not told."""

    __test__ = False

    run_id: str
    purpose: Literal["refining", "assessing", "complete"]
    text: str
    comprehensiveness: float | None = None
    gaps: tuple[str, ...] = ()
    category: Category | None = None
    kind: Literal["testgen_reflection"] = "testgen_reflection"


@dataclass(frozen=True, slots=True, kw_only=True)
class TestgenComplete:
    """A run ended with a suite, ready or not: `limited` where a limit cut it short."""

    __test__ = False

    run_id: str
    status: Literal["complete", "limited", "failed"]
    totals: TestTotals
    kind: Literal["testgen_complete"] = "testgen_complete"


@dataclass(frozen=True, slots=True, kw_only=True)
class TestgenError:
    """Something failed; what was valid is kept and `testgen_complete` follows."""

    __test__ = False

    run_id: str
    error: str
    message: str
    kind: Literal["testgen_error"] = "testgen_error"


@dataclass(frozen=True, slots=True, kw_only=True)
class TestgenProposal:
    """A change of the config was proposed, clamped, compared and taken or not."""

    __test__ = False

    proposal_id: str
    from_digest: str
    to_digest: str
    change: Literal["keep", "update_params", "update_prompts", "update_weights"]
    changes: dict[str, Json] = field(default_factory=dict)
    clamps: tuple[str, ...] = ()
    reasoning: str = ""
    expected_improvement: float | None = None
    actual_improvement: float | None = None
    low: float | None = None
    high: float | None = None
    basis: Literal["agreement", "internal"] | None = None
    accepted: bool | None = None
    kind: Literal["testgen_proposal"] = "testgen_proposal"


@dataclass(frozen=True, slots=True, kw_only=True)
class TestgenConfigSaved:
    """A config is about to be used: told before the first run under it. Known ones stay as they
    are. `body` holds all its fields.
    """

    __test__ = False

    digest: str
    version: str
    body: dict[str, Json]
    parent_digest: str | None = None
    created_by: Literal["person", "meta"] = "person"
    kind: Literal["testgen_config_saved"] = "testgen_config_saved"


@dataclass(frozen=True, slots=True, kw_only=True)
class TestgenConfigAccepted:
    """A config became the current one, or with `task_type` a person's choice for such tasks.
    `body` holds all its fields.
    """

    __test__ = False

    digest: str
    version: str
    body: dict[str, Json]
    parent_digest: str | None = None
    created_by: Literal["person", "meta"] = "meta"
    task_type: str | None = None
    kind: Literal["testgen_config_accepted"] = "testgen_config_accepted"


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationCount:
    """How often something was so, of how many trials on that side; `category` `all`: the suite."""

    category: str
    metric: Literal["false_fail", "false_pass", "toxicity"]
    successes: int
    trials: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TestgenCalibrated:
    """Suites of a config were run on the end states of a job's sealed trials. Counts alone."""

    __test__ = False

    config_digest: str
    job_id: str
    counts: tuple[CalibrationCount, ...]
    kind: Literal["testgen_calibrated"] = "testgen_calibrated"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolStep:
    """One step of the protocol, with the numbers of the events that show it."""

    name: str
    state: Literal["held", "missing", "unknown"]
    evidence: tuple[int, ...] = ()
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolReported:
    """Whether a wrapped agent wrote its tests first; it never touches the verdict."""

    followed: bool
    steps: tuple[ProtocolStep, ...]
    tests_claimed: int | None = None
    tests_passed: int | None = None
    tests_run: int | None = None
    stubs: int | None = None
    notes: tuple[str, ...] = ()
    kind: Literal["protocol_report"] = "protocol_report"
