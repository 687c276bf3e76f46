"""How quick the store is: events in, finished trials out, a long list filtered and sorted.

    python benchmarks/store.py [URL]

Prints one line per figure with its goal; exits 1 where a goal is missed.
"""

import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from statistics import median

import anyio
import anyio.lowlevel
from sqlalchemy import bindparam, update

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


async def main(url: str) -> int:
    """Measure and print."""
    missed = 0

    def show(what: str, value: float, unit: str, goal: float, *, above: bool = False) -> None:
        nonlocal missed
        good = value >= goal if above else value <= goal
        missed += not good
        sign, word = ("≥" if above else "≤"), ("" if good else "   MISSED")
        print(f"{what:<44} {value:>10,.3f} {unit:<9} (goal {sign} {goal:,g}){word}")

    async with Store.open(url) as store:
        show("events sustained", await events_per_second(store), "events/s", 10_000, above=True)
        emit = store.emitter("flush")

        async def one() -> None:
            emit(MessageSaid(text="x"))
            await store.flush()

        show("flush of one event, median", await seconds(one, 100), "s", 0.02)
        began = time.perf_counter()
        await make_job(store, "ten", FINISHED)
        print(
            f"{'(10,000 trials run through the store)':<44} {time.perf_counter() - began:>10.3f} s"
        )
        show("list of 10,000 trials", await seconds(lambda: store.trials("ten"), 3), "s", 1)
        show(
            "10,000 finished trials loaded", await seconds(lambda: store.records("ten"), 3), "s", 2
        )
        await fill(store, "many", MANY - FINISHED)
        show("a page of 100,000 trials, slowest of 21", await lists(store), "s", 0.05)
    show("opening", await seconds(lambda: reopen(url), 5), "s", 0.1)
    return 1 if missed else 0


async def reopen(url: str) -> None:
    """Open and close."""
    async with Store.open(url):
        pass


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        target = sys.argv[1] if len(sys.argv) > 1 else str(Path(folder) / "mechagym.db")
        sys.exit(anyio.run(main, target))
