"""What a model proposes becomes a test, screened by what its text shows: V1, V2 and V8.

Screening is pure; the box has its say in `validity`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from mechagym.records.survey import Survey
from mechagym.records.testgen import (
    Category,
    ExpectedSource,
    GeneratedTest,
    InputFact,
    Label,
    Provenance,
    Requirement,
    Role,
    Rule,
    SuiteRunner,
    Tick,
)
from mechagym.testgen.likeness import alike, shape_of
from mechagym.testgen.paths import touches_tripwire
from mechagym.testgen.rules import breaches, normal
from mechagym.testgen.source import BadSource, one_function, slug
from mechagym.testgen.substance import has_substance

SYNTHETIC = "synthetic"
_TOOLS = re.compile(r"==.*$")
_NOTHING = re.compile(r"(?:^|[;&|]\s*)(?:true|:|exit\s+\d+|echo\b.*|\[\s+1\s+\]|test\s+1)\s*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A test as a model gives it. `expected_quote`: where the instruction states the result."""

    title: str
    code: str
    requirement_ids: tuple[str, ...] = ()
    cells: tuple[str, ...] = ()
    role: Role = "goal"
    guard_reason: str = ""
    input_source: str | None = None
    expected_source: ExpectedSource = "assumed"
    expected_quote: str = ""
    expected_output: str | None = None
    reasoning: str = ""
    confidence: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposals:
    """What the tool `propose_tests` is called with."""

    tests: tuple[Proposal, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What proposals are screened against."""

    instruction: str
    runner: SuiteRunner
    survey: Survey | None = None
    facts: tuple[InputFact, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    ticks: tuple[Tick, ...] = ()

    @property
    def packages(self) -> frozenset[str]:
        """Distributions of the box's Python, normalised."""
        language = self.survey.language("Python") if self.survey else None
        found = language.packages if language else ()
        return frozenset(normal(_TOOLS.sub("", package)) for package in found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbered:
    """A proposal with its place: number in the run, category, and where it came from."""

    number: int
    category: Category
    provenance: Provenance


def occurs(quote: str, text: str) -> bool:
    """Whether a quote stands in a text, white space and the form of marks aside."""
    squeezed = " ".join(quote.split())
    return bool(squeezed) and squeezed in " ".join(text.split())


def screen(
    proposal: Proposal, place: Numbered, ground: Ground, earlier: Sequence[GeneratedTest]
) -> GeneratedTest:
    """The test, proposed or rejected with the rule."""
    test = _test(proposal, place, ground)
    if ground.runner == "sh":
        fault = _fault_of_check(test)
    else:
        test, fault = _fault_of_function(test, ground)
    if fault is None and test.role == "guard" and not proposal.guard_reason.strip():
        fault = ("V6", "a guard needs a reason (guard_reason)")
    fault = fault or _fault_of_source(test, ground) or _fault_of_likeness(test, earlier)
    return reject(test, *fault) if fault else test


def reject(test: GeneratedTest, rule: Rule, reason: str) -> GeneratedTest:
    """The test, rejected; what says nothing is a stub."""
    label: Label | None = "Stub" if rule == "V2" else test.label
    return replace(test, status="rejected", reject_rule=rule, reject_reason=reason, label=label)


def _test(proposal: Proposal, place: Numbered, ground: Ground) -> GeneratedTest:
    test_id = f"T{place.number:03d}"
    known = {requirement.id for requirement in ground.requirements}
    cells = {tick.cell for tick in ground.ticks}
    source = proposal.expected_source
    if source == "stated" and not occurs(proposal.expected_quote, ground.instruction):
        source = "assumed"  # what is stated nowhere is somebody's guess
    return GeneratedTest(
        test_id=test_id,
        function=f"test_{test_id}_{slug(proposal.title)}",
        category=place.category,
        role=proposal.role,
        title=" ".join(proposal.title.split())[:200],
        code=proposal.code,
        provenance=place.provenance,
        requirement_ids=tuple(r for r in dict.fromkeys(proposal.requirement_ids) if r in known),
        cells=tuple(cell for cell in dict.fromkeys(proposal.cells) if cell in cells),
        input_source=_input_source(proposal, ground),
        expected_source=source,
        expected_output=proposal.expected_output,
        reasoning=(proposal.guard_reason or proposal.reasoning)[:2000],
        confidence=min(1.0, max(0.0, proposal.confidence)),
    )


def _input_source(proposal: Proposal, ground: Ground) -> str | None:
    """Real inputs by the paths that the code reads; what is made up says so."""
    by_path = {fact.path: fact for fact in ground.facts}
    claimed, _, rest = (proposal.input_source or "").partition("@")
    lines = f"#{rest.partition('#')[2]}" if "#" in rest else ""
    workdir = ground.survey.workdir if ground.survey else "/"
    used = [path for path in by_path if touches(proposal.code, path, workdir)]
    if claimed in by_path and (claimed in used or lines):
        return f"{claimed}@{by_path[claimed].sha256[:8]}{lines}"
    if claimed == SYNTHETIC:
        return SYNTHETIC
    if used:
        return f"{used[0]}@{by_path[used[0]].sha256[:8]}"
    if claimed:
        return proposal.input_source
    return SYNTHETIC if "tmp_path" in proposal.code or "mktemp" in proposal.code else None


def touches(code: str, path: str, workdir: str) -> bool:
    """Whether code names a file, or a folder below the working directory that it lies in."""
    folder = str(PurePosixPath(path).parent)
    inner = folder.startswith(workdir.rstrip("/") + "/")
    quoted = (f'{folder}"', f"{folder}'", f"{folder}/", f"{folder} ")
    return path in code or (inner and any(form in code for form in quoted))


Fault = tuple[Rule, str] | None


def _fault_of_function(test: GeneratedTest, ground: Ground) -> tuple[GeneratedTest, Fault]:
    try:
        parsed = one_function(test.code, test.function, doc=_doc(test))
    except BadSource as error:
        return test, ("V1", str(error))
    test = replace(test, code=parsed.code)
    found = breaches(parsed.function, packages=ground.packages, instruction=ground.instruction)
    if found:
        return test, ("V1", "; ".join(found))
    if not has_substance(parsed.function):
        return test, ("V2", "no assertion depends on anything that is observed")
    return test, None


def _doc(test: GeneratedTest) -> str:
    named = f"{', '.join(test.requirement_ids)}: " if test.requirement_ids else ""
    expected = f" Expected: {test.expected_output}" if test.expected_output else ""
    return " ".join(f"{named}{test.title}.{expected}".split())[:300]


def _fault_of_check(test: GeneratedTest) -> Fault:
    """The same rules for sh, as far as words show them."""
    lines = [line.strip() for line in test.code.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if touches_tripwire(test.code):
        return "V1", "it names a folder that no test may open"
    if all(_NOTHING.search(line) for line in lines):
        return "V2", "nothing of it depends on anything that is observed"
    return None


def _fault_of_source(test: GeneratedTest, ground: Ground) -> Fault:
    """An input that is claimed must be one of the box's."""
    claimed = (test.input_source or SYNTHETIC).partition("@")[0]
    if claimed == SYNTHETIC or claimed in {fact.path for fact in ground.facts}:
        return None
    return "V1", f"{claimed} is no input of this box"


def _fault_of_likeness(test: GeneratedTest, earlier: Sequence[GeneratedTest]) -> Fault:
    shape = shape_of(test.code)
    for other in earlier:
        if other.status == "rejected":
            continue
        same_cells = test.cells == other.cells
        if shape == shape_of(other.code) or (same_cells and alike(test.code, other.code)):
            return "V8", f"it is the same as {other.test_id}"
    return None


def by_id(tests: Iterable[GeneratedTest]) -> Mapping[str, GeneratedTest]:
    """Tests by their ids."""
    return {test.test_id: test for test in tests}
