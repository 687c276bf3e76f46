"""Prompts, as pure functions of `GenerationInput` and what was found in it: the blind rule in code.

What does not change comes first. Everything evolvable that a prompt can show, it shows: weights as
shares, texts as they stand in the config.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mechagym.records.testgen import (
    Category,
    GeneratedTest,
    InputFact,
    Matrix,
    ProhibitedTool,
    Requirement,
    SuiteRunner,
    Tick,
)
from mechagym.testgen.types import GenerationInput

SURVEY_CHARS = 8_000
MOST_CODE_CHARS = 6_000
VARYING = (r"<machine>[\s\S]*?</machine>",)
"""What is told of the host: another in each run, so that a tape overlooks it."""
ANALYST = (
    "You read an instruction for a piece of work that will be done on a machine, and take it apart."
    " You quote word for word; you add nothing that is not there."
)
WRITER = (
    "You write tests for a piece of work before anybody has done it. You know the instruction and"
    " the machine as it is now. A good test fails now, passes on every right solution, and fails on"
    " wrong ones. It demands nothing that the instruction does not."
)
REVIEWER = (
    "You review tests for a piece of work that nobody has done yet. You are strict and brief."
)
_PYTHON = """\
Form: each test is one Python function `test_…`, which may take `tmp_path` and no other argument.
It stands alone: imports and helpers inside. Allowed: the standard library, `pytest.raises`,
`pytest.approx`, `tmp_path`, packages that the machine has. Not allowed: skip, xfail, leaving the
process, the network outside of localhost, writing outside of tmp_path, the folders /tests,
/solution, /oracle and /logs/verifier, sleeping over 5 s, changing pytest or builtins. A test ends
within 10 s, leaves the working directory as it was, and asserts something that it observes."""
_SH = """\
Form: each test is a POSIX sh script (there is no Python on this machine); exit code 0 means that it
passes. It writes only below a folder of mktemp -d that it removes, reaches no network outside of
localhost, never opens /tests, /solution, /oracle or /logs/verifier, and ends within 10 s."""
_FIELDS = """\
For each test: requirement_ids and cells that it shows; expected_source: `stated` (with
expected_quote, word for word from the instruction), `computed` (by independent code in the test),
`observed` (on the machine as it is now) or `assumed` (then it does not count); input_source: the
path of the given input that it reads, or `synthetic`; role: `goal`, or `guard` for something that
holds now and must still hold afterwards (guard_reason says why; at most one test in five)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """What one round is to do."""

    category: Category
    count: int
    exact: int
    runner: SuiteRunner
    requirements: tuple[Requirement, ...]
    matrix: Matrix
    open_cells: tuple[Tick, ...]
    prohibited: tuple[ProhibitedTool, ...]
    only_inputs: bool = False
    gaps: tuple[str, ...] = ()


def analysis_prompt(given: GenerationInput) -> str:
    """Ask for requirements, entities, constraints and ticks."""
    return _joined(
        _instruction(given),
        _machine(given),
        "Split it. requirements (R1, R2, …): each with a quote from the instruction and a kind."
        " entities (E1, …): the things it speaks of. constraints (C1, …): the rules it sets. Each"
        " with a quote and the ids of its requirements. ticks: every entity and constraint where"
        " the constraint applies to the entity; a constraint that applies to two entities is ticked"
        " on both. prohibited: tools that the solution may not use, with the quote that says so.",
    )


def uncovered_prompt(
    given: GenerationInput, requirements: Sequence[Requirement], sentences: Iterable[str]
) -> str:
    """List back what no quote covers."""
    return _joined(
        _instruction(given),
        _requirements(requirements),
        "No requirement covers these sentences:\n" + _list(sentences),
        "Give the requirements that are missing, each with its quote. None: an empty list.",
    )


def round_prompt(given: GenerationInput, brief: Brief) -> str:
    """Ask for tests of one category."""
    config = given.config
    wanted = f"Write {brief.count} tests of the category {brief.category}, not more."
    exact = f"At least {brief.exact} of them state an exact expected value."
    return _joined(
        _instruction(given),
        _machine(given),
        _facts(given.input_facts),
        _prohibited(brief.prohibited),
        _requirements(brief.requirements),
        _PYTHON if brief.runner == "python" else _SH,
        _FIELDS,
        config.category_prompts.get(brief.category, ""),
        _anti_cheat(given, brief) if brief.category == "anti_cheat" else "",
        _so_far(given.tests_so_far),
        _rejected(given.tests_so_far),
        _reflections(given.reflections),
        _cells(brief),
        "Gaps to close:\n" + _list(brief.gaps) if brief.gaps else "",
        "Each test must read one of the given input files and check the result that belongs to it."
        if brief.only_inputs
        else "",
        f"{wanted} {exact if brief.exact else ''}".strip(),
    )


def reflection_prompt(given: GenerationInput, brief: Brief) -> str:
    """Ask what is missing and weak."""
    return _joined(
        _instruction(given),
        _requirements(brief.requirements),
        _cells(brief),
        _so_far(given.tests_so_far),
        _code([test for test in given.tests_so_far if test.category == brief.category]),
        _rejected(given.tests_so_far),
        given.config.reflection_prompt.replace("{category}", brief.category),
    )


def assess_prompt(given: GenerationInput, brief: Brief) -> str:
    """Ask for a rating of the whole."""
    return _joined(
        _instruction(given),
        _requirements(brief.requirements),
        _cells(brief),
        _so_far(given.tests_so_far),
        _code(given.tests_so_far),
        given.config.assess_prompt,
    )


def cross_check_prompt(test: GeneratedTest, given: GenerationInput, quotes: Iterable[str]) -> str:
    """Ask for the expected value of a requirement and its input, the test unseen."""
    path = (test.input_source or "").partition("@")[0]
    facts = [fact for fact in given.input_facts if fact.path == path]
    return _joined(
        "Requirements:\n" + _list(quotes),
        _facts(facts),
        f"What is asked: {test.title}",
        "What is the expected value? Answer with the value alone.",
    )


def _joined(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _instruction(given: GenerationInput) -> str:
    return f"<instruction>\n{given.instruction}\n</instruction>"


def _machine(given: GenerationInput) -> str:
    """The survey, in the share of the room that the config gives to it."""
    room = round(SURVEY_CHARS * given.config.environment_weight)
    if given.survey is None or room <= 0:
        return ""
    return f"<machine>\n{given.survey.text(room)}\n</machine>"


def _facts(facts: Iterable[InputFact]) -> str:
    told = [
        f"{fact.path} ({fact.format}; sha256 {fact.sha256[:8]}): {fact.shape}"
        + (f"\n{fact.sample}" if fact.sample else "")
        for fact in facts
    ]
    return "<inputs>\n" + "\n".join(told) + "\n</inputs>" if told else ""


def _prohibited(tools: Iterable[ProhibitedTool]) -> str:
    words = {True: "is on this machine", False: "is not on this machine", None: "not looked for"}
    told = [f"{tool.name} ({words[tool.found]}): {tool.quote}" for tool in tools]
    return "Prohibited in the solution:\n" + _list(told) if told else ""


def _requirements(requirements: Iterable[Requirement]) -> str:
    told = [f"{one.id} ({one.kind}): {one.quote}" for one in requirements]
    return "Requirements:\n" + "\n".join(told) if told else ""


def _cells(brief: Brief) -> str:
    entities = {entity.id: entity.name for entity in brief.matrix.entities}
    constraints = {constraint.id: constraint.name for constraint in brief.matrix.constraints}
    told = [
        f"{tick.cell}: {entities[tick.entity_id]} × {constraints[tick.constraint_id]}"
        for tick in brief.open_cells
    ]
    return "Cells without a valid test:\n" + _list(told) if told else ""


def _so_far(tests: Iterable[GeneratedTest]) -> str:
    told = [
        f"{test.test_id} {test.category}: {test.title}"
        for test in tests
        if test.status in {"valid", "advisory"}
    ]
    return "Tests so far:\n" + "\n".join(told) if told else ""


def _code(tests: Iterable[GeneratedTest]) -> str:
    text = "\n".join(test.code for test in tests if test.status == "valid")
    return f"<code>\n{text[:MOST_CODE_CHARS]}\n</code>" if text else ""


def _rejected(tests: Iterable[GeneratedTest]) -> str:
    told = [
        f"{test.test_id} {test.title} ({test.reject_rule}): {test.reject_reason}"
        for test in tests
        if test.status in {"rejected", "quarantined"}
    ]
    return "Rejected tests, do not repeat them:\n" + "\n".join(told[-12:]) if told else ""


def _reflections(reflections: Iterable[str]) -> str:
    told = "\n".join(reflections)
    return f"What was found missing:\n{told}" if told else ""


def _anti_cheat(given: GenerationInput, brief: Brief) -> str:
    asked = max(1, round(given.config.max_tests * given.config.anti_cheat_weight))
    names = ", ".join(tool.name for tool in brief.prohibited) or "none named"
    text = given.config.anti_cheat_prompt
    return text.replace("{count}", str(min(asked, brief.count))).replace("{tools}", names)
