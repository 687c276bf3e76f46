"""Events of one subject: as a page of JSON, or from there on as a stream, by what is accepted."""

from typing import Annotated

from fastapi import Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from mechagym.store.views import trials
from mechagym.web.api.shapes import EventOut, event_out
from mechagym.web.api.stream import EVENT_STREAM, subject_response
from mechagym.web.desk import Desk

Seq = Annotated[int, Query(ge=0, le=2**31 - 1, description="The `seq` after which to go on.")]


class EventsOut(BaseModel):
    """Events of a subject. `next` is the `seq` to go on from; null: these are all so far."""

    items: list[EventOut]
    next: int | None


async def events_of(
    request: Request, desk: Desk, topic: str, after: int, limit: int
) -> EventsOut | Response:
    """What a subject told after a number. `topic` is `kind:subject`."""
    if EVENT_STREAM in request.headers.get("accept", ""):
        return subject_response(desk, topic, after)
    subject = topic.partition(":")[2]
    found = await desk.store.ask(trials.told, subject, after, limit + 1)
    items = [event_out(each) for each in found[:limit]]
    return EventsOut(items=items, next=items[-1].seq if len(found) > limit else None)
