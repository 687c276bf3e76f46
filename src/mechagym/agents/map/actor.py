"""The actor that speaks with its model natively: tools are offered, calls are read, nothing is
parsed out of prose.

Call ids are made unique within the try, in the reply itself, so that a model that counts anew in
each reply is paired all the same.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from mechagym.agents.map.tools.offered import definitions, read_call
from mechagym.agents.map.types import ActorTurn, TurnContext
from mechagym.errors import ModelError

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelResponse
    from pydantic_ai.models import Model


class NativeActor:
    """See `Actor`."""

    def __init__(
        self, model: "Model", *, without: frozenset[str] = frozenset(), prefix: str = ""
    ) -> None:
        """`without` are tools not offered; `prefix` stands before each call id (a candidate's)."""
        self._model, self._prefix = model, prefix
        self._tools = definitions(without=without)
        self._ids: set[str] = set()

    async def act(self, context: TurnContext) -> ActorTurn:
        """Get one reply. Raises ModelError (see `is_too_long`), BudgetError."""
        from pydantic_ai.direct import model_request
        from pydantic_ai.models import ModelRequestParameters
        from pydantic_ai.settings import ModelSettings

        reply = await model_request(
            self._model,
            list(context.messages),
            model_settings=ModelSettings(temperature=context.temperature),
            model_request_parameters=ModelRequestParameters(function_tools=self._tools),
        )
        return self._read(reply)

    def _read(self, reply: "ModelResponse") -> ActorTurn:
        from pydantic_ai.messages import TextPart, ThinkingPart, ToolCallPart

        parts = [
            replace(part, tool_call_id=self._unique(part.tool_call_id))
            if isinstance(part, ToolCallPart)
            else part
            for part in reply.parts
        ]
        text = "".join(part.content for part in parts if isinstance(part, TextPart))
        thinking = "".join(part.content for part in parts if isinstance(part, ThinkingPart))
        calls = [part for part in parts if isinstance(part, ToolCallPart)]
        return ActorTurn(
            reply=replace(reply, parts=parts),
            text=text,
            thinking=thinking,
            calls=tuple(read_call(call, text) for call in calls),
        )

    def _unique(self, call_id: str) -> str:
        wanted = f"{self._prefix}{call_id}"
        name, count = wanted, 1
        while name in self._ids:
            count += 1
            name = f"{wanted}-{count}"
        self._ids.add(name)
        return name


def is_too_long(error: ModelError) -> bool:
    """Whether a provider refused a request because its context was too long."""
    told = str(error).casefold()
    return any(words in told for words in _TOO_LONG)


_TOO_LONG = (
    "context length",
    "context_length",
    "context window",
    "prompt is too long",
    "maximum context",
    "too many tokens",
    "input is too long",
)
