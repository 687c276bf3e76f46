"""Two jobs side by side: what is shared, what flipped, what it cost, what cannot be compared."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest

from mechagym.errors import ConfigError
from mechagym.records import (
    BoxInfo,
    Outcome,
    Spend,
    TrialKey,
    TrialRecord,
    TryRecord,
    Usage,
    Verdict,
)
from mechagym.run.compare import compare
from mechagym.run.statistics import bootstrap, mcnemar, wilson

AT = datetime(2026, 1, 2, tzinfo=UTC)
Fidelity = Literal["exact", "approximate"]
COST = Spend(usage=Usage(input=100), billed_nano=500_000_000)


def trial(
    task: str,
    reward: float | None,
    *,
    digest: str = "d1",
    fidelity: Fidelity = "exact",
    outcome: Outcome | None = None,
) -> TrialRecord:
    passed = reward is not None and reward >= 1
    ended = Outcome.INFRA_ERROR if reward is None else Outcome.PASSED if passed else Outcome.FAILED
    key = TrialKey(
        trial_id="t",
        trial_name="t",
        job_id="j",
        dataset="ds",
        task=task,
        task_digest=digest,
        agent="x@1",
        model=None,
        repeat=0,
    )
    end = TryRecord(
        number=1,
        outcome=outcome or ended,
        started_at=AT,
        ended_at=AT + timedelta(seconds=10),
        box=BoxInfo(backend="memory", box_id="b", image="i", fidelity=fidelity),
        verdict=None if reward is None else Verdict(rewards={"reward": reward}),
        spend=COST,
    )
    return TrialRecord(key=key, tries=(end,))


def side(**tasks: float | Sequence[float | None] | None) -> list[TrialRecord]:
    return [
        trial(task, reward)
        for task, rewards in tasks.items()
        for reward in (rewards if isinstance(rewards, Sequence) else [rewards])
    ]


def test_flips_come_first_then_the_larger_change():
    a = side(won=0, lost=1, worse=[1, 1], better=[0, 1], same=1, gone=None)
    b = side(won=1, lost=0, worse=[0, 1], better=[1, 1], same=1, gone=0)
    found = compare(a, b)
    assert [(row.task, row.change) for row in found.rows] == [
        ("ds/lost", "lost"),
        ("ds/won", "gained"),
        ("ds/worse", "worse"),
        ("ds/better", "better"),
        ("ds/gone", "unknown"),
        ("ds/same", "same"),
    ]
    assert found.flaky == ("ds/better", "ds/worse")


def test_single_trials_get_the_exact_paired_test():
    a = side(**{f"t{i}": int(i < 4) for i in range(10)})
    b = side(**{f"t{i}": int(i < 9) for i in range(10)})
    found = compare(a, b)
    assert found.p_value == mcnemar(0, 5)
    assert found.difference is not None
    assert found.difference.mean == pytest.approx(0.5)
    assert found.difference.interval == bootstrap([0.0] * 4 + [1.0] * 5 + [0.0])
    assert found.a.score is not None
    assert found.a.score.interval == wilson(4, 10)


def test_repeats_get_no_p_value():
    assert compare(side(one=[1, 0]), side(one=[1, 1])).p_value is None


def test_only_shared_tasks_count_and_the_others_are_named():
    found = compare(side(both=1, left=0), side(both=1, right=0))
    assert (found.only_a, found.only_b) == (("ds/left",), ("ds/right",))
    assert (found.a.trials, found.b.trials) == (1, 1)
    assert [row.task for row in found.rows] == ["ds/both"]


def test_the_ungraded_are_counted_beside_the_mean():
    found = compare(side(one=[1, None], two=0), side(one=1, two=None))
    assert found.a.score is not None
    assert (found.a.score.mean, found.a.graded, found.a.trials) == (0.5, 2, 3)
    assert (found.a.ungraded, found.b.ungraded) == ({Outcome.INFRA_ERROR: 1},) * 2
    assert found.difference is not None
    assert found.difference.tasks == 1, "a task without a graded trial is not a zero"


def test_an_agent_that_timed_out_on_finished_work_passed_its_tests():
    late = trial("one", 1.0, outcome=Outcome.TIMED_OUT)
    assert compare([late], side(one=1)).a.passes == 1


def test_cost_tokens_and_time_are_per_pass_and_of_all_tries():
    once = trial("one", 1.0)
    twice = replace(once, tries=(trial("one", None).tries[0], once.tries[0]))
    found = compare([twice, trial("two", 0.0)], side(one=0, two=0))
    assert (found.a.cost_usd, found.a.tokens, found.a.seconds) == (1.5, 300, 30.0)
    assert (found.a.cost_per_pass, found.a.tokens_per_pass) == (1.5, 300)
    assert found.a.seconds_per_pass == 30.0
    assert (found.b.cost_per_pass, found.b.tokens_per_pass, found.b.seconds_per_pass) == (None,) * 3


@pytest.mark.must("trials-13")
@pytest.mark.parametrize("where", ["between", "within"])
def test_two_versions_of_a_task_are_never_averaged(where: str):
    old, new = trial("moved", 1.0, digest="d1"), trial("moved", 1.0, digest="d2")
    a, b = ([old], [new]) if where == "between" else ([old, new], [new])
    with pytest.raises(ConfigError, match="ds/moved") as caught:
        compare([*a, *side(still=1)], [*b, *side(still=1)])
    assert caught.value.reason == "mixed_digests"
    assert "ds/still" not in caught.value.message


def test_a_changed_task_that_is_not_shared_stands_in_nobodys_way():
    compare([*side(both=1), trial("a", 1.0, digest="x")], side(both=1, b=1))


def test_an_approximate_base_is_compared_only_when_asked():
    a, b = [trial("one", 1.0)], [trial("one", 0.0, fidelity="approximate")]
    with pytest.raises(ConfigError, match="ds/one") as caught:
        compare(a, b)
    assert caught.value.reason == "mixed_fidelity"
    assert compare(a, b, approximate=True).rows[0].change == "lost"
    assert compare(b, b).rows[0].change == "same"


def test_many_names_are_cut():
    a = [trial(f"t{i:02}", 1.0, digest="d1") for i in range(20)]
    b = [trial(f"t{i:02}", 1.0, digest="d2") for i in range(20)]
    with pytest.raises(ConfigError, match="and 12 more"):
        compare(a, b)


def test_nothing_shared_is_said():
    with pytest.raises(ConfigError, match="no task in common"):
        compare(side(one=1), [])
    pending = replace(trial("one", 1.0), tries=())
    with pytest.raises(ConfigError, match="no task in common"):
        compare(side(one=1), [pending])
