"""How quick the store is, against fixed goals: events in, finished trials out, a long list
filtered and sorted.

usage: python -m benchmarks.store [--url URL]
"""

import argparse
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from statistics import median

import anyio
import anyio.lowlevel
from sqlalchemy import bindparam, update

from benchmarks.pairs import Figure, report
from mechagym.events import MessageSaid, ToolReturned, TrialEnded, TryEnded, TryStarted
from mechagym.records import Outcome, Phase, PhaseTime, Spend, TrialKey, TryRecord, Verdict, now
from mechagym.store import JobRow, Store, TrialFilter, TrialPage
from mechagym.store.tables import trials as table

EVENTS_S = 5.0
EVENTS_PER_TICK = 200
MANY = 100_000
FINISHED = 10_000


def key(job: str, number: int) -> TrialKey:
    """A cell of a matrix of 89 tasks."""
    return TrialKey(
        trial_id=f"{job}-{number}",
        trial_name=f"task-{number % 89}__{number:07d}",
        job_id=job,
        dataset="terminal-bench",
        task=f"task-{number % 89}",
        task_digest=f"{number % 89:064x}",
        agent=f"agent-{number % 5}@1.0",
        model="anthropic:claude",
        repeat=number // 89,
    )


def ended(number: int) -> TryRecord:
    """A try with all its phases."""
    at = now() + timedelta(seconds=number % 1000)
    reward = float(number % 3 == 0)
    return TryRecord(
        number=1,
        outcome=Outcome.PASSED if reward else Outcome.FAILED,
        started_at=at,
        ended_at=at + timedelta(seconds=number % 77),
        phases=tuple(PhaseTime(phase=p, started_at=at, duration_s=0.5) for p in Phase),
        verdict=Verdict(rewards={"reward": reward}),
        spend=Spend(billed_nano=number * 7919 % 1_000_003),
    )


async def make_job(store: Store, name: str, trials: int) -> None:
    """A job whose trials have all ended."""
    job = JobRow(job_id=name, name=name, config="{}", config_digest="", folder="", created_at=now())
    await store.create_job(job, [key(name, number) for number in range(trials)])
    for number in range(trials):
        emit = store.emitter(f"{name}-{number}", try_number=1)
        emit(TryStarted(number=1, owner_pid=1, label=""))
        record = ended(number)
        emit(TryEnded(record=record))
        emit(TrialEnded(outcome=record.outcome, tries=1))
        if number % 500 == 0:
            await store.flush()
    await store.flush()


async def fill(store: Store, name: str, trials: int) -> None:
    """A job whose trials have all ended, written straight into the table: events take minutes."""
    job = JobRow(job_id=name, name=name, config="{}", config_digest="", folder="", created_at=now())
    await store.create_job(job, [key(name, number) for number in range(trials)])
    values = [
        {
            "of": f"{name}-{number}",
            "to_outcome": record.outcome.value,
            "to_reward": record.verdict.reward if record.verdict else None,
            "to_nano": record.spend.billed_nano,
            "to_s": (record.ended_at - record.started_at).total_seconds(),
            "to_at": record.started_at,
        }
        for number in range(trials)
        if (record := ended(number))
    ]
    change = (
        update(table)
        .where(table.c.id == bindparam("of"))
        .values(
            state="ended",
            graded=True,
            tries=1,
            outcome=bindparam("to_outcome"),
            reward=bindparam("to_reward"),
            billed_nano=bindparam("to_nano"),
            duration_s=bindparam("to_s"),
            started_at=bindparam("to_at"),
        )
    )
    await store._database.write(lambda connection: connection.execute(change, values))


async def events_per_second(store: Store) -> float:
    """Sustained, from one process that does nothing else, until all is committed."""
    body = ToolReturned(call_id="call_0123456789", output="line of output\n" * 20)
    said = MessageSaid(text="I will look at the log files first.")
    emitters = [store.emitter(f"subject-{number}") for number in range(8)]
    began = time.perf_counter()
    told = 0
    while time.perf_counter() - began < EVENTS_S:
        for number in range(EVENTS_PER_TICK):
            emitters[number % 8](body if number % 2 else said)
        told += EVENTS_PER_TICK
        if told % 20_000 == 0:
            await store.flush()
        await anyio.lowlevel.checkpoint()
    await store.flush()
    return told / (time.perf_counter() - began)


async def seconds(action: Callable[[], Awaitable[object]], times: int = 1) -> float:
    """The median time of an action."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        await action()
        taken.append(time.perf_counter() - began)
    return median(taken)


async def lists(store: Store) -> float:
    """The slowest of many lists over all trials."""
    page = TrialPage(order="cost")
    pages = [page, replace(page, order="started"), replace(page, order="reward", offset=500)]
    wanted = [
        TrialFilter(),
        TrialFilter(outcome=Outcome.PASSED),
        TrialFilter(agent="agent-3@1.0", outcome=Outcome.FAILED),
        TrialFilter(task="task-17"),
        TrialFilter(job_id="many", outcome=Outcome.FAILED),
        TrialFilter(text="sk-8"),
        TrialFilter(model="anthropic:claude", text="none"),
    ]
    slowest = 0.0
    for each in wanted:
        for one in pages:
            taken = await seconds(lambda w=each, p=one: store.search_trials(w, p), 5)  # type: ignore[misc]
            slowest = max(slowest, taken)
    return slowest


async def measured(url: str) -> list[Figure]:
    """All figures, in one event loop."""
    async with Store.open(url) as store:
        figures = [_rate("events sustained", await events_per_second(store), 10_000)]
        emit = store.emitter("flush")

        async def one() -> None:
            emit(MessageSaid(text="x"))
            await store.flush()

        figures.append(_time("flush of one event", await seconds(one, 100), 0.02))
        made_s = await seconds(lambda: make_job(store, "ten", FINISHED))
        figures.append(Figure(what="10,000 trials told by events", value=f"{made_s:.1f} s"))
        listed_s = await seconds(lambda: store.trials("ten"), 3)
        figures.append(_time("list of 10,000 trials", listed_s, 1))
        loaded_s = await seconds(lambda: store.records("ten"), 3)
        figures.append(_time("10,000 finished trials loaded, as a resume does", loaded_s, 2))
        await fill(store, "many", MANY - FINISHED)
        paged_s = await lists(store)
        figures.append(_time("a page of 100,000 trials, slowest of 21", paged_s, 0.05))
    figures.append(_time("opening", await seconds(lambda: reopen(url), 5), 0.1))
    return figures


def _time(what: str, value: float, limit: float) -> Figure:
    """Seconds with a goal."""
    return Figure(
        what=what, value=f"{value * 1000:,.1f} ms", goal=f"≤ {limit:g} s", held=value <= limit
    )


def _rate(what: str, value: float, least: float) -> Figure:
    """Things per second with a goal."""
    return Figure(what=what, value=f"{value:,.0f}/s", goal=f"≥ {least:,g}/s", held=value >= least)


async def reopen(url: str) -> None:
    """Open and close."""
    async with Store.open(url):
        pass


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(usage=(__doc__ or "").split("usage: ")[1])
    parser.add_argument("--url", help="a database; default: a new SQLite file")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = args.url or f"sqlite:///{folder}/store.db"
        report("How quick the store is", anyio.run(measured, url))


if __name__ == "__main__":
    main()
