"""Evolution on simulated tasks of known truth: what is better is found, luck is not taken."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from mechagym.errors import ConfigError
from mechagym.events import (
    EventBody,
    TestgenConfigAccepted,
    TestgenConfigSaved,
    TestgenProposal,
)
from mechagym.testgen.evolution import Basis, Contender, Course, Evolution
from mechagym.testgen.meta import Proposed
from mechagym.testgen.types import TestGenConfig

pytestmark = pytest.mark.must("testgen-23")

START = Contender(config=TestGenConfig(), version="1.0.0")
TASKS = tuple(f"t{number}" for number in range(1, 9))
WARMER = Proposed(kind="update_params", changes={"temperature": 0.4}, reasoning="warmer")


def drawn(chance: random.Random, spread: float) -> Callable[[Contender, str], float]:
    """A score that depends on the task, not on the config."""
    ease = {task: chance.uniform(200, 800) for task in TASKS}
    return lambda _contender, task: ease[task] + chance.gauss(0, spread)


@dataclass
class Simulation:
    """A bench without boxes: `worth` is the truth with its noise."""

    worth: Callable[[Contender, str], float | None]
    proposals: Sequence[Proposed] = (WARMER,)
    basis: Basis = "internal"
    refused: Mapping[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str, int]] = field(default_factory=list)
    proposed: int = 0

    async def measure(self, contender: Contender, task: str, repetition: int) -> float | None:
        self.asked.append((contender.version, task, repetition))
        return self.worth(contender, task)

    async def propose(self, current: Contender) -> Proposed:
        self.proposed += 1
        return self.proposals[(self.proposed - 1) % len(self.proposals)]

    def refusal(self, text: str) -> str | None:
        return next((rule for word, rule in self.refused.items() if word in text), None)


async def evolved(bench: Simulation, **course: Any) -> tuple[Contender, str, list[EventBody]]:
    told: list[EventBody] = []
    settings: dict[str, Any] = {"tasks": TASKS, "max_runs": 40}
    evolution = Evolution(bench=bench, course=Course(**(settings | course)), emit=told.append)
    contender, ended = await evolution.run(START)
    assert evolution.runs <= (settings | course)["max_runs"]
    return contender, ended, told


def proposals_in(told: Sequence[EventBody]) -> list[TestgenProposal]:
    return [body for body in told if isinstance(body, TestgenProposal)]


async def test_a_change_that_helps_everywhere_is_accepted_and_told():
    chance = random.Random(1)
    base = drawn(chance, 10)

    def worth(contender: Contender, task: str) -> float:
        return base(contender, task) + (60 if contender.config.temperature > 0.35 else 0)

    bench = Simulation(worth)
    contender, ended, told = await evolved(bench)
    assert (contender.config.temperature, contender.version, ended) == (0.4, "1.0.1", "max_runs")
    opened, decided = proposals_in(told)
    assert (opened.accepted, decided.accepted, decided.basis) == (None, True, "internal")
    assert decided.low is not None
    assert 0 < decided.low < 60 < (decided.high or 0) + 10
    [accepted] = [body for body in told if isinstance(body, TestgenConfigAccepted)]
    assert (accepted.digest, accepted.parent_digest) == (contender.digest, START.digest)
    saved = [body.digest for body in told if isinstance(body, TestgenConfigSaved)]
    assert saved == [START.digest, contender.digest], "known before the first run under it"


async def test_what_changes_nothing_is_rarely_accepted_however_often_it_is_tried():
    taken = tried = 0
    for seed in range(150):
        bench = Simulation(drawn(random.Random(seed), 80))
        _, _, told = await evolved(bench)
        decided = [body for body in proposals_in(told) if body.accepted is not None]
        tried += len(decided)
        taken += sum(bool(body.accepted) for body in decided)
    assert tried == 150
    assert taken / tried <= 0.10  # 0.05, and three standard errors


async def test_a_higher_mean_alone_is_not_enough():
    """Better on one task by far, worse on the others: the mean rises, the bound does not."""

    def worth(contender: Contender, task: str) -> float:
        if contender.version == "1.0.0":
            return 500.0
        return 900.0 if task == "t1" else 480.0

    contender, _, told = await evolved(Simulation(worth))
    decided = proposals_in(told)[-1]
    assert (decided.actual_improvement or 0) > 0
    assert decided.accepted is False
    assert contender is START


async def test_both_sides_run_the_same_tasks_as_often_and_by_turns():
    bench = Simulation(lambda _c, _t: 1.0)
    await evolved(bench, max_runs=37)
    looked, compared = bench.asked[:5], bench.asked[5:]
    assert [task for _, task, _ in looked] == list(TASKS[:5]), "round robin"
    sides = {v: [(t, r) for version, t, r in compared if version == v] for v in ("1.0.0", "1.0.1")}
    assert sorted(sides["1.0.0"]) == sorted(sides["1.0.1"])
    assert sorted(sides["1.0.0"]) == sorted((task, r) for task in TASKS for r in (0, 1))
    versions = [version for version, _, _ in compared]
    assert all(len(set(versions[n : n + 2])) == 2 for n in range(0, len(versions), 2))
    assert versions[0] != versions[2], "who is first alternates"


async def test_a_task_of_the_hold_out_is_refused():
    with pytest.raises(ConfigError, match="t3") as refusal:
        Course(tasks=TASKS, holdout=frozenset({"t3"}))
    assert "hold-out" in refusal.value.message
    bench = Simulation(lambda _c, _t: 1.0)
    await evolved(bench, holdout=frozenset({"h1"}))
    assert {task for _, task, _ in bench.asked} <= set(TASKS)


@pytest.mark.must("testgen-21")
async def test_a_clamped_proposal_is_recorded_and_goes_on():
    changes = {"temperature": 0.9, "color": "red", "reflection_prompt": "x"}
    bench = Simulation(lambda _c, _t: 1.0, [Proposed(kind="update_params", changes=changes)])
    _, _, told = await evolved(bench)
    opened, decided = proposals_in(told)
    assert opened.changes == changes
    assert [clamp.partition(":")[0] for clamp in opened.clamps] == list(changes)
    assert decided.clamps == opened.clamps
    assert decided.accepted is False, "measured, and no better"


async def test_a_text_with_a_leak_is_refused_by_rule_and_not_told():
    text = "Name gaps of {category}, as in regex-log."
    bench = Simulation(
        lambda _c, _t: 1.0,
        [Proposed(kind="update_prompts", changes={"reflection_prompt": text}, reasoning=text)],
        refused={"regex-log": "task_id"},
    )
    contender, _, told = await evolved(bench, max_runs=38)
    assert contender is START
    assert next(body.clamps for body in proposals_in(told)) == (
        "reflection_prompt: refused by task_id",
    )
    assert not any("regex-log" in str(body) for body in told)
    assert len(bench.asked) == 5, "nothing is run for it"


async def test_proposals_that_change_nothing_end_too():
    bench = Simulation(lambda _c, _t: 1.0, [Proposed(kind="keep")])
    contender, ended, told = await evolved(bench, max_runs=60)
    assert (contender, ended) == (START, "max_runs")
    assert bench.proposed == 60 - 5 - 31
    assert all(body.accepted is False for body in proposals_in(told))


async def test_what_was_tried_is_not_paid_for_again():
    bench = Simulation(lambda _c, _t: 1.0)
    _, _, told = await evolved(bench, max_runs=5 + 2 * 32 + 3)
    assert len(bench.asked) == 5 + 32
    assert [body.accepted for body in proposals_in(told)][:3] == [None, False, False]


async def test_what_could_not_be_measured_counts_for_neither_side():
    def worth(contender: Contender, task: str) -> float | None:
        if task in ("t1", "t2", "t3", "t4", "t5"):
            return None
        return 100.0 if contender.version == "1.0.0" else 200.0

    contender, _, told = await evolved(Simulation(worth))
    assert proposals_in(told)[-1].actual_improvement == 100.0
    assert contender is START, "three tasks of the same difference prove nothing"


async def test_a_person_stops_it_before_the_next_run():
    bench = Simulation(lambda _c, _t: 1.0)
    told: list[EventBody] = []
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    evolution = Evolution(
        bench=bench,
        course=Course(tasks=TASKS, sleep_s=2.5),
        emit=told.append,
        stopping=lambda: len(bench.asked) >= 12,
        sleep=sleep,
    )
    contender, ended = await evolution.run(START)
    assert (contender, ended, len(bench.asked)) == (START, "stopped", 12)
    assert pauses == [2.5] * 11
    assert not any(isinstance(body, TestgenConfigAccepted) for body in told)
