"""Logs for a person: one line per event, as `trial.log` and `job.log` hold them."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from mechagym.events import Event
from mechagym.records import TrialRecord, adapter

MAX_CHARS = 500


def lines(events: Iterable[Event]) -> str:
    """`time #seq kind field=value …`, long values cut: the whole is in `events.jsonl`."""
    return "".join(f"{_line(event)}\n" for event in events)


def summary(records: Sequence[TrialRecord]) -> str:
    """One line per trial."""
    return "".join(
        f"{_time(record.counted.ended_at)} {record.key.trial_name} {record.outcome.value}"
        f" reward={'–' if record.reward is None else format(record.reward, 'g')}"
        f" tries={len(record.tries)} cost_usd={record.spend.cost_usd:.6f}\n"
        for record in records
    )


def _line(event: Event) -> str:
    fields = adapter(type(event.body)).dump_python(event.body, mode="json")
    kind = fields.pop("kind")
    said = " ".join(f"{name}={_short(value)}" for name, value in fields.items() if value)
    attempt = f" try={event.try_number}" if event.try_number else ""
    return f"{_time(event.at)} #{event.seq}{attempt} {kind} {said}".rstrip()


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = text.encode("unicode_escape").decode() if not text.isprintable() else text
    return text if len(text) <= MAX_CHARS else f"{text[:MAX_CHARS]}…"
