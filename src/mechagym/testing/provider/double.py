"""The provider double: an HTTP server on loopback that answers by a script and keeps what it got.

It speaks the four wires with their model lists and counts. It is for tests: it trusts its clients,
and misbehaves when it is told to.
"""

import json
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace

import anyio
import h11
from anyio.abc import SocketAttribute, SocketStream

from mechagym.llm.speech import SPEECH, Speech
from mechagym.records import Json
from mechagym.testing.provider.asked import Asked, Left
from mechagym.testing.provider.delivery import CutError, Road, retry_headers
from mechagym.testing.provider.lists import Listed, count, listing
from mechagym.testing.provider.turns import Answer, Failure, Script, Trouble, Turn, as_script

_ENDS = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)


@dataclass(slots=True, kw_only=True)
class ProviderDouble:
    """What a test holds: the address, and every request in the order of its coming."""

    url: str
    script: Script
    models: tuple[Listed, ...] = ()
    key: str | None = None  # where given, any other credential is a 401
    asked: list[Asked] = field(default_factory=list)

    @property
    def works(self) -> list[Asked]:
        """The requests for a model's work alone, without lists and counts."""
        return [asked for asked in self.asked if asked.wire]


@asynccontextmanager
async def provider_double(
    script: Script | Answer | Iterable[Answer],
    *,
    models: tuple[Listed, ...] = (Listed(id="double-1"),),
    key: str | None = None,
    port: int = 0,
) -> AsyncIterator[ProviderDouble]:
    """Serve on loopback, in this event loop, until the end of the block."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port)
    url = f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"  # noqa: S610
    double = ProviderDouble(url=url, script=as_script(script), models=models, key=key)

    async def handle(client: SocketStream) -> None:
        async with client:
            await _Connection(double, client).serve()

    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handle)
        yield double
        tasks.cancel_scope.cancel()


class _Connection:
    """One client, request after request."""

    def __init__(self, double: ProviderDouble, client: SocketStream) -> None:
        self.double = double
        self.client = client
        self.http = h11.Connection(h11.SERVER)

    async def serve(self) -> None:
        try:
            while (asked := await self._next()) is not None:
                await self._answered(asked)
                if self.http.our_state is not h11.DONE or self.http.their_state is not h11.DONE:
                    return
                self.http.start_next_cycle()
        except (*_ENDS, CutError, h11.RemoteProtocolError):
            return

    async def _next(self) -> Asked | None:
        """The next request; None where the client wants no more, or the script hangs up."""
        asked: Asked | None = None
        body = bytearray()
        while True:
            match await self._event():
                case h11.Request() as head:
                    asked = _asked(head, number=len(self.double.asked) + 1)
                    self.double.asked.append(asked)
                case h11.Data(data=data):
                    body += data
                case h11.EndOfMessage():
                    assert asked is not None
                    asked.body = bytes(body)
                    return asked
                case _:
                    return None

    async def _event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        while (event := self.http.next_event()) is h11.NEED_DATA:
            if self.http.they_are_waiting_for_100_continue:
                await self._send(h11.InformationalResponse(status_code=100, headers=[]))
            await self._receive()
        return event

    async def _receive(self) -> None:
        try:
            self.http.receive_data(await self.client.receive())
        except anyio.EndOfStream:
            self.http.receive_data(b"")

    async def _send(self, event: h11.Event) -> None:
        if data := self.http.send(event):
            await self.client.send(data)

    async def _answered(self, asked: Asked) -> None:
        """Answer, and see at once when the client leaves."""
        ended: Left = "client left"
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._watch, tasks.cancel_scope)
                await self._answer(asked)
                ended = "whole"
                tasks.cancel_scope.cancel()
        except* CutError:
            ended = "cut"
        except* _ENDS:
            ended = "client left"
        finally:
            asked.ended, asked.ended_s = ended, time.monotonic()
        if ended != "whole":
            raise CutError

    async def _watch(self, answering: anyio.CancelScope) -> None:
        try:
            self.http.receive_data(await self.client.receive())  # an eager next request is kept
        except _ENDS:
            answering.cancel()

    async def _answer(self, asked: Asked) -> None:
        speech = SPEECH[asked.wire or "anthropic"]
        if self.double.key is not None and asked.key != self.double.key:
            await self._reply(asked, _failed(speech, Failure(status=401, message="wrong key")))
        elif asked.wire is None:
            await self._reply(asked, _told(self.double, asked))
        else:
            answer = self.double.script(asked)
            await anyio.sleep(answer.trouble.wait_s)
            if answer.trouble.hang_up:
                raise CutError
            if isinstance(answer, Failure):
                await self._reply(asked, _failed(speech, answer))
            else:
                await self._reply(asked, _turn(asked, speech, answer))

    async def _reply(self, asked: Asked, reply: "_Reply") -> None:
        asked.status = reply.status
        named = {"request-id": f"req_{asked.number}", **reply.headers}
        headers = [(k.encode(), v.encode()) for k, v in named.items()]
        await self._send(h11.Response(status_code=reply.status, headers=headers))

        async def send(piece: bytes) -> None:
            await self._send(h11.Data(data=piece))
            asked.sent += piece

        if asked.method != "HEAD":
            await Road(send, reply.trouble).carry(reply.parts)
        await self._send(h11.EndOfMessage())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reply:
    status: int
    headers: dict[str, str]
    parts: Iterable[bytes]
    trouble: Trouble = Trouble()  # noqa: RUF009 – frozen


def _turn(asked: Asked, speech: Speech, turn: Turn) -> _Reply:
    if not asked.stream:
        return _whole(speech.plain(turn, asked), trouble=replace(turn.trouble, stamps=False))
    return _Reply(
        status=200,
        headers={"content-type": "text/event-stream", "cache-control": "no-cache"},
        parts=speech.events(turn, asked),
        trouble=turn.trouble,
    )


def _failed(speech: Speech, failure: Failure) -> _Reply:
    reply = _whole(speech.failure(failure), failure.status, trouble=failure.trouble)
    return replace(reply, headers=reply.headers | retry_headers(failure) | failure.headers)


def _told(double: ProviderDouble, asked: Asked) -> _Reply:
    """What is answered without a model's work."""
    if asked.route == "/double/asked":
        told: Json = [_shown(work) for work in double.works]
    else:
        told = count(asked) if asked.method == "POST" else listing(asked, double.models)
    return _whole({}, 404) if told is None else _whole(told)


def _whole(value: Json, status: int = 200, *, trouble: Trouble | None = None) -> _Reply:
    body = json.dumps(value, ensure_ascii=False).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body))}
    return _Reply(status=status, headers=headers, parts=[body], trouble=trouble or Trouble())


def _asked(head: h11.Request, *, number: int) -> Asked:
    return Asked(
        number=number,
        method=head.method.decode(),
        path=head.target.decode(),
        headers={k.decode(): v.decode("latin-1") for k, v in head.headers},
        body=b"",
    )


def _shown(asked: Asked) -> Json:
    """A request as another process reads it at `/double/asked`."""
    shown = {k: v for k, v in asdict(asked).items() if k not in ("body", "sent")}
    return shown | {"json": asked.json, "body_bytes": len(asked.body)}
