"""The record of a try whose process died: told by whoever goes on with the job.

So every try has an end, its cost counts, and its number and evidence are never used by another.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from mechagym.events import (
    BoxOpened,
    CredentialExposed,
    Event,
    ModelRequested,
    PhaseEnded,
    TryEnded,
    spent_in,
)
from mechagym.records import ErrorRecord, Outcome, PhaseTime, Spend, TryRecord

DIED = ErrorRecord(
    type="ProcessDied",
    reason="process_died",
    message="the process that ran this try died in the middle of it",
    blame="host",
    retry=True,
)


def end_of(number: int, started_at: datetime, events: Sequence[Event]) -> TryEnded:
    """Fold what the dead try had told into its end: an infrastructure fault, not graded.

    A model call that was under way counts in full: it may have been billed.
    """
    box, spend, phases = None, Spend(), []
    under_way: dict[str, Spend] = {}
    for event in events:
        match event.body:
            case BoxOpened(box=opened, purpose="agent"):
                box = opened
            case ModelRequested(call_id=call, held=held):
                under_way[call] = held
            case PhaseEnded(phase=phase, duration_s=duration_s):
                began = event.at - timedelta(seconds=duration_s)
                phases.append(PhaseTime(phase=phase, started_at=began, duration_s=duration_s))
            case _:
                pass
        if (spent := spent_in(event.body)) is not None:
            under_way.pop(getattr(event.body, "call_id", ""), None)
            spend += spent
    record = TryRecord(
        number=number,
        outcome=Outcome.INFRA_ERROR,
        started_at=started_at,
        ended_at=max([started_at, *(event.at for event in events)]),
        phases=tuple(phases),
        box=box,
        error=DIED,
        credential_exposed=any(isinstance(event.body, CredentialExposed) for event in events),
        spend=sum(under_way.values(), spend),
    )
    return TryEnded(record=record)
