"""The live stream: batches of events by topic, each with the position from which to go on."""

import re
from collections.abc import AsyncIterator
from typing import Annotated, assert_never

from fastapi import APIRouter, Header, Query
from starlette.responses import StreamingResponse

from mechagym.store.views import live
from mechagym.web.api import API
from mechagym.web.api.shapes import told_json
from mechagym.web.desk import At, Desk
from mechagym.web.feed import BATCH, Batch, Feed, Heard, Reload, is_shown_whole
from mechagym.web.problems import Refused

EVENT_STREAM = "text/event-stream"
RETRY_MS = 2_000
MAX_TOPICS = 200
HEADERS = {"x-accel-buffering": "no"}
_TOPIC = re.compile(r"jobs|ops|(?:job|trial|op|subject):[A-Za-z0-9._-]{1,120}")

router = APIRouter(prefix=API, tags=["stream"])

Position = Annotated[
    int | None, Query(ge=0, le=2**62, description="The position after which to go on.")
]


class EventStreamResponse(StreamingResponse):
    """Server-sent events."""

    media_type = EVENT_STREAM


@router.get("/stream", response_class=EventStreamResponse)
async def stream(
    desk: At,
    topics: Annotated[
        str,
        Query(
            min_length=1,
            max_length=20_000,
            description="Comma-separated: `jobs`, `ops`, `job:ID`, `trial:ID`, `op:ID`.",
        ),
    ],
    after: Position = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> StreamingResponse:
    """Follow topics. Each message has the store's position as its id and a batch of events as
    data; `Last-Event-ID` or `after` goes on from there. `event: reload` means: fetch anew.
    """
    wanted = topics.split(",")
    if len(wanted) > MAX_TOPICS or not all(map(_TOPIC.fullmatch, wanted)):
        raise Refused(422, "topics are jobs, ops, job:ID, trial:ID, op:ID", loc="topics")
    begin = _position(last_event_id) if last_event_id else after
    if begin is None:
        begin = desk.feed.position
    return stream_response(desk.feed, frozenset(wanted), begin)


def stream_response(feed: Feed, topics: frozenset[str], after: int) -> StreamingResponse:
    """The stream as an answer."""
    return EventStreamResponse(_lines(feed, topics, after), headers=HEADERS)


def subject_response(desk: Desk, topic: str, after_seq: int) -> StreamingResponse:
    """All that one subject told after a number, and what it tells from now on."""
    return EventStreamResponse(_of_subject(desk, topic, after_seq), headers=HEADERS)


async def _of_subject(desk: Desk, topic: str, after_seq: int) -> AsyncIterator[str]:
    subject, position, seq = topic.partition(":")[2], desk.feed.position, after_seq
    while told := await desk.store.ask(live.of_subject, subject, seq, BATCH):
        seq = told[-1].seq
        heard = tuple(Heard(told=each, topics=frozenset({topic})) for each in told)
        yield _line(Batch(position=min(position, told[-1].position), events=heard))
    async for each in desk.feed.follow(frozenset({topic}), position):
        if isinstance(each, Batch):
            new = tuple(heard for heard in each.events if heard.told.seq > seq)
            yield _line(Batch(position=each.position, events=new))
        else:
            yield _line(each)


async def _lines(feed: Feed, topics: frozenset[str], after: int) -> AsyncIterator[str]:
    yield f"retry: {RETRY_MS}\n\n"
    async for each in feed.follow(topics, after):
        yield _line(each)


def _line(each: Batch | Reload) -> str:
    match each:
        case Batch(events=()):  # an id without data is kept by the client and told to nobody
            return f": alive\nid: {each.position}\n\n"
        case Batch():
            events = ", ".join(
                told_json(heard.told, topics=heard.topics, whole=is_shown_whole(heard.told))
                for heard in each.events
            )
            return f"id: {each.position}\ndata: [{events}]\n\n"
        case Reload():
            return f"event: reload\nid: {each.position}\ndata: {each.position}\n\n"
        case _:
            assert_never(each)


def _position(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Refused(422, "Last-Event-ID is a position", loc="last-event-id")
    return int(text)
