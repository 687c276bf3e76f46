"""Each named query says what plain counting over the records says."""

from dataclasses import replace
from datetime import datetime, timedelta

from mechagym.events import (
    AgentStarted,
    BudgetWarned,
    MessageSaid,
    ModelAnswered,
    PhaseEnded,
    ToolCalled,
    ToolReturned,
)
from mechagym.records import Outcome, Phase, Spend, now
from mechagym.store import Store, TaskRow, TrialFilter, this_process
from mechagym.store.views import dashboard, health, jobs, money, tasks, trials
from tests.store.makers import a_job, a_key, a_store_with, a_try, tell


async def told(store: Store) -> None:
    """Two passes, a failure, a fault and one that waits, in each of two jobs."""
    for name in ("one", "two"):
        keys = await a_store_with(store, trials=5, name=name)
        for key, reward in zip(keys, (1.0, 1.0, 0.0, None), strict=False):
            tell(store, key, a_try(reward=reward, nano=1_000 if name == "one" else 2_000))
    await store.flush()


async def test_figures_of_a_job(url: str):
    async with Store.open(url) as store:
        await told(store)
        summary = await store.ask(jobs.job, "one")
        assert summary is not None
        figures = summary.figures
        assert (figures.ended, figures.graded, figures.passed, figures.ungraded) == (4, 3, 2, 1)
        assert (figures.billed_nano, figures.running) == (4_000, 0)
        assert (summary.datasets, summary.agents, summary.models) == (
            ("bench",),
            ("oracle@0.1.0",),
            (),
        )
        cells = await store.ask(jobs.job_matrix, "one-id")
        assert [cell.passed for cell in cells] == [True, True, False, None, None]
        assert [cell.state for cell in cells] == ["ended"] * 4 + ["pending"]
        stats = await store.ask(jobs.job_stats, "one-id")
        assert stats.outcomes == {Outcome.PASSED: 2, Outcome.FAILED: 1, Outcome.INFRA_ERROR: 1}
        assert [score.passes for score in stats.scores] == [1, 1, 0]
        (fault,) = await store.ask(jobs.job_errors, "one-id")
        assert (fault.fault, fault.blame, fault.trials) == ("BoxDied", "sandbox", 1)


async def test_pages_of_jobs_hold_while_jobs_arrive(url: str):
    async with Store.open(url) as store:
        for number in range(5):
            await a_store_with(store, name=f"j{number}")
        first = await store.ask(jobs.job_list, jobs.JobFilter(), None, 2)
        await a_store_with(store, name="later")
        second = await store.ask(jobs.job_list, jobs.JobFilter(), first.next, 2)
        third = await store.ask(jobs.job_list, jobs.JobFilter(), second.next, 2)
        names = [line.job.name for page in (first, second, third) for line in page.items]
        assert names == ["j4", "j3", "j2", "j1", "j0"]
        assert third.next is None
        found = await store.ask(jobs.job_list, jobs.JobFilter(text="LATE"))
        assert [line.job.name for line in found.items] == ["later"]


async def test_the_overview_counts_what_there_is(url: str):
    async with Store.open(url) as store:
        empty = await store.ask(dashboard.overview)
        assert (empty.window.graded, empty.turns_mean, empty.duration_median_s) == (0, None, None)
        await told(store)
        row = TaskRow(digest=f"{1:064x}", dataset="bench", name="task-1", difficulty="hard")
        await store.see_tasks([row])
        seen = await store.ask(dashboard.overview, now() - timedelta(hours=1))
        share = dashboard.Share(passed=4, graded=6, ungraded=2)
        assert (seen.window, seen.last) == (share, share)
        assert seen.waiting == 2
        assert seen.today.billed_nano == seen.week.billed_nano == 4 * 1_000 + 4 * 2_000
        assert dict(seen.by_difficulty)["hard"] == dashboard.Share(passed=2, graded=2)
        assert [each for _, each in seen.by_day] == [share]
        assert (seen.duration_median_s, seen.duration_p90_s) == (1.0, 1.0)
        assert [row.key.task for row in await store.ask(dashboard.recent_trials, 3)]
        assert len(await store.ask(dashboard.recent_jobs)) == 2


async def test_tasks_with_their_history(url: str):
    async with Store.open(url) as store:
        await told(store)
        fresh = TaskRow(digest="new", dataset="a", name="fresh", tags=("x", "y"))
        await store.see_tasks([fresh, fresh])
        page = await store.ask(tasks.task_list, tasks.TaskFilter())
        assert [(line.task.name, line.graded, line.passed) for line in page.items] == [
            ("fresh", 0, 0), ("task-1", 2, 2), ("task-2", 2, 2), ("task-3", 2, 0),
            ("task-4", 0, 0), ("task-5", 0, 0),
        ]  # fmt: skip
        states = {"never_run": ["fresh"], "passed": ["task-1", "task-2"], "failed": ["task-3"]}
        for state, names in states.items():
            found = await store.ask(tasks.task_list, tasks.TaskFilter(state=state))  # type: ignore[arg-type]
            assert [line.task.name for line in found.items] == names
        tagged = await store.ask(tasks.task_list, tasks.TaskFilter(tag="y"))
        assert [line.task.name for line in tagged.items] == ["fresh"]
        first = await store.ask(tasks.task_list, tasks.TaskFilter(), None, 4)
        rest = await store.ask(tasks.task_list, tasks.TaskFilter(), first.next, 4)
        assert [line.task.name for line in rest.items] == ["task-4", "task-5"]
        assert len(await store.ask(tasks.task_history, f"{1:064x}")) == 2
        assert await store.ask(tasks.flaky) == ()
        assert await store.ask(tasks.datasets) == (("a", 1), ("bench", 5))


async def test_the_thread_of_a_trial_in_windows(url: str):
    async with Store.open(url) as store:
        (key,) = await a_store_with(store)
        emit = store.emitter(key.trial_id, try_number=1)
        emit(AgentStarted(agent="a", version="1", instruction='say "hé"\nnow'))
        for number in range(20):
            emit(
                ToolCalled(call_id=f"c{number}", tool="bash", arguments={"command": f"ls {number}"})
            )
            emit(ToolReturned(call_id=f"c{number}", output=f"file-{number}\n"))
            spend = Spend(billed_nano=1)
            emit(ModelAnswered(call_id="m", model="a:b", spend=spend, price_ref="p", total_ms=1.0))
        emit(PhaseEnded(phase=Phase.AGENT, duration_s=2.0))
        emit(MessageSaid(text="Q" * 100_000 + "needle"))
        await store.flush()
        window = await store.ask(trials.steps, key.trial_id, 10, 5)
        assert (window.total, window.first, len(window.items)) == (43, 10, 5)
        seq = window.items[0].seq
        assert await store.ask(trials.place_of, key.trial_id, seq) == 10
        (hit,) = await store.ask(trials.find_steps, key.trial_id, 'SAY "HÉ"\nnow')
        assert hit == 1
        assert len(await store.ask(trials.find_steps, key.trial_id, "file-1")) == 11
        assert len(await store.ask(trials.find_steps, key.trial_id, "NEEDLE")) == 1
        assert await store.ask(trials.find_steps, key.trial_id, "tool_called") == ()
        assert len(await store.ask(trials.calls, key.trial_id)) == 20
        view = await store.ask(trials.trial, key.trial_id)
        assert view is not None
        assert view.events == 63


async def test_trials_verdict_and_list(url: str):
    async with Store.open(url) as store:
        await told(store)
        page = await store.ask(trials.trial_list, TrialFilter(job_id="one-id"), None, 3)
        rest = await store.ask(trials.trial_list, TrialFilter(job_id="one-id"), page.next, 3)
        numbers = [row.key.task for row in (*page.items, *rest.items)]
        assert numbers == [f"task-{n}" for n in range(1, 6)]
        assert (await store.ask(trials.verdict, "one-t1")) == a_try().verdict
        assert await store.ask(trials.verdict, "one-t4") is None
        view = await store.ask(trials.trial, "one-t1")
        assert view is not None
        assert [each.number for each in view.tries] == [1]
        assert view.row.passed is True
        assert await store.ask(trials.trial, "nope") is None


async def test_the_sums_of_spending_are_those_of_the_tries(url: str):
    async with Store.open(url) as store:
        await told(store)
        everything = money.SpendFilter()
        for group in ("total", "model", "provider", "agent", "job", "day", "trial"):
            found = await store.ask(money.spend, group, everything)
            assert sum(each.spend.billed_nano for each in found) == 12_000
            assert sum(each.spend.usage.tokens for each in found) == 8 * 17
        ours = await store.ask(money.spend, "job", money.SpendFilter(job_id="two-id"))
        assert [(each.name, each.spend.billed_nano) for each in ours] == [("two-id", 8_000)]


async def test_what_a_person_should_see(url: str):
    async with Store.open(url) as store:
        await told(store)
        await store.claim_job("one-id", this_process())
        store.emitter("one-id")(BudgetWarned(limit="usd", percent=75, spent=8.0, of=10.0))
        await store.flush()
        needs = await store.ask(dashboard.attention)
        assert [(need.kind, need.subject) for need in needs] == [("budget", "one-id")]
        (process,) = await store.ask(health.processes)
        assert (process.role, process.name, process.alive) == ("job", "one", True)
        at = await store.ask_at(health.store_health)
        assert at.position == at.value.position > 0
        assert at.value.size_bytes


async def test_weeks_begin_on_monday_and_months_on_their_first(url: str):
    async with Store.open(url) as store:
        job = a_job()
        days = ("2024-12-29", "2024-12-30", "2025-01-05", "2025-01-06")
        keys = [a_key(job, number) for number, _ in enumerate(days, 1)]
        await store.create_job(job, keys)
        for key, day in zip(keys, days, strict=True):
            at = datetime.fromisoformat(f"{day}T23:59:59+00:00")
            tell(store, key, replace(a_try(), started_at=at, ended_at=at))
        await store.flush()

        async def grouped(group: money.Group) -> list[tuple[str | None, int]]:
            found = await store.ask(money.spend, group, money.SpendFilter())
            return [(each.name, each.tries) for each in found]

        assert await grouped("week") == [("2024-12-23", 1), ("2024-12-30", 2), ("2025-01-06", 1)]
        assert await grouped("month") == [("2024-12", 2), ("2025-01", 2)]
