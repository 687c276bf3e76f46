"""Whether a suite is ready, and what is still open. Pure."""

from collections.abc import Iterable, Sequence

from mechagym.records.testgen import Category, GeneratedTest, InputFact, Matrix, Tick
from mechagym.testgen.limits import Quota
from mechagym.testgen.proposals import touches


def valid_in(tests: Iterable[GeneratedTest], category: Category) -> int:
    """How many valid tests a category has."""
    return sum(test.status == "valid" and test.category == category for test in tests)


def open_cells(matrix: Matrix, tests: Iterable[GeneratedTest]) -> tuple[Tick, ...]:
    """The ticks without a valid test."""
    shown = {cell for test in tests if test.status == "valid" for cell in test.cells}
    return tuple(tick for tick in matrix.ticks if tick.cell not in shown)


def inputs_unused(facts: Sequence[InputFact], tests: Iterable[GeneratedTest], workdir: str) -> bool:
    """Whether there are inputs and no valid correctness test touches one."""
    return bool(facts) and not any(
        touches(test.code, fact.path, workdir)
        for test in tests
        if test.status == "valid" and test.category == "correctness"
        for fact in facts
    )


def unready(
    tests: Sequence[GeneratedTest],
    matrix: Matrix,
    facts: Sequence[InputFact],
    *,
    quota: Quota,
    workdir: str = "/",
) -> tuple[str, ...]:
    """Why the suite is not ready, a sentence each; empty: it is."""
    reasons = [
        f"{category}: {have} of {quota.category_min} valid tests"
        for category in quota.categories
        if (have := valid_in(tests, category)) < quota.category_min
    ]
    if not matrix.ticks:
        reasons.append("no matrix: nothing says what is to be tested")
    reasons += [f"{tick.cell} has no valid test" for tick in open_cells(matrix, tests)]
    if "correctness" in quota.categories and inputs_unused(facts, tests, workdir):
        reasons.append("inputs_unused: no valid correctness test touches a given input")
    return tuple(reasons)
