"""One call, from the caller to its provider and back: reserved, sent once, passed on, settled.

Each call that was opened ends exactly once here, whatever happens to the caller, to the provider
or to the trial. A chunk is passed on before anything reads it.
"""

from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio.to_thread

from mechagym.errors import BudgetError, BudgetExhausted, ConfigError, ModelError
from mechagym.llm.calls import Call, open_counted
from mechagym.llm.faults import Fault, kind_of_status
from mechagym.llm.gateway.asking import (
    Asking,
    call_request,
    check_reach,
    wanted_of,
    work_changes,
)
from mechagym.llm.gateway.base import Answer, Upstream, UpstreamError
from mechagym.llm.gateway.connection import Connection, is_stream
from mechagym.llm.gateway.counting import can_count, count, estimated
from mechagym.llm.gateway.headers import inward, retry_after_s
from mechagym.llm.gateway.reach import look_through
from mechagym.llm.gateway.refusals import (
    BUDGET,
    BUSY,
    NO_TAPE,
    PRICE,
    UNREACHABLE,
    Headers,
    Refused,
)
from mechagym.llm.gateway.tee import Tee
from mechagym.llm.gateway.wanted import Wanted
from mechagym.llm.pace import Pace

if TYPE_CHECKING:
    from mechagym.llm.stack import Models

TURN_S = 60.0
MAX_FAILURE_BYTES = 1024 * 1024
SHOWN_CHARS = 400


class CutError(Exception):
    """The answer broke off at the provider; the caller's connection breaks off too."""


class Relay:
    """Passes one request on. Raises Refused before anything was sent to the caller."""

    def __init__(self, models: "Models", upstream: Upstream, client: Connection) -> None:
        self._models = models
        self._upstream = upstream
        self._client = client

    async def count(self, asking: Asking) -> None:
        """Count tokens: by the provider, for nothing, or by an estimate."""
        check_reach(look_through(asking.body.values).outward, asking.grant)
        if not can_count(asking):
            json_type = [(b"content-type", b"application/json")]
            await self._client.answer(200, json_type, estimated(asking.body.raw))
            return
        try:
            async with self._upstream.send(asking.outbound(asking.changes)) as answer:
                body = await _short_body(asking, answer)
                await self._client.answer(answer.status, _unsized(inward(answer.headers)), body)
        except UpstreamError as error:
            raise self._broken(error) from error

    async def work(self, asking: Asking) -> None:
        """Have a model work. Raises Refused, CutError, LeftError."""
        wanted = wanted_of(asking)
        pace = self._models.paces.of(asking.provider, asking.credential)
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(pace.turn(TURN_S))
            except ModelError as error:
                raise Refused(BUSY, str(error)) from error
            call = await self._open(asking, wanted)
            try:
                await self._send(_Sent(asking=asking, call=call, pace=pace), wanted)
            except UpstreamError as error:
                if call.open:
                    call.failed(error.fault, released=error.fault.released)
                raise self._broken(error) from error
            finally:
                if call.open:
                    call.abandoned()

    async def _open(self, asking: Asking, wanted: Wanted) -> Call:
        try:
            return await open_counted(
                asking.grant.ledger,
                call_request(asking, wanted),
                lambda: count(self._upstream, asking),
            )
        except BudgetError as error:
            cause = BUDGET if isinstance(error, BudgetExhausted) else PRICE
            raise Refused(cause, str(error)) from error

    async def _send(self, sent: "_Sent", wanted: Wanted) -> None:
        changes = work_changes(sent.asking, wanted, sent.call)
        outbound = sent.asking.outbound(changes, stream=wanted.stream)
        async with self._upstream.send(outbound) as answer:
            if 200 <= answer.status < 300:
                await self._pass(sent, answer)
                sent.pace.went_well()
            else:
                await self._fail(sent, answer)

    async def _pass(self, sent: "_Sent", answer: Answer) -> None:
        """Pass an answer on, and settle by what it said."""
        headers = inward(answer.headers)
        tee = Tee(sent.asking.route.dialect, stream=is_stream(headers))
        began = whole = False
        try:
            await self._client.respond(answer.status, headers)
            async for chunk in answer.chunks():
                await self._client.send(chunk)
                if not began:
                    sent.call.output_began()
                    began = True
                tee.saw(chunk)
            whole = True
            await self._client.end()
        finally:
            tee.ended()
            if tee.finish is not None or whole:
                sent.call.answered(tee.usage, finish=tee.finish, request_id=_request_id(headers))

    async def _fail(self, sent: "_Sent", answer: Answer) -> None:
        """Pass an error on as it is, with its Retry-After."""
        asking, headers = sent.asking, inward(answer.headers)
        body = await _short_body(asking, answer)
        fault = Fault(
            kind=kind_of_status(answer.status),
            error=f"HTTP {answer.status}",
            message=body.decode(errors="replace")[:SHOWN_CHARS],
            status=answer.status,
            retry_after_s=retry_after_s(headers),
        )
        sent.call.failed(fault, released=fault.released)
        if answer.status in (429, 529):
            sent.pace.slow_down(fault.retry_after_s)
        if fault.kind == "unauthorised":
            await self._reread(asking)
        await self._client.answer(answer.status, _unsized(headers), body)

    async def _reread(self, asking: Asking) -> None:
        """The next call may have another key; this one is not repeated here."""
        credentials, agent = self._models.credentials, asking.grant.agent
        with suppress(ConfigError):
            await anyio.to_thread.run_sync(lambda: credentials.reread(asking.provider, agent=agent))

    def _broken(self, error: UpstreamError) -> Exception:
        if self._client.began:
            return CutError()
        if error.fault.kind == "rejected":
            return Refused(NO_TAPE, str(error))
        return Refused(UNREACHABLE, f"the provider did not answer: {error}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    """A call on its way."""

    asking: Asking
    call: Call
    pace: Pace


async def _short_body(asking: Asking, answer: Answer) -> bytes:
    """A short answer, whole; where it repeats our own key, stars stand for it."""
    body = bytearray()
    async for chunk in answer.chunks():
        body += chunk[: MAX_FAILURE_BYTES - len(body)]
    if asking.credential is None:
        return bytes(body)
    secret = asking.credential.secret.reveal().encode()
    return bytes(body).replace(secret, b"*" * len(secret))


def _unsized(headers: Headers) -> Headers:
    return [(name, value) for name, value in headers if name != b"content-length"]


def _request_id(headers: Headers) -> str | None:
    ids = (v for n, v in headers if n in (b"request-id", b"x-request-id"))
    return next((value.decode("latin-1") for value in ids), None)
