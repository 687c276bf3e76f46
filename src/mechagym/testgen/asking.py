"""Asking the models: for tests by a tool, for everything else by `llm.ask`.

A reply that does not fit gets one repair turn; after that it is data, told as `Unusable`. What ends
a run (no money, no model) is raised as it came.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from mechagym.errors import ModelError
from mechagym.llm.ask import ask
from mechagym.llm.shapes import flat_schema
from mechagym.records import adapter
from mechagym.testgen.proposals import Proposals

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
    from pydantic_ai.models import Model, ModelRequestParameters
    from pydantic_ai.settings import ModelSettings

T = TypeVar("T")

TOOL = "propose_tests"
UNUSABLE = frozenset({"wrong_shape", "truncated"})
_TOLD = "Each test is one function (or one script) that stands alone."


@dataclass(frozen=True, slots=True, kw_only=True)
class Unusable:
    """A reply that was no answer, twice."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """A model with how it is asked."""

    model: "Model"
    temperature: float
    max_tokens: int

    @property
    def name(self) -> str:
        """As it is kept with a test."""
        return str(self.model.model_name)

    @property
    def settings(self) -> "ModelSettings":
        """What goes with each call."""
        return {"temperature": self.temperature, "max_tokens": self.max_tokens}


async def ask_typed(voice: Voice, system: str, prompt: str, shape: type[T]) -> T | Unusable:
    """A value of `shape`. Raises ModelError and BudgetError but for replies that do not fit."""
    try:
        return await ask(voice.model, _opening(system, prompt), shape, settings=voice.settings)
    except ModelError as error:
        if error.reason in UNUSABLE:
            return Unusable(why=error.message)
        raise


async def ask_for_tests(voice: Voice, system: str, prompt: str) -> Proposals | Unusable:
    """Proposed tests. Raises ModelError, BudgetError."""
    from pydantic_ai.direct import model_request

    messages = _opening(system, prompt)
    problem = ""
    for _ in range(2):
        reply = await model_request(
            voice.model,
            messages,
            model_settings=voice.settings,
            model_request_parameters=_parameters(),
        )
        call = next((part for part in reply.tool_calls if part.tool_name == TOOL), None)
        try:
            return _proposals(call, reply)
        except ValueError as error:  # pydantic's too
            problem = _fault(error)
        messages += [reply, _repair(call, problem)]
    return Unusable(why=problem)


def _proposals(call: "ToolCallPart | None", reply: "ModelResponse") -> Proposals:
    """What the tool was called with, or the whole of a reply that is the same JSON."""
    shape = adapter(Proposals)
    found: Proposals
    if call is None:
        found = shape.validate_json(reply.text or "")
    elif isinstance(call.args, str):
        found = shape.validate_json(call.args)
    else:
        found = shape.validate_python(call.args or {})
    return found


def _fault(error: ValueError) -> str:
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return str(error)
    faults = error.errors(include_url=False)[:5]
    told = [f"{'.'.join(map(str, f['loc'])) or 'the call'}: {f['msg']}" for f in faults]
    return "; ".join(told)


def _repair(call: "ToolCallPart | None", problem: str) -> "ModelMessage":
    from pydantic_ai.messages import ModelRequest, RetryPromptPart

    text = f"This was no usable call of {TOOL}: {problem}. Call {TOOL} again, with all of it."
    if call is None:
        return ModelRequest.user_text_prompt(text)
    part = RetryPromptPart(content=text, tool_name=TOOL, tool_call_id=call.tool_call_id)
    return ModelRequest(parts=[part])


def _opening(system: str, prompt: str) -> "list[ModelMessage]":
    from pydantic_ai.messages import ModelRequest, SystemPromptPart, UserPromptPart

    return [ModelRequest(parts=[SystemPromptPart(content=system), UserPromptPart(content=prompt)])]


def _parameters() -> "ModelRequestParameters":
    from pydantic_ai.models import ModelRequestParameters
    from pydantic_ai.tools import ToolDefinition

    schema: dict[str, Any] = flat_schema(Proposals)
    tool = ToolDefinition(
        name=TOOL,
        description=f"Hand in 2 to 5 tests. {_TOLD}",
        parameters_json_schema=schema,
        kind="output",
    )
    return ModelRequestParameters(output_mode="tool", output_tools=[tool], allow_text_output=False)
