"""The values that are kept: what they add up to, how they are graded, that they survive JSON."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechagym.records import (
    Outcome,
    Spend,
    TrialKey,
    TrialRecord,
    TryRecord,
    Usage,
    Verdict,
    from_json,
    is_graded,
    new_id,
    now,
    to_json,
)

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
KEY = TrialKey(
    trial_id="t1",
    trial_name="made__abc",
    job_id="j1",
    dataset="",
    task="made",
    task_digest="d1",
    agent="oracle@0.1",
    model=None,
    repeat=0,
)
counts = st.integers(0, 10**9)
usages = st.builds(Usage, **dict.fromkeys(Usage.__dataclass_fields__, counts))
spends = st.builds(Spend, usage=usages, billed_nano=counts, imputed_nano=counts)


def ended(outcome: Outcome, reward: float | None, billed_nano: int = 0) -> TryRecord:
    verdict = None if reward is None else Verdict(rewards={"reward": reward})
    return TryRecord(
        number=1,
        outcome=outcome,
        started_at=AT,
        ended_at=AT,
        verdict=verdict,
        spend=Spend(billed_nano=billed_nano),
    )


@given(spends, spends, spends)
def test_sums_are_exact_in_any_order(a: Spend, b: Spend, c: Spend):
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert a + Spend() == a
    assert (a + b).usage.tokens == a.usage.tokens + b.usage.tokens


def test_searches_are_no_tokens():
    assert Usage(input=1, cache_read=2, output=4, reasoning=8, web_searches=100).tokens == 15


@pytest.mark.parametrize(
    ("rewards", "reward", "passed"),
    [
        ({"reward": 1.0}, 1.0, True),
        ({"reward": 0.999}, 0.999, False),
        ({"reward": 0.0, "style": 1.0}, 0.0, False),
        ({"a": 1.0, "b": 0.5}, 0.75, False),
        ({"a": 1.0, "b": 1.0}, 1.0, True),
    ],
)
def test_the_reward_that_decides(rewards: dict[str, float], reward: float, passed: bool):
    verdict = Verdict(rewards=rewards)
    assert (verdict.reward, verdict.passed) == (reward, passed)


@pytest.mark.parametrize("outcome", Outcome)
def test_nothing_is_graded_without_a_verdict(outcome: Outcome):
    assert not is_graded(outcome, verified=False)
    never = {Outcome.INFRA_ERROR, Outcome.CANCELLED, Outcome.REFUSED}
    assert is_graded(outcome, verified=True) is (outcome not in never)


def test_the_last_try_counts_and_all_are_paid_for():
    tries = (ended(Outcome.INFRA_ERROR, None, 5), ended(Outcome.PASSED, 1.0, 7))
    record = TrialRecord(key=KEY, tries=tries)
    assert (record.outcome, record.reward, record.graded) == (Outcome.PASSED, 1.0, True)
    assert record.spend.billed_nano == 12


def test_what_is_not_graded_has_no_reward_rather_than_0():
    record = TrialRecord(key=KEY, tries=(ended(Outcome.CANCELLED, 0.0),))
    assert (record.reward, record.graded) == (None, False)


def test_a_record_survives_json_and_times_keep_their_zone():
    record = TrialRecord(key=KEY, tries=(ended(Outcome.FAILED, 0.25),))
    again = from_json(TrialRecord, to_json(record))
    assert again == record
    assert again.tries[0].started_at.tzinfo is not None
    assert now().tzinfo is not None


def test_ids_are_their_own():
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(one) == 12 and one.isalnum() for one in ids)
