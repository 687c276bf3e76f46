"""One task follows the store for all clients of this process; each client is only a place in it.

Positions are in commit order, so whoever goes on from where they were misses nothing and sees
nothing twice. Who is further behind than what is kept reads the store, and who is very far behind
is told to fetch anew.
"""

import logging
from bisect import bisect_right
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import anyio

from mechagym.errors import StoreError
from mechagym.store import Store
from mechagym.store.blobs import BIG_BYTES
from mechagym.store.reading import position
from mechagym.store.views import live

BATCH = 200
BEHIND = 5_000
BEAT_S = 15.0
AGAIN_S = 1.0
KNOWN_TRIALS = 50_000

BULKY = frozenset(
    {
        *("message_said", "tool_called", "tool_returned", "image_progressed", "egress_connected"),
        *("model_requested", "model_answered", "model_failed", "model_selected", "agent_spent"),
    }
)
"""Kinds that only who follows their trial hears: what a list shows does not change by them."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """An event with the topics under which it is told."""

    told: live.Told
    topics: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What happened up to `position`; without events it is a sign of life."""

    position: int
    events: tuple[Heard, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reload:
    """Too much happened to be told: fetch anew what is shown, and go on from here."""

    position: int


@dataclass(slots=True, kw_only=True)
class Feed:
    """The newest events of a store. `run` must be running for anything to come."""

    store: Store
    _kept: list[Heard] = field(default_factory=list)
    _position: int = 0
    _from: int = 0
    _jobs: dict[str, str] = field(default_factory=dict)
    _news: anyio.Event = field(default_factory=anyio.Event)
    _closed: bool = False

    @property
    def position(self) -> int:
        """Up to where the store was read."""
        return self._position

    async def run(self) -> None:
        """Follow the store until cancelled; one that cannot be read is tried again."""
        await self._begin()
        while not self._closed:
            try:
                async with self.store.watch() as watch:
                    while True:
                        await self._read_on()
                        await watch.wait()
            except StoreError as error:
                _log.warning("the feed waits: %s", error.message)
                await anyio.sleep(AGAIN_S)

    def close(self) -> None:
        """Let every client go."""
        self._closed = True
        self._wake()

    async def follow(self, topics: frozenset[str], after: int) -> AsyncIterator[Batch | Reload]:
        """All events of some topics after a position, in order, as they come."""
        at = after
        while not self._closed:
            news = self._news
            if self._position - at > BEHIND:
                at = self._position
                yield Reload(position=at)
            found = await self._after(at)
            for start in range(0, len(found), BATCH):
                part = found[start : start + BATCH]
                at = part[-1].told.position
                if events := tuple(h for h in part if not topics.isdisjoint(h.topics)):
                    yield Batch(position=at, events=events)
            if not found:
                with anyio.move_on_after(BEAT_S) as silence:
                    await news.wait()
                if silence.cancelled_caught:
                    yield Batch(position=at)

    async def _begin(self) -> None:
        while not self._from:
            try:
                self._position = await self.store.ask(position)
                self._from = self._position + 1
            except StoreError as error:
                _log.warning("the feed waits: %s", error.message)
                await anyio.sleep(AGAIN_S)

    async def _after(self, at: int) -> Sequence[Heard]:
        """What is kept after a position, or where it is older than that, the store's next."""
        if at + 1 >= self._from:
            place = bisect_right(self._kept, at, key=lambda heard: heard.told.position)
            return self._kept[place:]
        if at >= self._position:
            return ()
        return await self._heard(await self.store.ask(live.tail, at, BATCH))

    async def _read_on(self) -> None:
        while told := await self.store.ask(live.tail, self._position, BEHIND):
            self._kept += await self._heard(told)
            if len(self._kept) > 2 * BEHIND:
                self._kept = self._kept[-BEHIND:]
                self._from = self._kept[0].told.position
            self._position = told[-1].position
            self._wake()

    def _wake(self) -> None:
        news, self._news = self._news, anyio.Event()
        news.set()

    async def _heard(self, told: Sequence[live.Told]) -> list[Heard]:
        new = {each.subject for each in told} - self._jobs.keys()
        if new := {subject for subject in new if not subject.startswith("op-")}:
            if len(self._jobs) > KNOWN_TRIALS:
                self._jobs.clear()
                new = {each.subject for each in told}
            self._jobs.update(await self.store.ask(live.jobs_of, new))
        return [Heard(told=each, topics=self._topics(each)) for each in told]

    def _topics(self, told: live.Told) -> frozenset[str]:
        subject = told.subject
        if subject.startswith("op-"):
            return frozenset({f"op:{subject[3:]}", "ops"})
        if (job := self._jobs.get(subject)) is None:
            return frozenset({f"job:{subject}", f"subject:{subject}", "jobs"})
        if told.kind in BULKY:
            return frozenset({f"trial:{subject}"})
        return frozenset({f"trial:{subject}", f"job:{job}", "jobs"})


def is_shown_whole(told: live.Told) -> bool:
    """Whether an event is small enough to travel with a stream; bigger ones are asked for."""
    return told.body is not None and len(told.body) <= BIG_BYTES
