"""The measures of a suite, as formulas over counts. What nobody measured is None, never a default.

No decision rests on the score alone: one number invites its own gaming.
"""

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pvariance

from mechagym.records.testgen import (
    Category,
    GeneratedTest,
    Matrix,
    ProhibitedTool,
    Requirement,
    Share,
)

Z95 = 1.959963984540054
ENOUGH = 10
"""Trials on a side, below which a rate of a calibration is not told."""


def score(
    comprehensiveness: float | None,
    balance_: float | None,
    anti_cheat: float | None,
    efficiency: float | None,
) -> int | None:
    """0 to 1000; unknown where one part is."""
    if comprehensiveness is None or balance_ is None or anti_cheat is None or efficiency is None:
        return None
    total = 40 * comprehensiveness + 200 * balance_ + 200 * anti_cheat + 200 * efficiency
    return max(0, min(1000, round(total)))


def balance(counts: Sequence[int]) -> float:
    """How evenly valid tests are spread over the categories: 1 evenly, 0 all in one, or none."""
    total = sum(counts)
    if total == 0:
        return 0.0
    if len(counts) == 1:
        return 1.0
    ideal = total / len(counts)
    return 1 - pvariance(counts) / (ideal**2 * (len(counts) - 1))


def token_efficiency(comprehensiveness: float | None, tokens: int) -> float | None:
    """Points of comprehensiveness per 1,000 tokens, a tenth of them."""
    if comprehensiveness is None or tokens <= 0:
        return None
    return min(1.0, comprehensiveness / tokens * 1000 / 10)


def anti_cheat_coverage(
    tools: Iterable[ProhibitedTool], tests: Iterable[GeneratedTest], *, surveyed: bool
) -> float | None:
    """Prohibited tools that a valid anti-cheat test names; unknown without a survey."""
    if not surveyed:
        return None
    named = " ".join(
        f"{test.title} {test.code}" for test in _valid(tests) if test.category == "anti_cheat"
    ).lower()
    names = [tool.name.lower() for tool in tools]
    return fmean(name in named for name in names) if names else 1.0


def parameter_discovery(
    names: Iterable[str], tests: Iterable[GeneratedTest], *, surveyed: bool
) -> float | None:
    """Identifiers of previews that a valid test mentions; 1 if there are none."""
    if not surveyed:
        return None
    wanted = set(names)
    code = " ".join(test.code for test in _valid(tests))
    return fmean(name in code for name in wanted) if wanted else 1.0


def reflection_effectiveness(rounds: Sequence[int], refinements: int) -> float | None:
    """How much came of thinking again: rounds per category, and refinements."""
    if not rounds:
        return None
    again = max(0.0, min(1.0, (fmean(rounds) - 1) / 2))
    return (again + min(refinements / 5, 1.0)) / 2


def requirement_shares(
    requirements: Iterable[Requirement], tests: Iterable[GeneratedTest]
) -> tuple[Share, ...]:
    """Covered of all requirements, per kind."""
    covered = {name for test in _valid(tests) for name in test.requirement_ids}
    kinds: dict[str, list[bool]] = {}
    for requirement in requirements:
        kinds.setdefault(requirement.kind, []).append(requirement.id in covered)
    return tuple(Share(name=kind, count=sum(c), total=len(c)) for kind, c in sorted(kinds.items()))


def cell_share(matrix: Matrix, tests: Iterable[GeneratedTest]) -> Share:
    """Ticks that a valid test shows, of all ticks."""
    shown = {cell for test in _valid(tests) for cell in test.cells}
    cells = [tick.cell for tick in matrix.ticks]
    return Share(name="cells", count=sum(cell in shown for cell in cells), total=len(cells))


def category_shares(
    tests: Sequence[GeneratedTest], categories: Iterable[Category]
) -> tuple[Share, ...]:
    """Valid of proposed tests, per category."""
    return tuple(
        Share(
            name=category,
            count=sum(test.category == category for test in _valid(tests)),
            total=sum(test.category == category for test in tests),
        )
        for category in categories
    )


def rule_shares(tests: Sequence[GeneratedTest]) -> tuple[Share, ...]:
    """Tests that a rule took out, of all that were proposed."""
    rules = Counter(
        test.reject_rule for test in tests if test.status != "valid" and test.reject_rule
    )
    return tuple(Share(name=rule, count=n, total=len(tests)) for rule, n in sorted(rules.items()))


def total_of(shares: Iterable[Share]) -> float | None:
    """All counts over all totals; None where there is nothing to count."""
    listed = list(shares)
    total = sum(share.total for share in listed)
    return sum(share.count for share in listed) / total if total else None


def _valid(tests: Iterable[GeneratedTest]) -> list[GeneratedTest]:
    return [test for test in tests if test.status == "valid"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Distinguishing:
    """How well a suite tells candidates apart; `pairs` 0 means: do not select by tests."""

    pairs: float
    bits: float


def distinguishability(vectors: Sequence[Hashable]) -> Distinguishing | None:
    """Share of pairs of candidates with different results, and the entropy of the results."""
    if len(vectors) < 2:
        return None
    counts = Counter(vectors).values()
    n = len(vectors)
    same = sum(count * (count - 1) / 2 for count in counts)
    bits = -sum(count / n * math.log2(count / n) for count in counts)
    return Distinguishing(pairs=1 - same / (n * (n - 1) / 2), bits=abs(bits))


def mutation_score(killed: int, made: int) -> float | None:
    """Killed of made mutants."""
    return killed / made if made else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A count of trials with its 95 % interval (Wilson)."""

    count: int
    trials: int

    @property
    def value(self) -> float | None:
        """None where there were no trials."""
        return self.count / self.trials if self.trials else None

    @property
    def enough(self) -> bool:
        """Whether there is enough data to tell it."""
        return self.trials >= ENOUGH

    @property
    def interval(self) -> tuple[float, float] | None:
        """Low and high."""
        if not self.trials:
            return None
        p, n, z2 = self.count / self.trials, self.trials, Z95**2
        middle = (p + z2 / (2 * n)) / (1 + z2 / n)
        half = Z95 / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
        return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndState:
    """A sealed trial: what its verdict said, and how each test did on its end state."""

    verdict_passed: bool
    results: Mapping[str, bool]

    @property
    def suite_passed(self) -> bool:
        """Whether all tests passed."""
        return bool(self.results) and all(self.results.values())


def false_fail(states: Iterable[EndState]) -> Rate:
    """Verdict-passed trials that the suite fails."""
    right = [state for state in states if state.verdict_passed]
    return Rate(count=sum(not state.suite_passed for state in right), trials=len(right))


def false_pass(states: Iterable[EndState]) -> Rate:
    """Verdict-failed trials that the suite passes."""
    wrong = [state for state in states if not state.verdict_passed]
    return Rate(count=sum(state.suite_passed for state in wrong), trials=len(wrong))


def of_tests(states: Iterable[EndState], tests: Iterable[str]) -> list[EndState]:
    """The same trials as only these tests saw them: for rates per category and per test."""
    wanted = set(tests)
    return [
        EndState(
            verdict_passed=state.verdict_passed,
            results={name: ok for name, ok in state.results.items() if name in wanted},
        )
        for state in states
    ]


def toxicity(states: Sequence[EndState]) -> float | None:
    """Share of tests that wrong work passes more often than right work does."""
    right = [state.results for state in states if state.verdict_passed]
    wrong = [state.results for state in states if not state.verdict_passed]
    names = {name for state in states for name in state.results}
    if not right or not wrong or not names:
        return None
    return fmean(_rate(wrong, name) > _rate(right, name) for name in names)


def _rate(results: Sequence[Mapping[str, bool]], name: str) -> float:
    return fmean(result.get(name, False) for result in results)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """What picking by the suite brings over picking blindly; `closed` of the gap to the best."""

    gain: float
    closed: float | None


def selection_gain(groups: Iterable[Sequence[EndState]]) -> Gain | None:
    """Over groups of candidates for the same work; the first of the best is picked."""
    listed = [group for group in groups if group]
    if not listed:
        return None
    mean = fmean(fmean(state.verdict_passed for state in group) for group in listed)
    picked = fmean(
        max(group, key=lambda state: sum(state.results.values())).verdict_passed for group in listed
    )
    best = fmean(any(state.verdict_passed for state in group) for group in listed)
    closed = (picked - mean) / (best - mean) if best > mean else None
    return Gain(gain=picked - mean, closed=closed)
