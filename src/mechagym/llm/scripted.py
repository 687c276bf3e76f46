"""`scripted:FILE` and `scripted:package.module:function`: models that say what somebody wrote down.

A file is a list of replies, given one after the other to each caller that opens it: text, thinking,
tool calls, usage, a delay, or an error. Nothing touches a network and nothing costs money, unless
`pricing.yaml` says so.
"""

import inspect
from collections.abc import Awaitable, Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import anyio
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    ModelResponsePart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage

from mechagym.errors import ConfigError, ModelError
from mechagym.llm.faults import TryFailed
from mechagym.llm.script import ScriptedReply, ScriptedUsage, read_script, script_file
from mechagym.llm.usage import to_library
from mechagym.records import Usage


def scripted_model(name: str) -> FunctionModel:
    """The model of a file or a function. Raises ConfigError."""
    if (path := script_file(name)) is not None:
        return FunctionModel(_in_order(path, read_script(path)), model_name=name)
    return FunctionModel(_function(name), model_name=name)


Answering = Callable[[list[ModelMessage], AgentInfo], Awaitable[ModelResponse]]


def _in_order(path: Path, replies: list[ScriptedReply]) -> Answering:
    rest: Iterator[tuple[int, ScriptedReply]] = iter(enumerate(replies, start=1))

    async def answer(_messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        number, reply = next(rest, (0, None))
        if reply is None:
            raise ModelError(f"{path}: the script has no more replies", reason="script_over")
        await anyio.sleep(reply.delay_s)
        if reply.error is not None:
            raise TryFailed(reply.error.fault())
        return _response(reply, number)

    return answer


def _function(name: str) -> Answering:
    """A function of a person's own, plain or async; what it gives may be a text."""
    module, _, attribute = name.rpartition(":")
    try:
        found: Any = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"scripted:{name}: {error}") from error

    async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        given = found(messages, info)
        if inspect.isawaitable(given):
            given = await given
        return ModelResponse(parts=[TextPart(content=given)]) if isinstance(given, str) else given

    return answer


def _response(reply: ScriptedReply, number: int) -> ModelResponse:
    """The reply as the library has it. `number` makes ids of calls that have none."""
    parts: list[ModelResponsePart] = []
    if reply.thinking:
        parts.append(ThinkingPart(content=reply.thinking))
    if reply.text:
        parts.append(TextPart(content=reply.text))
    parts += [
        ToolCallPart(
            tool_name=call.name,
            args=call.arguments,
            tool_call_id=call.id or f"call_{number}_{index}",
        )
        for index, call in enumerate(reply.calls, start=1)
    ]
    return ModelResponse(
        parts=parts,
        usage=_usage(reply),
        finish_reason="tool_call" if reply.calls else "stop",
    )


def _usage(reply: ScriptedReply) -> RequestUsage:
    match reply.usage:
        case ScriptedUsage():
            return to_library(Usage(**reply.usage.model_dump()))
        case None:
            return RequestUsage()  # the library guesses one
        case _:
            return RequestUsage(unmeasured_requests=1)
