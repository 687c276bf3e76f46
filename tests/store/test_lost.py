"""The end of a try whose process died: what it cost counts, also what was under way."""

from datetime import UTC, datetime

import pytest

from mechagym.events import Event, EventBody, ModelAnswered, ModelFailed, ModelRequested
from mechagym.records import Spend
from mechagym.store.lost import end_of

AT = datetime(2026, 1, 2, tzinfo=UTC)


def cost(nano: int) -> Spend:
    return Spend(billed_nano=nano, imputed_nano=nano)


def asked(call: str, nano: int) -> ModelRequested:
    return ModelRequested(
        call_id=call, model="a:b", door="gateway", held=cost(nano), output_limit=1
    )


@pytest.mark.must("llm-22")
def test_a_call_that_was_under_way_counts_in_full():
    answer = ModelAnswered(call_id="one", model="a:b", spend=cost(3), price_ref="p", total_ms=1.0)
    failure = ModelFailed(call_id="two", model="a:b", error="RateLimit", message="429")
    bodies: list[EventBody] = [
        *(asked("one", 100), answer),
        *(asked("two", 200), failure),
        *(asked("three", 1_000), asked("four", 10_000)),
    ]
    events = [
        Event(subject="t", seq=seq, at=AT, body=body, try_number=1)
        for seq, body in enumerate(bodies, 1)
    ]
    assert end_of(1, AT, events).record.spend == cost(11_003)
