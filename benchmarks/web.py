"""How quick the queries behind the screens are, over a store made for it, against the goals.

usage: python -m benchmarks.web [--url URL] [--trials N] [--events N] [--times N]

The store is written straight into its tables, since events would take an hour; its figures are of
the same kind as those of real jobs. `--events` counts all of them; the trial that is opened has
10,000 steps. Without --url it is a new SQLite file, which takes about 200 bytes an event.
"""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import anyio
from sqlalchemy import Connection, insert

from benchmarks.pairs import Figure, cpu_s, report
from mechagym.events import EventBody, MessageSaid, ToolCalled, ToolReturned, body_to_json
from mechagym.records import Outcome, TryRecord, Usage, Verdict, now, to_json
from mechagym.store import Store, TrialFilter
from mechagym.store.tables import events, jobs, tasks, trials, tries, usage
from mechagym.store.views import dashboard, live, money
from mechagym.store.views import jobs as job_views
from mechagym.store.views import tasks as task_views
from mechagym.store.views import trials as trial_views
from mechagym.store.views.dashboard_page import dashboard_page
from mechagym.store.views.paging import Page
from mechagym.store.views.usage_page import usage_page

TASKS, STEPS, BIG_JOB, CHUNK = 445, 10_000, 10_000, 20_000
DIFFICULTIES = ("easy", "medium", "hard")
LONG = "trial-0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much there is."""

    trials: int
    events: int

    @property
    def each(self) -> int:
        """Events of a trial that is not the long one."""
        return max(1, (self.events - STEPS) // self.trials)


def fill(connection: Connection, size: Size) -> None:
    """Write a store: a job of 10,000 trials, one of 445, and as many of 1,000 as are needed."""
    draw, at = random.Random(7), now()
    rows = list(trial_rows(size, draw, at))
    named = sorted({row["job_id"] for row in rows})
    put(connection, insert(tasks), task_rows())
    put(connection, insert(jobs), (job_row(name, rows, at) for name in named))
    put(connection, insert(trials), iter(rows))
    put(connection, insert(tries), (try_row(row) for row in rows))
    put(connection, insert(usage), (usage_row(row, draw) for row in rows))
    put(connection, insert(events), event_rows(rows, size))


def put(connection: Connection, statement: Any, rows: Iterator[dict[str, Any]]) -> None:
    """Insert in pieces."""
    piece = []
    for row in rows:
        piece.append(row)
        if len(piece) == CHUNK:
            connection.execute(statement, piece)
            piece = []
    if piece:
        connection.execute(statement, piece)


def job_of(number: int) -> str:
    """The first 10,000 trials are one job, the next 445 another."""
    if number < BIG_JOB:
        return "job-big"
    return "job-usual" if number < BIG_JOB + TASKS else f"job-{(number - BIG_JOB - TASKS) // 1_000}"


def trial_rows(size: Size, draw: random.Random, at: datetime) -> Iterator[dict[str, Any]]:
    """Trials that ended in the last ninety days."""
    for number in range(size.trials):
        graded, passed = draw.random() < 0.95, draw.random() < 0.6
        outcome = (Outcome.PASSED if passed else Outcome.FAILED) if graded else Outcome.INFRA_ERROR
        ended = at - timedelta(seconds=draw.random() * 90 * 86_400)
        duration = draw.lognormvariate(5, 1)
        task = number % TASKS
        yield {
            "id": f"trial-{number}",
            "job_id": job_of(number),
            "ordinal": number,
            "name": f"task-{task}__{number:07d}",
            "dataset": "bench",
            "task": f"task-{task}",
            "task_digest": f"{task:064x}",
            "agent": f"agent-{number % 5}@1.0",
            "model": f"provider-{number % 3}:model-{number % 7}",
            "repeat": number // TASKS,
            "state": "ended",
            "outcome": outcome.value,
            "graded": graded,
            "tries": 1,
            "reward": float(passed) if graded else None,
            "billed_nano": draw.randrange(10**9),
            "imputed_nano": 0,
            "tokens": draw.randrange(10**6),
            "duration_s": duration,
            "started_at": ended - timedelta(seconds=duration),
            "ended_at": ended,
            "passed": passed if graded else None,
            "turns": draw.randrange(1, 300),
            "fault": None if graded else "BoxDied",
            "fault_reason": None if graded else "oom",
            "blame": None if graded else "sandbox",
        }


def task_rows() -> Iterator[dict[str, Any]]:
    """The tasks of one dataset."""
    for task in range(TASKS):
        yield {
            "digest": f"{task:064x}",
            "dataset": "bench",
            "name": f"task-{task}",
            "difficulty": DIFFICULTIES[task % 3],
            "category": f"category-{task % 9}",
            "tags": "[]",
            "needs": "[]",
        }


def job_row(name: str, rows: list[dict[str, Any]], at: datetime) -> dict[str, Any]:
    """A job that is over."""
    return {
        "id": name,
        "name": name,
        "config": "{}",
        "config_digest": "",
        "folder": "",
        "created_at": at - timedelta(seconds=abs(hash(name)) % 7_776_000),
        "state": "finished",
        "trials": sum(row["job_id"] == name for row in rows) if len(rows) < 50_000 else 1_000,
    }


def try_row(row: dict[str, Any]) -> dict[str, Any]:
    """The only try of a trial."""
    verdict = Verdict(rewards={"reward": row["reward"]}) if row["graded"] else None
    record = TryRecord(
        number=1,
        outcome=Outcome(row["outcome"]),
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        verdict=verdict,
    )
    return {
        "trial_id": row["id"],
        "number": 1,
        "label": "",
        "outcome": row["outcome"],
        "started_at": row["started_at"],
        "ended_at": row["ended_at"],
        "record": to_json(record),
    }


def usage_row(row: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    """What the try used."""
    counts = {name: draw.randrange(10**5) for name in Usage.__dataclass_fields__}
    return {
        **counts,
        "trial_id": row["id"],
        "try_number": 1,
        "model": row["model"],
        "at": row["ended_at"],
        "tokens": row["tokens"],
        "billed_nano": row["billed_nano"],
        "imputed_nano": 0,
        "unpriced_calls": 0,
    }


def event_rows(rows: list[dict[str, Any]], size: Size) -> Iterator[dict[str, Any]]:
    """Steps of all trials; those of the long one first."""
    bodies: list[EventBody] = [
        MessageSaid(text="I will look at the log files first."),
        ToolCalled(call_id="call_0123456789", tool="bash", arguments={"command": "ls -l /app"}),
        ToolReturned(call_id="call_0123456789", output="a line of output\n" * 4),
    ]
    told = [(body.kind, body_to_json(body)) for body in bodies]
    needle = json.dumps({"text": "the needle", "kind": "message_said"})
    for row in rows:
        many = STEPS if row["id"] == LONG else size.each
        for seq in range(1, many + 1):
            kind, payload = told[seq % 3]
            if row["id"] == LONG and seq == STEPS - 1:
                kind, payload = "message_said", needle
            yield {
                "subject": row["id"],
                "seq": seq,
                "try_number": 1,
                "kind": kind,
                "at": row["started_at"],
                "payload": payload,
            }


Action = Callable[[], Awaitable[object]]


def asked(store: Store, size: Size) -> list[tuple[str, float, Action]]:
    """What is measured, with its goal in seconds: those of `web.md`, for the server's part."""
    week, month = (now() - timedelta(days=days) for days in (7, 30))
    ask = store.ask
    middle = STEPS // 2

    async def pages(query: Callable[[Any, int], Awaitable[Page[Any]]], many: int = 3) -> None:
        after = None
        for _ in range(many):
            after = (await query(after, 50)).next

    def trial_page(**filters: Any) -> Action:
        wanted = TrialFilter(**filters)
        return lambda: pages(lambda a, n: ask(trial_views.trial_list, wanted, a, n), 1)

    big = "job-big" if size.trials >= BIG_JOB else "job-usual"
    return [
        ("dashboard, last 7 days", 0.12, lambda: ask(dashboard_page, week)),
        ("dashboard, last 30 days", 0.12, lambda: ask(dashboard_page, month)),
        ("dashboard, all there is", 0.12, lambda: ask(dashboard_page, None)),
        ("its last jobs and trials", 0.12, lambda: recent(store)),
        ("what needs a person", 0.12, lambda: ask(dashboard.attention)),
        ("a page of jobs", 0.2, lambda: ask(job_views.job_list, job_views.JobFilter())),
        ("a page of tasks", 0.2, lambda: ask(task_views.task_list, task_views.TaskFilter())),
        (
            "a page of flaky tasks",
            0.2,
            lambda: ask(task_views.task_list, task_views.TaskFilter(state="flaky")),
        ),
        ("a page of trials", 0.2, trial_page()),
        ("a page of trials, filtered", 0.2, trial_page(outcome=Outcome.FAILED, task="task-17")),
        ("job page, 445 trials", 0.4, lambda: job_page(store, "job-usual")),
        ("job page, 10,000 trials", 1.0, lambda: job_page(store, big)),
        ("a trial of 10,000 steps, opened", 0.5, lambda: open_trial(store)),
        ("a jump in it", 0.2, lambda: ask(trial_views.steps, LONG, middle, 50)),
        ("a search in it", 0.5, lambda: ask(trial_views.find_steps, LONG, "needle")),
        ("spending by model", 0.2, lambda: ask(money.spend, "model", money.SpendFilter())),
        (
            "usage page, last 30 days",
            0.2,
            lambda: ask(usage_page, "model", money.SpendFilter(since=month), 200),
        ),
        ("spending by day", 0.2, lambda: ask(money.spend, "day", money.SpendFilter(since=week))),
        ("200 events of the tail", 0.2, lambda: ask(live.tail, size.events // 2, 200)),
    ]


async def recent(store: Store) -> None:
    """The lists of the dashboard."""
    await store.ask(dashboard.recent_jobs)
    await store.ask(dashboard.recent_trials)


async def job_page(store: Store, name: str) -> None:
    """All that a job's page shows."""
    await store.ask(job_views.job, name)
    await store.ask(job_views.job_matrix, name)
    await store.ask(job_views.job_stats, name)
    await store.ask(job_views.job_errors, name)


async def open_trial(store: Store) -> None:
    """A trial's head and the first window of its thread."""
    await store.ask(trial_views.trial, LONG)
    await store.ask(trial_views.steps, LONG, 0, 50)
    await store.ask(trial_views.verdict, LONG)


async def measured(url: str, size: Size, times: int) -> list[Figure]:
    """All figures, in one event loop."""
    async with Store.open(url) as store:
        began = time.perf_counter()
        if await store.find_job("job-usual") is None:
            await store.write(fill, size)
        made_s = time.perf_counter() - began
        what = f"store of {size.trials:,} trials and {size.events:,} events, made"
        figures = [Figure(what=what, value=f"{made_s:.0f} s")]
        for what, goal_s, action in asked(store, size):
            taken = [await seconds(action) for _ in range(times)]
            wall_s, cpu = median(wall for wall, _ in taken), median(cpu for _, cpu in taken)
            figures.append(
                Figure(
                    what=what,
                    value=f"{wall_s * 1000:,.1f} ms ({cpu * 1000:,.1f} ms of CPU)",
                    goal=f"< {goal_s * 1000:g} ms",
                    held=wall_s < goal_s,
                )
            )
    return figures


async def seconds(action: Action) -> tuple[float, float]:
    """How long an action takes, by the clock and of this process's CPU time."""
    began, used = time.perf_counter(), cpu_s()
    await action()
    return time.perf_counter() - began, cpu_s() - used


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(usage=(__doc__ or "").split("usage: ")[1].split("\n")[0])
    parser.add_argument("--url", help="a database to fill, or one that was filled before")
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--times", type=int, default=20)
    args = parser.parse_args()
    size = Size(trials=args.trials, events=args.events)
    with tempfile.TemporaryDirectory() as folder:
        url = args.url or f"sqlite:///{Path(folder) / 'store.db'}"
        found = anyio.run(measured, url, size, args.times)
        report("How quick the screens' queries are", found)


if __name__ == "__main__":
    main()
