"""`scripted:FILE` and `scripted:package.module:function`: models that say what somebody wrote down.

A file is a list of replies, given one after the other to each caller that opens it: text, thinking,
tool calls, usage, a delay, or an error. Nothing touches a network and nothing costs money, unless
`pricing.yaml` says so.
"""

import inspect
from collections.abc import Awaitable, Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import anyio
import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
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
from mechagym.llm.faults import Fault, FaultKind, TryFailed, kind_of_status
from mechagym.llm.usage import to_library
from mechagym.records import Json, Usage

Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]


class ScriptedUsage(BaseModel):
    """The six counts of a reply."""

    model_config = ConfigDict(extra="forbid")

    input: Count = 0
    cache_read: Count = 0
    cache_write_5m: Count = 0
    cache_write_1h: Count = 0
    output: Count = 0
    reasoning: Count = 0
    web_searches: Count = 0


class ScriptedCall(BaseModel):
    """One call of a tool."""

    model_config = ConfigDict(extra="forbid")

    name: str
    arguments: dict[str, Json] = {}
    id: str | None = None


class ScriptedError(BaseModel):
    """A try that fails: by an HTTP status, or by a word of the retry table."""

    model_config = ConfigDict(extra="forbid")

    status: int | None = None
    kind: FaultKind | None = None
    message: str = "scripted failure"
    retry_after_s: Seconds | None = None

    def fault(self) -> Fault:
        """What the wrappers see."""
        kind = self.kind or (kind_of_status(self.status) if self.status else "server")
        return Fault(
            kind=kind,
            error="Scripted",
            message=self.message,
            status=self.status,
            retry_after_s=self.retry_after_s,
        )


class ScriptedReply(BaseModel):
    """One reply. `usage` absent: guessed from the text; `none`: the reply says nothing of it."""

    model_config = ConfigDict(extra="forbid")

    text: str = ""
    thinking: str = ""
    calls: list[ScriptedCall] = []
    usage: ScriptedUsage | Annotated[str, Field(pattern="^none$")] | None = None
    delay_s: Seconds = 0.0
    error: ScriptedError | None = None

    def response(self, number: int) -> ModelResponse:
        """The reply as the library has it. `number` makes ids of calls that have none."""
        parts: list[ModelResponsePart] = []
        if self.thinking:
            parts.append(ThinkingPart(content=self.thinking))
        if self.text:
            parts.append(TextPart(content=self.text))
        parts += [
            ToolCallPart(
                tool_name=call.name,
                args=call.arguments,
                tool_call_id=call.id or f"call_{number}_{index}",
            )
            for index, call in enumerate(self.calls, start=1)
        ]
        return ModelResponse(
            parts=parts,
            usage=self._usage(),
            finish_reason="tool_call" if self.calls else "stop",
        )

    def _usage(self) -> RequestUsage:
        match self.usage:
            case ScriptedUsage():
                return to_library(Usage(**self.usage.model_dump()))
            case None:
                return RequestUsage()  # the library guesses one
            case _:
                return RequestUsage(unmeasured_requests=1)


def scripted_model(name: str) -> FunctionModel:
    """The model of a file or a function. Raises ConfigError."""
    path = Path(name)
    if path.exists() or ":" not in name:
        return FunctionModel(_in_order(path, read_script(path)), model_name=name)
    return FunctionModel(_function(name), model_name=name)


def read_script(path: Path) -> list[ScriptedReply]:
    """Read a file of replies. Raises ConfigError, naming the place."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        return TypeAdapter(list[ScriptedReply]).validate_python(found)
    except OSError as error:
        raise ConfigError(f"scripted:{path}: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: no YAML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigError(f"{path}: {place}: {first['msg']}") from error


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
        return reply.response(number)

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
