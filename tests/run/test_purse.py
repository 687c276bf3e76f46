"""The money of a job: what was spent and what was changed outlive the process."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import anyio
import pytest

from mechagym.agents.scripted import Exec, Pay, Sleep
from mechagym.budget import Budget
from mechagym.events import (
    BudgetRaised,
    BudgetWarned,
    Event,
    EventBody,
    JobEnded,
    JobStarted,
    MessageSaid,
    SetBudgetOp,
)
from mechagym.records import Outcome
from mechagym.run.config import Pace
from mechagym.run.purse import change_limit, changed, worked
from mechagym.store import Store
from tests.run.gym import make_task

AT = datetime(2026, 1, 2, tzinfo=UTC)


def events(*told: tuple[float, EventBody]) -> list[Event]:
    return [
        Event(subject="j", seq=seq, at=AT + timedelta(seconds=at_s), body=body)
        for seq, (at_s, body) in enumerate(told, 1)
    ]


def test_time_between_processes_is_not_worked():
    start, note = JobStarted(owner_pid=1, trials=1), MessageSaid(text="")
    told = events(
        *((0, start), (5, note), (10, JobEnded(state="stopped"))),
        (500, BudgetRaised(limit="usd", before=1, after=2)),
        *((1000, start), (1007, note)),
    )
    assert worked(told) == timedelta(seconds=17)
    assert worked([]) == worked(events((3, note))) == timedelta(0)


def test_the_last_change_of_a_limit_counts():
    raised = [BudgetRaised(limit="usd", before=1, after=a) for a in (2.0, 3.0)]
    other = [BudgetRaised(limit=name, before=1, after=None) for name in ("tokens", "seconds")]
    told = events(*((1.0, body) for body in (*raised, *other)))
    before = Budget(usd=1, tokens=5, seconds=6, turns=7)
    assert changed(before, told) == Budget(usd=3.0, turns=7)


@pytest.mark.must("llm-22")
async def test_going_on_resets_neither_what_was_spent_nor_what_was_changed(memory_gym):
    memory_gym.budget, memory_gym.pace = Budget(usd=1.0), Pace(trials=1)
    memory_gym.script = [Pay(cost_usd=0.5), Exec(command="echo x > done.txt")]
    tasks = [make_task(memory_gym.root / "tasks", name) for name in "abcd"]
    config = memory_gym.config("scripted")
    for _ in range(2):  # a start with nothing left admits no trial
        report = await memory_gym.run(tasks, config)
        assert (report.state, report.waiting) == ("stopped", 2)
        assert sum(t.spend.cost_usd for t in report.trials) == pytest.approx(1.0)
    async with Store.open(memory_gym.url) as store:
        job = await store.find_job(config.name)
        assert job is not None
        await change_limit(store, job, "usd", 1.5)
    report = await memory_gym.run(tasks, config)
    assert (report.state, report.waiting) == ("stopped", 1)
    report = await memory_gym.run(tasks, replace(config, budget=Budget(usd=2.0)))
    assert (report.state, report.waiting) == ("finished", 0)
    assert sum(t.spend.cost_usd for t in report.trials) == pytest.approx(2.0)


@pytest.mark.must("llm-23")
async def test_a_limit_is_raised_while_the_job_runs(memory_gym):
    memory_gym.budget = Budget(usd=1.0)
    memory_gym.script = [
        *(Pay(cost_usd=0.9), Sleep(seconds=2.0), Pay(cost_usd=0.9)),
        Exec(command="echo x > done.txt"),
    ]
    told: list[EventBody] = []
    memory_gym.watcher = lambda _, body: told.append(body)
    async with Store.open(memory_gym.url) as store:

        async def raise_it() -> None:
            while "budget_warned" not in {body.kind for body in told}:
                await anyio.sleep(0.05)
            job = await store.find_job("job")
            assert job is not None
            await store.put_op(job.job_id, SetBudgetOp(limit="usd", value=2.0))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(raise_it)
            report = await memory_gym.run(
                [make_task(memory_gym.root / "tasks")], memory_gym.config("scripted")
            )
    (trial,) = report.trials
    assert trial.outcome is Outcome.PASSED
    assert trial.spend.cost_usd == pytest.approx(1.8)
    assert [body.kind for body in told].count("budget_raised") == 1
    warned = [body for body in told if isinstance(body, BudgetWarned)]
    assert sorted((w.limit, w.percent, w.of) for w in warned) == [
        *(("usd", 75, 1.0), ("usd", 75, 2.0)),
        *(("usd", 90, 1.0), ("usd", 90, 2.0)),
    ]
