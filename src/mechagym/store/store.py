"""The store: jobs, trials and their events, in SQLite or PostgreSQL.

Events are the truth and the only door by which a trial's state changes; rows are folds of them,
written in the same transaction. Reading never waits for writing. All failures are StoreErrors.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from threading import Lock
from typing import Concatenate, ParamSpec, TypeVar

import anyio
import anyio.to_thread
from sqlalchemy import Connection

from mechagym.errors import StoreError
from mechagym.events import Emit, Event, JobOp, Op
from mechagym.records import TrialKey, TrialRecord
from mechagym.store import changes, ops, queries
from mechagym.store.database import Database
from mechagym.store.journal import Journal
from mechagym.store.lost import end_of
from mechagym.store.owner import is_alive
from mechagym.store.reading import At, Reading, position
from mechagym.store.rows import (
    JobRow,
    JobState,
    OwnerRow,
    TaskRow,
    TrialFilter,
    TrialPage,
    TrialRow,
)
from mechagym.store.tables import trials
from mechagym.store.testgen import TestgenShelf
from mechagym.store.watch import Watch, open_watch

T = TypeVar("T")
P = ParamSpec("P")


def unchanged(text: str) -> str:
    """The redaction of those who have no secrets."""
    return text


class Store:
    """An open store. Made by `open`; many may be open on one database, in many processes."""

    def __init__(self, database: Database, redact: Callable[[str], str]) -> None:
        self._database = database
        self._claimed: set[str] = set()
        self._claims = Lock()
        self._journal = Journal(database, redact, self._beat)
        self.testgen = TestgenShelf(database)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, *, redact: Callable[[str], str] = unchanged
    ) -> "AsyncIterator[Store]":
        """Open, migrating where needed; closing writes what is left.

        `url` is a path or a database URL. `redact` is put over every text before it is kept. Raises
        StoreError: newer schema, no database, no rights, disk full, no driver, unreachable.
        """
        database = await anyio.to_thread.run_sync(Database.open, url)
        try:
            store = cls(database, redact)
            store._journal.start()
            try:
                yield store
            finally:
                with anyio.CancelScope(shield=True):
                    await store._journal.close()
        finally:
            database.close()

    def emitter(self, subject: str, *, try_number: int = 0) -> Emit:
        """Make the function that takes a subject's events: it never waits and never raises."""
        return self._journal.emitter(subject, try_number)

    async def flush(self) -> None:
        """Return once all that was emitted so far is committed. Raises StoreError."""
        await self._journal.flush()

    async def create_job(self, job: JobRow, keys: Sequence[TrialKey]) -> None:
        """Keep a job and its plan as they are: their secrets are references.

        Raises StoreError where its name is taken.
        """
        await self._database.write(lambda c: changes.create_job(c, job, keys))

    async def add_trials(self, job_id: str, keys: Sequence[TrialKey]) -> None:
        """Append trials to a job's plan."""
        await self._database.write(lambda c: changes.add_trials(c, job_id, keys))

    async def see_tasks(self, seen: Sequence[TaskRow]) -> None:
        """Keep what is known of tasks, for lists that have not read their folders."""
        await self._database.write(lambda c: changes.see_tasks(c, seen))

    async def claim_job(self, job_id: str, owner: OwnerRow) -> None:
        """Take a job, of which nothing runs now, and keep up its heartbeat.

        What a dead owner left running is pending again, and its tries get their end records.
        Raises JobLocked, naming pid and host, where another live process owns it.
        """
        await self.flush()
        await self._database.write(lambda c: changes.claim_job(c, job_id, owner, is_alive))
        with self._claims:
            self._claimed.add(job_id)
        await self._end_lost_tries(job_id)

    async def release_job(self, job_id: str, state: JobState) -> None:
        """Give a job up."""
        await self.flush()
        with self._claims:
            self._claimed.discard(job_id)
        await self._database.write(lambda c: changes.release_job(c, job_id, state))

    async def find_job(self, name_or_id: str) -> JobRow | None:
        """A job by its id or name."""
        return await self._database.read(lambda c: queries.find_job(c, name_or_id))

    async def jobs(self) -> list[JobRow]:
        """All jobs, newest first."""
        return await self._database.read(queries.list_jobs)

    async def trials(self, job_id: str) -> list[TrialRow]:
        """All trials of a job, in the order of its plan."""
        return await self._database.read(lambda c: queries.list_trials(c, job_id))

    async def search_trials(self, wanted: TrialFilter, page: TrialPage) -> list[TrialRow]:
        """One page of the trials of all jobs, filtered and sorted."""
        return await self._database.read(lambda c: queries.search(c, wanted, page))

    async def count_trials(self, wanted: TrialFilter) -> int:
        """How many trials a filter lets through."""
        return await self._database.read(lambda c: queries.count(c, wanted))

    async def record(self, trial_id: str) -> TrialRecord | None:
        """The tries of a trial that ended, sealed or not; None where none did."""
        found = await self._database.read(lambda c: queries.records(c, trials.c.id == trial_id))
        return found[0] if found else None

    async def records(self, job_id: str) -> list[TrialRecord]:
        """The records of the sealed trials of a job, in the order of its plan."""
        sealed = (trials.c.job_id == job_id) & (trials.c.state == "ended")
        return await self._database.read(lambda c: queries.records(c, sealed))

    async def events(self, subject: str, *, after: int = 0, limit: int = 1000) -> list[Event]:
        """Events of a trial or job with `seq` > after, in order."""
        blobs = self._database.blobs
        return await self._database.read(
            lambda c: queries.list_events(c, blobs, subject, after, limit)
        )

    async def fold(self, subject: str, fold: Callable[[Sequence[Event]], T]) -> T:
        """Commit what was emitted so far, and hand all events of a trial or job to `fold`.

        All of it in one thread: a change of threads costs more than the reading.
        """
        database = self._database

        def work() -> T:
            self._journal.flush_now()
            return fold(
                database.read_now(
                    lambda c: queries.list_events(c, database.blobs, subject, 0, None)
                )
            )

        return await database.reading(work)

    async def tail(self, *, after_position: int, limit: int = 200) -> list[tuple[int, Event]]:
        """Events of all subjects by position: commit order, so none is ever missed."""
        blobs = self._database.blobs
        return await self._database.read(lambda c: queries.tail(c, blobs, after_position, limit))

    async def put_op(
        self, job_id: str | None, op: Op, *, author: str = "", request_key: str | None = None
    ) -> int:
        """Keep what a person asks, of a job or of a worker; returns the op's id.

        The same under the same `request_key` is kept once. Raises StoreError.
        """
        put = partial(ops.put_op, job_id=job_id, op=op, author=author, request_key=request_key)
        return await self._database.write(put)

    async def pending_ops(self, job_id: str) -> list[tuple[int, JobOp]]:
        """What a running job was told and nobody took yet, oldest first."""
        return await self._database.read(lambda c: ops.pending_ops(c, job_id))

    async def end_op(self, op_id: int, *, applied: bool, detail: str = "") -> None:
        """Note whether an op was applied, or why not."""
        await self._database.write(partial(ops.end_op, op_id=op_id, applied=applied, detail=detail))

    async def write(
        self, change: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Carry out a change of `ops`, `changes` or `saved`, in one transaction."""
        return await self._database.write(lambda c: change(c, *args, **kwargs))

    async def ask(
        self, query: Callable[Concatenate[Reading, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Answer a named query of `views`."""
        blobs = self._database.blobs
        return await self._database.read(
            lambda c: query(Reading(connection=c, blobs=blobs), *args, **kwargs)
        )

    async def ask_at(
        self, query: Callable[Concatenate[Reading, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> At[T]:
        """The same with the position of the answer, from where a stream goes on."""

        def at(reading: Reading) -> At[T]:
            return At(position=position(reading), value=query(reading, *args, **kwargs))

        return await self.ask(at)

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[Watch]:
        """Hear of commits, by whichever process."""
        async with open_watch(self._database.url) as watch:
            yield watch

    async def reopen_trials(self, trial_ids: Sequence[str]) -> None:
        """Make ended trials pending again; tries and costs stay."""
        await self.flush()
        await self._database.write(lambda c: changes.reopen_trials(c, trial_ids))

    async def reconcile(self) -> list[str]:
        """Make trials that a dead process left running pending again; returns their ids."""
        return await self._database.write(lambda c: changes.reconcile(c, is_alive))

    async def remove_job(self, job_id: str) -> None:
        """Forget a job. Raises JobLocked while a live process owns it."""
        await self.flush()
        blobs = self._database.blobs
        await self._database.write(lambda c: changes.remove_job(c, blobs, job_id, is_alive))

    async def _end_lost_tries(self, job_id: str) -> None:
        blobs = self._database.blobs
        lost = await self._database.read(lambda c: queries.unfinished_tries(c, job_id))
        for trial_id, number, started_at in lost:
            told = await self._database.read(
                partial(queries.events_of_try, blobs=blobs, trial_id=trial_id, number=number)
            )
            self.emitter(trial_id, try_number=number)(end_of(number, started_at, told))
        await self.flush()

    def _beat(self) -> None:
        with self._claims:
            claimed = sorted(self._claimed)
        if claimed:
            with suppress(StoreError):  # the next is soon; a disk that stays full `flush` tells
                self._database.write_now(lambda c: changes.beat(c, claimed))
