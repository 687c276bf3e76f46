"""Scripted models behind the gateway: `scripted:FILE` answers agents in boxes, in their dialect.

Which reply is due is counted from the conversation itself, by the answers that stand in it: trials
side by side, and an agent that asks once more, get what is theirs.
"""

import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from mechagym.errors import ConfigError
from mechagym.llm.canonical import of_body, turn_of
from mechagym.llm.faults import Fault
from mechagym.llm.gateway.base import Answer, Outbound, Upstream, UpstreamError
from mechagym.llm.gateway.refusals import Headers
from mechagym.llm.providers import SCRIPTED
from mechagym.llm.script import ScriptedReply, ScriptedUsage, read_script
from mechagym.llm.speech import SPEECH
from mechagym.llm.speech.turn import Failure, ToolCall, Turn
from mechagym.records import Json, Usage


@dataclass(slots=True, eq=False)
class ScriptingUpstream:
    """Answers for `scripted:` models, and hands everything else to another upstream."""

    upstream: Upstream
    _scripts: dict[str, list[ScriptedReply]] = field(default_factory=dict, init=False)

    def send(self, outbound: Outbound) -> AbstractAsyncContextManager[Answer]:
        """Answer once. Raises UpstreamError, also where the script is over."""
        ours = outbound.model.provider == SCRIPTED
        return self._saying(outbound) if ours else self.upstream.send(outbound)

    @asynccontextmanager
    async def _saying(self, outbound: Outbound) -> AsyncIterator[Answer]:
        yield await self._say(outbound)

    async def _say(self, outbound: Outbound) -> "_Said":
        name = outbound.model.name
        try:
            if name not in self._scripts:
                self._scripts[name] = read_script(Path(name))
        except ConfigError as error:
            raise _rejected(error.reason, str(error)) from error
        asked = json.loads(outbound.body)
        number = turn_of(of_body(asked))
        if number >= len(self._scripts[name]):
            raise _rejected("script_over", f"{name}: the script has no reply number {number + 1}")
        reply = self._scripts[name][number]
        await anyio.sleep(reply.delay_s)
        question = _Question(number=number + 1, model=str(asked["model"]), json=asked)
        return _said(outbound, reply, question)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    number: int
    model: str
    json: Json

    @property
    def tells_usage(self) -> bool:
        return True  # the gateway always asks for it


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """An answer that is there as a whole."""

    status: int
    pieces: tuple[bytes, ...]
    kind: bytes = b"application/json"

    @property
    def headers(self) -> Headers:
        return [(b"content-type", self.kind)]

    async def chunks(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece


def _said(outbound: Outbound, reply: ScriptedReply, question: _Question) -> _Said:
    speech = SPEECH[outbound.dialect]
    if reply.error is not None:
        status = reply.error.status or 500
        told = speech.failure(Failure(status=status, message=reply.error.message))
        return _Said(status=status, pieces=(json.dumps(told).encode(),))
    turn = _turn(reply, question.number)
    if outbound.stream:
        return _Said(
            status=200, pieces=tuple(speech.events(turn, question)), kind=b"text/event-stream"
        )
    whole = json.dumps(speech.plain(turn, question), ensure_ascii=False)
    return _Said(status=200, pieces=(whole.encode(),))


def _turn(reply: ScriptedReply, number: int) -> Turn:
    calls = tuple(
        ToolCall(id=call.id or f"call_{number}_{index}", name=call.name, arguments=call.arguments)
        for index, call in enumerate(reply.calls, start=1)
    )
    match reply.usage:
        case ScriptedUsage():
            usage: Usage | None = Usage(**reply.usage.model_dump())
        case None:
            usage = _guessed(reply)
        case _:
            usage = None
    return Turn(text=reply.text, thinking=reply.thinking, calls=calls, usage=usage)


def _guessed(reply: ScriptedReply) -> Usage:
    """A count for a reply that says none: four characters a token."""
    said = reply.text + reply.thinking + "".join(map(str, reply.calls))
    return Usage(input=100, output=max(1, len(said) // 4))


def _rejected(error: str, message: str) -> UpstreamError:
    return UpstreamError(Fault(kind="rejected", error=error, message=message))
