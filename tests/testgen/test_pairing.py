"""The lower bound equals the tables, and it accepts what is better and not what is lucky."""

import random

import pytest

from mechagym.testgen.pairing import ALPHA, paired, per_task, t_quantile

pytestmark = pytest.mark.must("testgen-23")


# From the tables of Student's t, to the digits that they give.
@pytest.mark.parametrize(
    ("p", "freedom", "value"),
    [
        (0.95, 1, 6.313751514675),
        (0.975, 1, 12.706204736175),
        (0.95, 2, 2.919985580354),
        (0.95, 7, 1.894578605061),
        (0.99, 7, 2.997951566868),
        (0.95, 30, 1.697260886594),
        (0.95, 100, 1.660234326066),
        (0.5, 9, 0.0),
    ],
)
def test_the_quantile_equals_the_tables(p: float, freedom: int, value: float):
    assert t_quantile(p, freedom) == pytest.approx(value, abs=1e-9)


def test_the_bound_by_hand():
    found = paired([1.0, 2.0, 3.0, 4.0])
    # mean 2.5, s = sqrt(5/3), t(0.95, 3) = 2.353363434801
    assert found.mean == 2.5
    assert found.low == pytest.approx(2.5 - 2.353363434801 * (5 / 3) ** 0.5 / 2, abs=1e-9)
    assert found.high == pytest.approx(2.5 + 2.353363434801 * (5 / 3) ** 0.5 / 2, abs=1e-9)
    assert (found.better, found.tasks, found.alpha) == (True, 4, ALPHA)


@pytest.mark.parametrize(
    ("differences", "better"),
    [
        ([], False),
        ([5.0], False),
        ([5.0] * 4, False),  # 0.5^4 is above 0.05
        ([5.0] * 5, True),
        ([0.1] * 8, True),
        ([0.0] * 50, False),
        ([-1.0] * 50, False),
        ([30.0, -20.0, 10.0, -5.0], False),
    ],
)
def test_where_the_spread_says_nothing_the_number_of_tasks_decides(
    differences: list[float], better: bool
):
    assert paired(differences).better is better


def test_only_tasks_with_both_sides_count():
    new = {"a": [4.0, 6.0], "b": [1.0], "c": []}
    old = {"a": [1.0], "c": [2.0]}
    assert per_task(new, old) == {"a": 4.0}


def test_null_changes_are_accepted_no_more_often_than_alpha():
    chance = random.Random(7)
    rounds = 4_000
    taken = sum(paired([chance.gauss(0, 100) for _ in range(8)]).better for _ in range(rounds))
    assert taken / rounds <= 0.062  # 0.05, and three standard errors
    assert taken / rounds >= 0.03  # the check can fail
