"""The one writer of events: takes them without waiting, numbers them, and commits them in batches.

The invariants: within a subject `seq` counts from 1 without a gap, in the order of emission,
whatever fails; an event is committed at most 100 ms after it happened (`BATCH_S` waiting, the rest
to write); nothing is kept before it is redacted. While the disk refuses, events wait in memory and
`flush` says why.
"""

import json
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import anyio.to_thread
from sqlalchemy import Connection, func, insert, select
from sqlalchemy.exc import IntegrityError

from mechagym.errors import StoreError
from mechagym.events import Emit, EventBody, TrialEnded, body_to_json
from mechagym.records import now
from mechagym.store.database import Database
from mechagym.store.folds import FOLDED, fold
from mechagym.store.tables import events

BATCH_S = 0.05
RETRY_S = 1.0
BEAT_S = 10.0
MAX_BATCH = 5_000

Redact = Callable[[str], str]


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
        self._changed = threading.Condition()
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
        with self._changed:
            self._closing = self._hurry = True
            self._changed.notify_all()
        await anyio.to_thread.run_sync(self._thread.join)
        if self._waiting:
            raise self._error or StoreError("store: events were left unwritten")

    def emitter(self, subject: str, try_number: int) -> Emit:
        """Make the function that takes this subject's events."""

        def emit(body: EventBody) -> None:
            entry = _Entry(subject, try_number, now(), body)
            with self._changed:
                if not self._waiting:
                    self._changed.notify_all()
                self._waiting.append(entry)
                self._accepted += 1

        return emit

    async def flush(self) -> None:
        """Return once all that was emitted so far is committed. Raises StoreError."""
        with self._changed:
            target = self._accepted
            if self._kept >= target:
                return
        await anyio.to_thread.run_sync(
            self._wait_kept, target, limiter=self._flushers, abandon_on_cancel=True
        )

    def _wait_kept(self, target: int) -> None:
        with self._changed:
            failures = self._failures
            while self._kept < target:
                self._hurry = True
                self._changed.notify_all()
                self._changed.wait()
                if self._failures > failures and self._error and self._kept < target:
                    raise self._error

    def _run(self) -> None:
        while self._next():
            with self._changed:
                self._hurry = self._closing
                batch, self._waiting = self._waiting, []
            for start in range(0, len(batch), MAX_BATCH):
                if not self._keep(batch[start : start + MAX_BATCH]):
                    with self._changed:
                        self._waiting = batch[start:] + self._waiting
                    break

    def _next(self) -> bool:
        """Wait until a batch is due; False once all is written, or closing did not help."""
        with self._changed:
            while not (self._waiting or self._closing):
                if not self._changed.wait(BEAT_S):
                    self._changed.release()
                    try:
                        self._beat()
                    finally:
                        self._changed.acquire()
            self._changed.wait_for(lambda: self._hurry, RETRY_S if self._error else BATCH_S)
            return bool(self._waiting) and not (self._closing and self._error)

    def _keep(self, batch: list[_Entry]) -> bool:
        try:
            try:
                self._database.write_now(lambda connection: self._write(connection, batch))
            except StoreError as error:
                if not isinstance(error.__cause__, IntegrityError):
                    raise
                self._last_seq.clear()  # another process wrote to a subject of ours: count anew
                self._database.write_now(lambda connection: self._write(connection, batch))
        except StoreError as error:
            self._last_seq.clear()
            with self._changed:
                self._error = error
                self._failures += 1
                self._changed.notify_all()
            return False
        with self._changed:
            self._error = None
            self._kept += len(batch)
            self._changed.notify_all()
        return True

    def _write(self, connection: Connection, batch: list[_Entry]) -> None:
        rows = [self._row(connection, entry) for entry in batch]
        connection.execute(insert(events), [row for row, _ in rows])
        for entry, (_, payload) in zip(batch, rows, strict=True):
            if isinstance(entry.body, FOLDED):
                fold(connection, entry.subject, entry.at, entry.body, payload)

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
        if isinstance(entry.body, TrialEnded):
            self._last_seq.pop(entry.subject, None)
        return row, payload

    def _number(self, connection: Connection, subject: str) -> int:
        last = self._last_seq.get(subject)
        if last is None:
            query = select(func.max(events.c.seq)).where(events.c.subject == subject)
            last = connection.execute(query).scalar() or 0
        self._last_seq[subject] = last + 1
        return last + 1


def clean(payload: str, redact: Redact) -> str:
    """Redact JSON: in its strings only, so that it stays JSON whatever a secret looks like."""
    if redact(payload) == payload:
        return payload
    return json.dumps(_walk(json.loads(payload), redact), ensure_ascii=False)


def _walk(value: Any, redact: Redact) -> Any:
    match value:
        case str():
            return redact(value)
        case list():
            return [_walk(item, redact) for item in value]
        case dict():
            return {redact(key): _walk(item, redact) for key, item in value.items()}
        case _:
            return value


def _dump(body: EventBody) -> str:
    """JSON of any body: what no encoding can hold (lone surrogates of broken UTF-8) is replaced."""
    try:
        return body_to_json(body)
    except ValueError:
        text = json.dumps(asdict(body), default=str, ensure_ascii=False)
        return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
