"""How suites compare with sealed verdicts: counts over end states, and nothing that flows back.

A trial is looked at once its verdict is sealed, in a box made from what it left. Names of tests and
what they expected stay here; what is kept are counts.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal

from mechagym.events import TestgenCalibrated
from mechagym.events.testgen import CalibrationCount
from mechagym.records.reports import TestReport
from mechagym.sandbox.base import Box
from mechagym.testgen.metrics import (
    EndState,
    Gain,
    Rate,
    false_fail,
    false_pass,
    of_tests,
    selection_gain,
    toxicity,
)
from mechagym.testgen.running import aside
from mechagym.testgen.suite import counted
from mechagym.testgen.types import TestSuite

ALL = "all"
ENOUGH_STATES = 30
"""So many sealed end states make agreement with verdicts the basis of accepting a config."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A trial whose verdict stands; `open_end_state` opens a box of ours with what it left."""

    trial_id: str
    task_id: str
    verdict_passed: bool
    open_end_state: Callable[[], AbstractAsyncContextManager[Box]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """How the suite of a task did on one end state."""

    task_id: str
    state: EndState


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Rates over all tasks, for all tests and for each category."""

    seen: tuple[Seen, ...]
    false_fail: Mapping[str, Rate]
    false_pass: Mapping[str, Rate]
    toxic: Rate
    gain: Gain | None

    def event(self, config_digest: str, job_id: str) -> TestgenCalibrated:
        """What is kept of it."""
        counts = [
            *_counts("false_fail", self.false_fail),
            *_counts("false_pass", self.false_pass),
        ]
        toxic = CalibrationCount(
            category=ALL, metric="toxicity", successes=self.toxic.count, trials=self.toxic.trials
        )
        return TestgenCalibrated(
            config_digest=config_digest, job_id=job_id, counts=(*counts, toxic)
        )


def _counts(
    metric: Literal["false_fail", "false_pass"], rates: Mapping[str, Rate]
) -> list[CalibrationCount]:
    return [
        CalibrationCount(category=name, metric=metric, successes=rate.count, trials=rate.trials)
        for name, rate in rates.items()
    ]


RunSuite = Callable[[TestSuite, Box], Awaitable[TestReport]]


async def look_at(sealed: Sealed, suite: TestSuite, run: RunSuite) -> Seen:
    """Run the suite of its task on a fork of an end state. Raises SandboxError."""
    async with sealed.open_end_state() as box, aside(box) as fork:
        report = await run(suite, fork)
    passed = {case.name: case.status == "passed" for case in report.tests}
    results = {test.function: passed.get(test.function, False) for test in counted(suite)}
    state = EndState(verdict_passed=sealed.verdict_passed, results=results)
    return Seen(task_id=sealed.task_id, state=state)


def calibration(seen: Sequence[Seen], suites: Mapping[str, TestSuite]) -> Calibration:
    """Count over all tasks; each end state is held against the suite of its own task."""
    categories = sorted({test.category for suite in suites.values() for test in counted(suite)})
    failing, passing = {}, {}
    for category in (ALL, *categories):
        states = [state for one in seen for state in _of_category(one, suites, category)]
        failing[category], passing[category] = false_fail(states), false_pass(states)
    by_task: dict[str, list[EndState]] = defaultdict(list)
    for one in seen:
        by_task[one.task_id].append(one.state)
    return Calibration(
        seen=tuple(seen),
        false_fail=failing,
        false_pass=passing,
        toxic=_toxic(by_task.values()),
        gain=selection_gain(by_task.values()),
    )


def agreement(states: Sequence[EndState]) -> float | None:
    """Half of each side's share that suite and verdict agree on; a side without trials is left out.

    None where there is no trial at all.
    """
    rates = [rate.value for rate in (false_fail(states), false_pass(states))]
    known = [1 - rate for rate in rates if rate is not None]
    return sum(known) / len(known) if known else None


def _of_category(one: Seen, suites: Mapping[str, TestSuite], category: str) -> Iterable[EndState]:
    if category == ALL:
        return (one.state,)
    tests = [t.function for t in counted(suites[one.task_id]) if t.category == category]
    return of_tests([one.state], tests) if tests else ()


def _toxic(groups: Iterable[Sequence[EndState]]) -> Rate:
    """Tests that wrong work passes more often than right work, of those that both sides met."""
    toxic = total = 0
    for states in groups:
        if (share := toxicity(states)) is not None:
            tests = len({name for state in states for name in state.results})
            toxic, total = toxic + round(share * tests), total + tests
    return Rate(count=toxic, trials=total)
