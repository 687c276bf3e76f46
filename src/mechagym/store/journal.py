"""The one writer of events: takes them without waiting, numbers them, and commits them in batches.

The invariants: within a subject `seq` counts from 1 without a gap, in the order of emission,
whatever fails; an event is committed at most 100 ms after it happened (`BATCH_S` waiting, the rest
to write); nothing is kept before it is redacted. While the disk refuses, events wait in memory and
`flush` says why.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import anyio.to_thread
from sqlalchemy import Connection, func, insert, select
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from mechagym.errors import StoreError
from mechagym.events import Emit, EventBody, TrialEnded, body_to_json
from mechagym.records import now, over_strings
from mechagym.store.database import Database
from mechagym.store.folds import FOLDED, Told, fold
from mechagym.store.tables import events

BATCH_S = 0.08
RETRY_S = 1.0
BEAT_S = 10.0
MAX_BATCH = 5_000

_log = logging.getLogger(__name__)

Redact = Callable[[str], str]
_Fold = Callable[[Connection, Sequence[Told]], None]
_UNFOLDABLE = (ValueError, ArithmeticError, TypeError)


@dataclass(frozen=True, slots=True)
class _Entry:
    subject: str
    try_number: int
    at: datetime
    body: EventBody


class Journal:
    """A queue and the thread that empties it. `beat` is called every 10 s, for heartbeats."""

    def __init__(self, database: Database, redact: Redact, beat: Callable[[], None]) -> None:
        self._database = database
        self._redact = redact
        self._beat = beat
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._written = threading.Condition(self._lock)
        self._waiting: list[_Entry] = []
        self._accepted = 0
        self._kept = 0
        self._failures = 0
        self._error: StoreError | None = None
        self._hurry = False
        self._closing = False
        self._last_seq: dict[str, int] = {}
        self._flushers = anyio.CapacityLimiter(1_000)
        self._thread = threading.Thread(target=self._run, name="mechagym-journal", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    async def close(self) -> None:
        """Write what is left and end the thread. Raises StoreError where it could not be kept."""
        with self._lock:
            self._closing = self._hurry = True
            self._work.notify()
        await anyio.to_thread.run_sync(self._thread.join)
        if self._waiting and self._error:
            raise self._error

    def emitter(self, subject: str, try_number: int) -> Emit:
        """Make the function that takes this subject's events."""

        def emit(body: EventBody) -> None:
            entry = _Entry(subject, try_number, now(), body)
            with self._lock:
                if not self._waiting:
                    self._work.notify()
                self._waiting.append(entry)
                self._accepted += 1

        return emit

    async def flush(self) -> None:
        """Return once all that was emitted so far is committed. Raises StoreError."""
        with self._lock:
            if self._kept == self._accepted:
                return
        await anyio.to_thread.run_sync(
            self.flush_now, limiter=self._flushers, abandon_on_cancel=True
        )

    def flush_now(self) -> None:
        """`flush`, for those who are in a thread already."""
        with self._lock:
            target = self._accepted
            self._hurry = True
            self._work.notify()
            failures = self._failures
            while self._kept < target:
                if self._failures > failures and self._error:
                    raise self._error
                self._written.wait()

    def _run(self) -> None:
        beat_at = time.monotonic() + BEAT_S
        while self._wait(beat_at - time.monotonic()):
            self._write_waiting()
            if time.monotonic() >= beat_at:
                self._beat()
                beat_at = time.monotonic() + BEAT_S
        self._write_waiting()

    def _wait(self, beat_in_s: float) -> bool:
        """Wait until a batch or a beat is due; False once we are closing."""
        with self._lock:
            self._work.wait_for(lambda: self._waiting or self._closing, max(0.0, beat_in_s))
            if self._waiting:
                self._work.wait_for(lambda: self._hurry, RETRY_S if self._error else BATCH_S)
            return not self._closing

    def _write_waiting(self) -> None:
        with self._lock:
            self._hurry = False
            batch, self._waiting = self._waiting, []
        for start in range(0, len(batch), MAX_BATCH):
            if not self._keep(batch[start : start + MAX_BATCH]):
                with self._lock:
                    self._waiting = batch[start:] + self._waiting
                break

    def _keep(self, batch: list[_Entry]) -> bool:
        """Commit a batch; False where that failed: it is to be tried again, and `flush` told."""
        try:
            self._commit(batch)
        except Exception as error:  # noqa: BLE001 – this thread must outlive whatever goes wrong
            self._last_seq.clear()
            with self._lock:
                self._error = (
                    error if isinstance(error, StoreError) else StoreError(f"store: {error!r}")
                )
                self._failures += 1
                self._written.notify_all()
            return False
        for entry in batch:
            if isinstance(entry.body, TrialEnded):  # little comes after it: forget its number
                self._last_seq.pop(entry.subject, None)
        with self._lock:
            self._error = None
            self._kept += len(batch)
            self._written.notify_all()
        return True

    def _commit(self, batch: list[_Entry]) -> None:
        """Write a batch in one transaction, and where that is refused once more with care.

        Then another process wrote to a subject of ours, so that numbers are counted anew, or a row
        cannot show an event.
        """
        try:
            self._database.write_now(lambda c: self._write(c, batch, fold))
        except (StoreError, *_UNFOLDABLE) as error:
            if isinstance(error.__cause__, OperationalError):  # a lock, a disk: not our matter
                raise
            self._last_seq.clear()
            self._database.write_now(lambda c: self._write(c, batch, _fold_singly))

    def _write(self, connection: Connection, batch: list[_Entry], fold_all: _Fold) -> None:
        rows = [self._row(connection, entry) for entry in batch]
        connection.execute(insert(events), [row for row, _ in rows])
        told = [
            Told(entry.subject, entry.at, entry.body, payload)
            for entry, (_, payload) in zip(batch, rows, strict=True)
            if isinstance(entry.body, FOLDED)
        ]
        if told:
            fold_all(connection, told)

    def _row(self, connection: Connection, entry: _Entry) -> tuple[dict[str, Any], str]:
        payload = clean(_dump(entry.body), self._redact)
        blob = self._database.blobs.put(payload)
        row = {
            "subject": entry.subject,
            "seq": self._number(connection, entry.subject),
            "try_number": entry.try_number,
            "kind": entry.body.kind,
            "at": entry.at,
            "payload": None if blob else payload,
            "blob": blob,
        }
        return row, payload

    def _number(self, connection: Connection, subject: str) -> int:
        last = self._last_seq.get(subject)
        if last is None:
            query = select(func.max(events.c.seq)).where(events.c.subject == subject)
            last = connection.execute(query).scalar() or 0
        self._last_seq[subject] = last + 1
        return last + 1


def _fold_singly(connection: Connection, told: Sequence[Told]) -> None:
    """Fold events one by one; what no row can show is kept all the same and holds up nobody."""
    for each in told:
        try:
            with connection.begin_nested():
                fold(connection, [each])
        except OperationalError:
            raise
        except (SQLAlchemyError, *_UNFOLDABLE):
            _log.exception("event %s of %s has no row", each.body.kind, each.subject)


def clean(payload: str, redact: Redact) -> str:
    """Redact JSON: in its strings only, so that it stays JSON whatever a secret looks like."""
    if redact(payload) == payload:
        return payload
    return json.dumps(over_strings(json.loads(payload), redact), ensure_ascii=False)


def _dump(body: EventBody) -> str:
    """JSON of any body: what no encoding can hold (lone surrogates of broken UTF-8) is replaced."""
    try:
        return body_to_json(body)
    except ValueError:
        text = json.dumps(asdict(body), default=str, ensure_ascii=False)
        return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
