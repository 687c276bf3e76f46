"""The retry table: how often, after what wait, and when it is over. The clock is a fake one."""

from typing import Any

import anyio
import pytest

from mechagym.llm.faults import RULES, Fault, FaultKind, kind_of_status
from mechagym.llm.patience import Patience
from mechagym.llm.settings import RetryLimits

pytestmark = pytest.mark.must("llm-17")


def patience(**more: Any) -> Patience:
    parts: dict[str, Any] = {
        "limits": RetryLimits(),
        "left_s": lambda: 10_000.0,
        "reread": lambda: False,
        "uniform": lambda low, high: high,
    }
    return Patience(**(parts | more))


def waits(fault: Fault, **more: Any) -> list[float]:
    """All waits of a call that fails the same way each time."""
    p = patience(**more)
    return list(iter(lambda: anyio.run(p.wait_after, fault), None))


@pytest.mark.parametrize(
    ("kind", "tries"),
    [
        ("rate_limited", 6),
        ("unavailable", 6),
        ("not_sent", 6),
        ("server", 4),
        ("lost", 3),
        ("empty", 3),
        ("undecodable", 2),
        ("unauthorised", 1),
        ("quota", 1),
        ("rejected", 1),
    ],
)
def test_how_often(kind: FaultKind, tries: int):
    assert len(waits(Fault(kind=kind, message=""))) == tries - 1


def test_the_table_is_whole():
    released = {kind for kind, rule in RULES.items() if rule.released}
    assert released == set(RULES) - {"lost", "empty", "undecodable"}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (429, "rate_limited"),
        (503, "unavailable"),
        (529, "unavailable"),
        (500, "server"),
        (502, "server"),
        (504, "server"),
        (408, "server"),
        (409, "server"),
        (401, "unauthorised"),
        (402, "quota"),
        *[(status, "rejected") for status in (400, 403, 404, 413, 422)],
    ],
)
def test_what_a_status_means(status: int, kind: FaultKind):
    assert kind_of_status(status) == kind


def test_waits_double_up_to_the_cap():
    assert waits(Fault(kind="unavailable", message="")) == [1, 2, 4, 8, 16]
    limits = RetryLimits(base_s=10, cap_s=15)
    assert waits(Fault(kind="unavailable", message=""), limits=limits) == [10, 15, 15, 15, 15]


def test_waits_are_spread_from_half_to_whole():
    spans: list[tuple[float, float]] = []

    def low(least: float, most: float) -> float:
        spans.append((least, most))
        return least

    assert waits(Fault(kind="unavailable", message=""), uniform=low) == [0.5, 1, 2, 4, 8]
    assert set(spans) == {(0.5, 1)}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [(0.0, [2, 3, 5, 9, 17]), (7.0, [8, 8, 8, 9, 17]), (60.0, [61, 61, 61, 61])],
)
def test_what_the_provider_asks_is_waited_and_a_little_more(asked: float, expected: list[float]):
    """At 60 s each, a fifth wait would make it more than 300 s in all."""
    assert waits(Fault(kind="rate_limited", message="", retry_after_s=asked)) == expected


def test_nobody_waits_for_more_than_two_minutes():
    assert len(waits(Fault(kind="rate_limited", message="", retry_after_s=120))) == 2
    assert waits(Fault(kind="rate_limited", message="", retry_after_s=120.1)) == []


def test_all_waits_together_have_a_bound():
    limits = RetryLimits(total_s=7)
    assert waits(Fault(kind="unavailable", message=""), limits=limits) == [1, 2, 4]


def test_a_person_may_want_fewer_tries():
    assert waits(Fault(kind="unavailable", message=""), limits=RetryLimits(tries=1)) == []
    assert len(waits(Fault(kind="lost", message=""), limits=RetryLimits(tries=9))) == 2


def test_five_seconds_before_the_deadline_no_try_begins():
    fault = Fault(kind="unavailable", message="")
    left = iter([7.0, 6.9])
    assert waits(fault, left_s=lambda: next(left)) == [1.0], "2 s from 6.9 would leave 4.9"
    assert waits(fault, left_s=lambda: 0.0) == [], "a stop is no time left"


def test_a_provider_that_says_no_is_believed():
    assert waits(Fault(kind="rate_limited", message="", may_retry=False)) == []


def test_another_key_is_tried_at_once_and_once():
    fault = Fault(kind="unauthorised", message="")
    assert waits(fault, reread=lambda: True) == [0.0]
    assert waits(fault, reread=lambda: False) == []
