"""The numbers beside a mean, against reference values of scipy 1.17 and statsmodels 0.15.

The bootstrap's are those of `scipy.stats.bootstrap(method="percentile")` given the same resamples.
"""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mechagym.run.statistics import (
    Interval,
    bootstrap,
    difference,
    estimate,
    mcnemar,
    mean_pass_at_k,
    pass_at_k,
    wilson,
)

SEVEN = [0.0, 1.0, 0.6, 0.2, 1.0, 0.8, 0.4]


def shares(count: int) -> list[float]:
    draw = random.Random(5)
    return [round(draw.random() * 5) / 5 for _ in range(count)]


@pytest.mark.must("trials-13")
@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        (SEVEN, 0.28571428571428575, 0.8285714285714285),
        (shares(89), 0.449438202247191, 0.5910112359550561),
        ([-0.4, 0.2, 0.0, 1.0, 0.6, -0.2, 0.0, 0.2], -0.1, 0.47500000000000003),
    ],
)
def test_bootstrap(values: list[float], low: float, high: float):
    assert bootstrap(values) == pytest.approx(Interval(low, high), abs=1e-6, rel=0)


@pytest.mark.must("trials-13")
def test_bootstrap_of_another_level():
    wanted = (0.34285714285714286, 0.7999999999999999)
    assert bootstrap(SEVEN, level=0.9, resamples=999, seed=7) == pytest.approx(
        wanted, abs=1e-6, rel=0
    )


@pytest.mark.must("trials-13")
@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (0, 10, 0.0, 0.27753279986288926),
        (7, 10, 0.39677814746114537, 0.8922087325936989),
        (10, 10, 0.7224672001371106, 1.0),
        (61, 89, 0.5829550301758069, 0.7724896215905266),
        (1, 1, 0.2065493143772374, 1.0),
        (412, 500, 0.78818582871064, 0.854873598670274),
    ],
)
def test_wilson(successes: int, trials: int, low: float, high: float):
    assert wilson(successes, trials) == pytest.approx(Interval(low, high), abs=1e-6, rel=0)


@pytest.mark.must("trials-13")
def test_wilson_of_another_level():
    wanted = (0.44169979586983493, 0.873123416096802)
    assert wilson(7, 10, level=0.9) == pytest.approx(wanted, abs=1e-6, rel=0)
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.must("trials-13")
@pytest.mark.parametrize(
    ("only_a", "only_b", "p"),
    [
        (0, 0, 1.0),
        (1, 0, 1.0),
        (5, 1, 0.21875),
        (2, 9, 0.0654296875),
        (30, 12, 0.007915897334896727),
        (400, 300, 0.0001784763144856244),
    ],
)
def test_mcnemar(only_a: int, only_b: int, p: float):
    assert mcnemar(only_a, only_b) == pytest.approx(p, abs=1e-6, rel=0)
    assert mcnemar(only_b, only_a) == mcnemar(only_a, only_b)


@pytest.mark.must("trials-13")
@pytest.mark.parametrize(
    ("trials", "passes", "k", "share"),
    [
        (5, 0, 1, 0.0),
        (5, 2, 1, 0.4),
        (5, 2, 3, 0.9),
        (10, 3, 5, 0.9166666666666666),
        (200, 7, 100, 0.9929911172418123),
        (5, 5, 5, 1.0),
        (5, 3, 3, 1.0),
    ],
)
def test_pass_at_k(trials: int, passes: int, k: int, share: float):
    assert pass_at_k(trials, passes, k) == pytest.approx(share, abs=1e-6, rel=0)


@pytest.mark.parametrize("k", [0, 6])
def test_pass_at_k_needs_k_trials(k: int):
    with pytest.raises(ValueError, match=f"pass@{k}"):
        pass_at_k(5, 2, k)


def test_pass_at_k_over_tasks_is_said_only_where_every_task_has_k_trials():
    counts = [(5, 2), (5, 5), (4, 0)]
    assert mean_pass_at_k(counts, 1) == pytest.approx(1.4 / 3)
    assert mean_pass_at_k(counts, 5) is None
    assert mean_pass_at_k([], 1) is None


def test_one_trial_a_task_is_wilson():
    found = estimate([[1.0]] * 7 + [[0.0]] * 3)
    assert found is not None
    assert (found.mean, found.method, found.interval) == (0.7, "wilson", wilson(7, 10))


def test_repeats_are_resampled_by_task():
    groups = [[1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [1.0, 0.0, 0.0, 1.0]]
    found = estimate(groups)
    assert found is not None
    assert (found.mean, found.method, found.tasks, found.trials) == (0.5, "bootstrap", 4, 10)
    assert found.interval == bootstrap([0.5, 1.0, 0.0, 0.5])


def test_a_task_weighs_the_same_however_many_trials_were_graded():
    found = estimate([[1.0], [0.0, 0.0, 0.0, 0.0]])
    assert found is not None
    assert found.mean == 0.5


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_where_nothing_varies_certainty_is_not_claimed(score: float):
    found = estimate([[score] * 5] * 4)
    assert found is not None
    assert (found.mean, found.method) == (score, "wilson")
    assert found.interval == wilson(4 * int(score), 4)


def test_a_single_task_is_judged_by_its_trials():
    found = estimate([[1.0, 0.0, 1.0]])
    assert found is not None
    assert (found.interval, found.tasks, found.trials) == (wilson(2, 3), 1, 3)


def test_a_task_without_a_graded_trial_is_not_a_zero():
    found = estimate([[1.0], [], [1.0]])
    assert found is not None
    assert (found.mean, found.tasks) == (1.0, 2)
    assert estimate([[], []]) is None
    assert estimate([]) is None


def test_the_difference_is_paired_by_task():
    a = [[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], []]
    b = [[1.0, 0.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]
    found = difference(a, b)
    assert found is not None
    assert found.mean == pytest.approx(1 / 3)
    assert (found.tasks, found.trials) == (3, 12)
    assert found.interval == bootstrap([0.5, 0.0, 0.5])
    assert difference([[]], [[1.0]]) is None


@settings(max_examples=25)
@given(st.lists(st.lists(st.sampled_from([0.0, 0.25, 1.0]), max_size=4), max_size=6))
def test_an_interval_holds_its_mean_and_is_the_same_twice(groups: list[list[float]]):
    found = estimate(groups)
    if found is not None:
        assert found == estimate(groups)
        assert 0.0 <= found.interval.low <= found.mean + 1e-12
        assert found.mean - 1e-12 <= found.interval.high <= 1.0
