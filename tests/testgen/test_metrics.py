"""The formulas, by the page's own examples and by counts made by hand."""

import math
from dataclasses import replace
from typing import Any, get_args

import pytest

from mechagym.records.testgen import Category, ProhibitedTool, TestMetrics
from mechagym.testgen import metrics
from mechagym.testgen.metrics import EndState
from tests.testgen.event_examples import TEST


@pytest.mark.must("testgen-16")
def test_the_score_is_the_pages_example():
    assert metrics.score(8, 0.8, 0.9, 0.5) == 760
    assert metrics.score(10, 1, 1, 1) == 1000
    assert metrics.score(1, 0, 0, 0) == 40


@pytest.mark.must("testgen-16")
def test_all_tests_in_one_of_five_categories_are_no_balance():
    assert metrics.balance([7, 0, 0, 0, 0]) == pytest.approx(0)
    assert metrics.balance([2, 2, 2, 2, 2]) == 1
    assert metrics.balance([4]) == 1
    assert metrics.balance([0, 0]) == metrics.balance([0]) == 0


@pytest.mark.must("testgen-16")
def test_ten_points_in_ten_thousand_tokens_are_a_tenth():
    assert metrics.token_efficiency(10, 10_000) == pytest.approx(0.1)
    assert metrics.token_efficiency(10, 10) == 1


@pytest.mark.must("testgen-3")
def test_what_nobody_measured_is_unknown():
    assert metrics.token_efficiency(None, 10) is None
    assert metrics.token_efficiency(8, 0) is None
    for lacking in range(4):
        parts: list[float | None] = [8, 0.8, 0.9, 0.5]
        parts[lacking] = None
        assert metrics.score(*parts) is None
    assert metrics.anti_cheat_coverage([], [], surveyed=False) is None
    assert metrics.anti_cheat_coverage([], [], surveyed=True) == 1
    assert metrics.parameter_discovery(["a"], [], surveyed=False) is None
    assert metrics.mutation_score(0, 0) is None
    assert metrics.distinguishability([(True,)]) is None
    assert metrics.reflection_effectiveness([], 0) is None
    assert metrics.toxicity([]) is None
    assert metrics.selection_gain([]) is None
    assert metrics.false_fail([]).value is None
    values = TestMetrics()
    assert all(getattr(values, name) in (None, ()) for name in TestMetrics.__dataclass_fields__)


def test_prohibited_tools_are_covered_by_valid_anti_cheat_tests_that_name_them():
    tools = [ProhibitedTool(name=name, reason="", quote="") for name in ("R", "Rscript")]
    other: list[Category] = [c for c in get_args(Category) if c != "anti_cheat"]
    assert metrics.anti_cheat_coverage(tools, [_test(code="Rscript")], surveyed=True) == 1
    assert metrics.anti_cheat_coverage(tools, [_test(code="xyz")], surveyed=True) == 0
    wrong = [_test(code="Rscript", category=category) for category in other]
    assert metrics.anti_cheat_coverage(tools, wrong, surveyed=True) == 0


def _test(**changes: Any):
    fields: dict[str, Any] = {"category": "anti_cheat", "status": "valid", "title": "", **changes}
    return replace(TEST, **fields)


@pytest.mark.must("testgen-17")
def test_distinguishability_by_hand():
    found = metrics.distinguishability([(1, 0), (1, 0), (0, 0), (1, 1)])
    assert found is not None
    assert found.pairs == pytest.approx(5 / 6)  # of six pairs one is equal
    assert found.bits == pytest.approx(1.5)
    equal = metrics.distinguishability(["a", "a", "a"])
    assert equal is not None
    assert (equal.pairs, equal.bits) == (0, 0)
    assert metrics.mutation_score(7, 10) == 0.7


STATES = [
    *[EndState(verdict_passed=True, results={"a": True, "b": True})] * 7,
    *[EndState(verdict_passed=True, results={"a": True, "b": False})] * 3,
    *[EndState(verdict_passed=False, results={"a": False, "b": True})] * 8,
    *[EndState(verdict_passed=False, results={"a": True, "b": True})] * 2,
]


@pytest.mark.must("testgen-17")
def test_rates_against_sealed_verdicts_by_hand():
    wrongly_failed, wrongly_passed = metrics.false_fail(STATES), metrics.false_pass(STATES)
    assert (wrongly_failed.count, wrongly_failed.trials) == (3, 10)
    assert (wrongly_passed.count, wrongly_passed.trials) == (2, 10)
    assert wrongly_failed.enough
    assert not metrics.false_fail(STATES[:9]).enough
    low, high = wrongly_failed.interval or (math.nan, math.nan)
    assert low == pytest.approx(0.1078, abs=1e-4)
    assert high == pytest.approx(0.6032, abs=1e-4)
    # b: 7 of 10 right ones pass, all 10 wrong ones do; a: 10 of 10 against 2 of 10
    assert metrics.toxicity(STATES) == 0.5
    only_a = metrics.of_tests(STATES, ["a"])
    assert metrics.false_fail(only_a).count == 0
    assert metrics.false_pass(only_a).count == 2


@pytest.mark.must("testgen-17")
def test_selection_gain_by_hand():
    groups = [
        [STATES[10], STATES[0]],  # the second passes more tests, and is right
        [STATES[10], STATES[10]],  # nobody is right
        [STATES[0], STATES[0]],  # everybody is
    ]
    found = metrics.selection_gain(groups)
    assert found is not None
    assert found.gain == pytest.approx(2 / 3 - 1 / 2)
    assert found.closed == pytest.approx(1)
