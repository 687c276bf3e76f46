"""What is kept of generated tests: what they are to show, the tests, how they did, their measures.

A measure that nobody took is None and shown as unknown; no default stands in for it.
"""

from dataclasses import dataclass, field
from typing import Literal, get_args

from mechagym.records import Spend

Category = Literal["anti_cheat", "existence", "correctness", "boundary", "integration"]
CATEGORIES: tuple[Category, ...] = get_args(Category)
GenerationContext = Literal["benchmark", "interactive", "build", "custom"]
RequirementKind = Literal[
    "output_format",
    "path_or_permission",
    "function",
    "edge",
    "performance",
    "state_left",
    "negative",
]
Role = Literal["goal", "guard"]
Standing = Literal["proposed", "valid", "advisory", "rejected", "quarantined"]
Rule = Literal["V1", "V2", "V3", "V4", "V5", "V6", "V7", "V8", "V9", "V10"]
Label = Literal["Stub", "Suspicious", "Real"]
ExpectedSource = Literal["stated", "computed", "observed", "assumed"]
SuiteRunner = Literal["python", "sh"]
Occasion = Literal["untouched", "empty", "repeat", "candidate", "mutant", "end_state"]
StoppedBy = Literal[
    "complete",
    "target",
    "tests",
    "rounds",
    "tokens",
    "seconds",
    "usd",
    "budget",
    "model_error",
    "sandbox_error",
    "cancelled",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """Something the instruction asks for; `quote` stands in it, white space aside."""

    id: str
    quote: str
    kind: RequirementKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """A thing that the instruction speaks of: a file, a function, a service, rows, users."""

    id: str
    name: str
    quote: str
    requirement_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """A rule that the instruction sets."""

    id: str
    name: str
    quote: str
    requirement_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A constraint holds for an entity, and why. `cell` is how tests name it: `E2xC4`."""

    entity_id: str
    constraint_id: str
    reason: str = ""

    @property
    def cell(self) -> str:
        """Its name."""
        return f"{self.entity_id}x{self.constraint_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Entities by constraints; every tick wants a valid test."""

    entities: tuple[Entity, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    ticks: tuple[Tick, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProhibitedTool:
    """What the solution may not use, by the words that say so. `found`: None, nobody looked."""

    name: str
    reason: str
    quote: str
    found: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFact:
    """An input file that was opened in the box. `shape`: rows, columns, keys, events, ranges."""

    path: str
    sha256: str
    format: str
    shape: str
    sample: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a test came from: `step` counts the tests of a round."""

    run_id: str
    round: int
    step: int
    model: str
    prompt_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedTest:
    """One test: `function` is `test_T014_…`, `code` the whole function, or a line of sh.

    `input_source` is `path@sha256#lines 3-9`, `synthetic`, or None where it needs no input.
    """

    test_id: str
    function: str
    category: Category
    role: Role
    title: str
    code: str
    provenance: Provenance
    requirement_ids: tuple[str, ...] = ()
    cells: tuple[str, ...] = ()
    input_source: str | None = None
    expected_source: ExpectedSource = "assumed"
    expected_output: str | None = None
    reasoning: str = ""
    confidence: float = 0.5
    status: Standing = "proposed"
    reject_rule: Rule | None = None
    reject_reason: str = ""
    label: Label | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A count of a total under a name: valid tests of a category, covered of a kind."""

    name: str
    count: int
    total: int

    @property
    def rate(self) -> float | None:
        """None where there is nothing to count."""
        return self.count / self.total if self.total else None


@dataclass(frozen=True, slots=True, kw_only=True)
class TestMetrics:
    """The measures of one run, each between 0 and 1 but for the first, the bits and the cost.

    `by_category` counts valid tests of the proposed, `by_rule` rejected ones of the proposed.
    """

    __test__ = False

    comprehensiveness: float | None = None
    balance: float | None = None
    anti_cheat: float | None = None
    token_efficiency: float | None = None
    parameter_discovery: float | None = None
    reflection_effectiveness: float | None = None
    requirement_coverage: float | None = None
    cell_coverage: float | None = None
    validity_rate: float | None = None
    distinguishability: float | None = None
    entropy_bits: float | None = None
    mutation_score: float | None = None
    usd_per_valid_test: float | None = None
    by_kind: tuple[Share, ...] = ()
    by_category: tuple[Share, ...] = ()
    by_rule: tuple[Share, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TestTotals:
    """What a run came to. `stopped_by` names the limit that ended it, or how else it ended."""

    __test__ = False

    tests_total: int
    tests_valid: int
    ready: bool
    stopped_by: StoppedBy
    suite_digest: str
    spend: Spend = field(default_factory=Spend)
    duration_s: float = 0.0
    rounds: int = 0
    refinements: int = 0
    score: int | None = None
    metrics: TestMetrics = field(default_factory=TestMetrics)
    unready: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
