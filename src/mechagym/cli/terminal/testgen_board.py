"""A run of test generation as a fold over its events: what is shown of it, whatever the screen."""

from collections import Counter
from dataclasses import dataclass, field

from mechagym.cli.terminal.figures import counted
from mechagym.events import (
    EventBody,
    TestgenComplete,
    TestgenError,
    TestgenInputs,
    TestgenMatrix,
    TestgenProgress,
    TestgenReflection,
    TestgenStart,
    TestgenSurvey,
    TestgenTest,
    spent_in,
)
from mechagym.records.testgen import Category, GeneratedTest, TestTotals

BADGES: dict[Category, str] = {
    "anti_cheat": "AC",
    "existence": "EX",
    "correctness": "CO",
    "boundary": "BO",
    "integration": "IN",
}


@dataclass(slots=True, kw_only=True)
class Bar:
    """How far a category is."""

    made: int = 0
    target: int = 0
    round: int = 0
    rounds: int = 0


@dataclass(slots=True, kw_only=True)
class TestgenBoard:
    """`title` says what it is about."""

    __test__ = False

    title: str
    bars: dict[Category, Bar] = field(default_factory=dict)
    tests: dict[str, GeneratedTest] = field(default_factory=dict)
    phase: str = "waiting"
    comprehensiveness: float | None = None
    tokens: int = 0
    billed_nano: int = 0
    totals: TestTotals | None = None
    status: str = "running"

    @property
    def counts(self) -> Counter[str]:
        """Tests by how they stand."""
        return Counter(test.status for test in self.tests.values())

    def take(self, body: EventBody) -> tuple[str, str] | None:
        """Fold an event in; gives what is said of it, as a word and a text."""
        if (spent := spent_in(body)) is not None:
            self.tokens += spent.usage.tokens
            self.billed_nano += spent.billed_nano
            return None
        match body:
            case TestgenStart():
                self.bars = {category: Bar() for category in body.categories}
                return "config", f"{body.config_digest[:16]}, {', '.join(body.models)}"
            case TestgenProgress():
                return self._progress(body)
            case TestgenTest():
                return self._test(body.test)
            case TestgenReflection():
                return self._reflection(body)
            case TestgenComplete():
                self.totals, self.status = body.totals, body.status
        return _found(body)

    def _progress(self, body: TestgenProgress) -> tuple[str, str] | None:
        if body.category is None:
            self.phase = body.phase
        else:
            self.phase = f"{body.phase} {BADGES[body.category]} {body.round}/{body.rounds}"
            bar = self.bars.setdefault(body.category, Bar())
            bar.made, bar.target = body.made, body.target
            bar.round, bar.rounds = body.round, body.rounds
        return ("note", body.note) if body.note else None

    def _test(self, test: GeneratedTest) -> tuple[str, str]:
        self.tests[test.test_id] = test
        valid = [t.category for t in self.tests.values() if t.status == "valid"]
        self.bars.setdefault(test.category, Bar()).made = valid.count(test.category)
        return "test", told_test(test)

    def _reflection(self, body: TestgenReflection) -> tuple[str, str] | None:
        if body.comprehensiveness is None:
            return "reflect", body.text
        self.comprehensiveness = body.comprehensiveness
        if body.purpose == "complete":
            return None
        return "rating", f"{body.comprehensiveness:g} of 10 {body.text}".rstrip()


def told_test(test: GeneratedTest) -> str:
    """`T014 BO valid Real  an empty line gives no row`."""
    rule = f" {test.reject_rule}" if test.reject_rule else ""
    label = f" {test.label}" if test.label else ""
    why = f": {test.reject_reason}" if test.reject_reason else ""
    head = f"{test.test_id} {BADGES[test.category]} {test.status}{rule}{label}"
    return f"{head}  {test.title}{why}"


def _found(body: EventBody) -> tuple[str, str] | None:
    """What is said of an event that changes no figure."""
    match body:
        case TestgenSurvey():
            return "survey", _survey(body)
        case TestgenInputs():
            return "inputs", ", ".join(f"{f.path} ({f.shape})" for f in body.facts) or "none"
        case TestgenMatrix():
            return "matrix", _matrix(body)
        case TestgenError():
            return "error", f"{body.error}: {body.message}"
        case _:
            return None


def _survey(body: TestgenSurvey) -> str:
    if body.survey is None:
        return f"unknown: {body.why_none}"
    survey = body.survey
    here = {True: "here", False: "not here", None: "not looked for"}
    tools = ", ".join(f"{tool.name} ({here[tool.found]})" for tool in body.prohibited)
    languages = ", ".join(f"{lang.name} {lang.version}" for lang in survey.languages)
    told = [survey.distribution or survey.system, languages, counted(survey.files_total, "file")]
    return "; ".join([*filter(None, told), f"prohibited: {tools or 'nothing'}"])


def _matrix(body: TestgenMatrix) -> str:
    matrix = body.matrix
    return (
        f"{counted(len(body.requirements), 'requirement')},"
        f" {len(matrix.entities)} × {counted(len(matrix.constraints), 'constraint')},"
        f" {counted(len(matrix.ticks), 'tick')}"
    )
