"""A tape beside the gateway: what passes is recorded, and said again to the byte without a network.

Only whole answers are recorded, errors too. When a tape is played, a model that it does not know
is taken for the one that it does: callers name the tape then.
"""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from time import monotonic

import anyio

from mechagym.errors import ConfigError, ModelError
from mechagym.llm.canonical import of_body
from mechagym.llm.faults import Fault
from mechagym.llm.gateway.base import Answer, Outbound, Upstream, UpstreamError
from mechagym.llm.gateway.connection import is_stream
from mechagym.llm.gateway.refusals import Headers
from mechagym.llm.gateway.tee import Tee
from mechagym.llm.player import Player
from mechagym.llm.providers import REPLAY, Dialect
from mechagym.llm.tape import HttpExchange, TapeWriter, chunks_of, http_exchange
from mechagym.records import Json

CHANGED = frozenset({"max_tokens", "max_completion_tokens", "max_output_tokens", "stream_options"})


@dataclass(frozen=True, slots=True)
class RecordingUpstream:
    """Another upstream, with all its whole answers on a tape."""

    upstream: Upstream
    tape: TapeWriter

    @asynccontextmanager
    async def send(self, outbound: Outbound) -> AsyncIterator[Answer]:
        """Send a request once, and write down what came. Raises UpstreamError."""
        async with self.upstream.send(outbound) as answer:
            heard = _Heard(answer)
            try:
                yield heard
            finally:
                if not outbound.free and heard.said_all(outbound.dialect):
                    self._keep(outbound, heard)

    def _keep(self, outbound: Outbound, heard: "_Heard") -> None:
        exchange = http_exchange(
            dialect=outbound.dialect,
            path=outbound.path,
            model=str(outbound.model),
            request=of_body(_question(outbound.body), self.tape.patterns),
            answer=(heard.status, _named(heard.headers)),
        )
        self.tape.add(replace(exchange, chunks=chunks_of(heard.pieces)))


@dataclass(slots=True)
class _Heard:
    """An answer that is kept as it is passed on."""

    answer: Answer
    pieces: list[tuple[bytes, float]] = field(default_factory=list)
    whole: bool = False
    _began_s: float = field(default_factory=monotonic)

    @property
    def status(self) -> int:
        return self.answer.status

    @property
    def headers(self) -> Headers:
        return self.answer.headers

    def said_all(self, dialect: Dialect) -> bool:
        """Whether the answer came to its end, be it that the caller left right after it."""
        if self.whole:
            return True
        tee = Tee(dialect, stream=is_stream(self.headers))
        for chunk, _ in self.pieces:
            tee.saw(chunk)
        tee.ended()
        return tee.usage is not None

    async def chunks(self) -> AsyncIterator[bytes]:
        async for chunk in self.answer.chunks():
            self.pieces.append((chunk, (monotonic() - self._began_s) * 1000))
            yield chunk
        self.whole = True


@dataclass(slots=True, eq=False)
class PlayingUpstream:
    """Answers from tapes for `replay:` models, and hands everything else to another upstream.

    `opener` opens a tape by what stands behind `replay:`; each is opened once.
    """

    upstream: Upstream
    opener: Callable[[str], Player]
    _players: dict[str, Player] = field(default_factory=dict, init=False)

    def send(self, outbound: Outbound) -> AbstractAsyncContextManager[Answer]:
        """Answer once. Raises UpstreamError, also where a tape has no such exchange."""
        ours = outbound.model.provider == REPLAY
        return self._playing(outbound) if ours else self.upstream.send(outbound)

    @asynccontextmanager
    async def _playing(self, outbound: Outbound) -> AsyncIterator[Answer]:
        yield self._play(outbound)

    def _play(self, outbound: Outbound) -> "_Played":
        name = outbound.model.name
        try:
            if name not in self._players:
                self._players[name] = self.opener(name)
            player = self._players[name]
            asked = _as_recorded(_question(outbound.body), outbound.dialect, player)
            exchange = player.take("http", outbound.dialect, of_body(asked, player.patterns))
        except (ModelError, ConfigError) as error:
            fault = Fault(kind="rejected", error=error.reason, message=str(error))
            raise UpstreamError(fault) from error
        assert isinstance(exchange, HttpExchange)
        return _Played(exchange, recorded_speed=player.speed == "recorded")


@dataclass(frozen=True, slots=True)
class _Played:
    """An answer of a tape."""

    exchange: HttpExchange
    recorded_speed: bool

    @property
    def status(self) -> int:
        return self.exchange.status

    @property
    def headers(self) -> Headers:
        return [
            (k.encode("latin-1"), v.encode("latin-1")) for k, v in self.exchange.headers.items()
        ]

    async def chunks(self) -> AsyncIterator[bytes]:
        at_ms = 0.0
        for chunk in self.exchange.chunks:
            if self.recorded_speed:
                await anyio.sleep((chunk.ms - at_ms) / 1000)
                at_ms = chunk.ms
            yield chunk.data


def _question(body: bytes) -> dict[str, Json]:
    """A request without what we change in it: money decides that, on each day anew."""
    asked: dict[str, Json] = json.loads(body)
    return {name: value for name, value in asked.items() if name not in CHANGED}


def _as_recorded(asked: dict[str, Json], dialect: Dialect, player: Player) -> Json:
    """A request with its model by a name that the tape knows; else by the first of its dialect."""
    names = [e.request["model"] for e in player.exchanges if e.dialect == dialect]
    return asked if asked["model"] in names or not names else {**asked, "model": names[0]}


def _named(headers: Headers) -> dict[str, str]:
    return {k.decode("latin-1"): v.decode("latin-1") for k, v in headers}
