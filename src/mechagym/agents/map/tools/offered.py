"""How the tools are offered to a model, and how its calls are read: strictly, naming the field."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from mechagym.agents.map.arguments import TOOLS
from mechagym.agents.map.types import BadCall, ToolAction
from mechagym.llm.shapes import flat_schema
from mechagym.records import Json

if TYPE_CHECKING:
    from pydantic_ai.messages import ToolCallPart
    from pydantic_ai.tools import ToolDefinition

ARGUMENTS_CHARS = 2_000


def definitions(*, without: frozenset[str] = frozenset()) -> "list[ToolDefinition]":
    """The tools in their fixed order, so that a provider's cache hits."""
    from pydantic_ai.tools import ToolDefinition

    return [
        ToolDefinition(
            name=name,
            description=" ".join((shape.__doc__ or "").split()),
            parameters_json_schema=schema(name),
        )
        for name, shape in TOOLS.items()
        if name not in without
    ]


def schema(tool: str) -> dict[str, Json]:
    """The schema of a tool: flat, required fields first, nothing beside the named fields."""
    made = _plain(flat_schema(TOOLS[tool]))
    return {
        "type": "object",
        "properties": made.get("properties", {}),
        "required": made.get("required", []),
        "additionalProperties": False,
    }


def read_call(part: "ToolCallPart", reasoning: str) -> ToolAction | BadCall:
    """Read one call, or say what is wrong with it."""
    if part.tool_name not in TOOLS:
        return _bad(part, f"there is no tool {part.tool_name!r}; there are: {', '.join(TOOLS)}")
    try:
        given = part.args_as_dict() if part.args else {}
    except (ValueError, AssertionError):
        return _bad(part, "the arguments are not one JSON object")
    try:
        values = {name: value for name, value in given.items() if value is not None}
        arguments = TOOLS[part.tool_name].model_validate(values)
    except ValidationError as error:
        return _bad(part, _told(error))
    return ToolAction(
        action_id=part.tool_call_id,
        tool_name=part.tool_name,
        tool_args=arguments,
        reasoning=reasoning,
    )


def _bad(part: "ToolCallPart", problem: str) -> BadCall:
    text = part.args if isinstance(part.args, str) else json.dumps(part.args, default=str)
    return BadCall(
        action_id=part.tool_call_id,
        tool_name=part.tool_name,
        arguments=(text or "")[:ARGUMENTS_CHARS],
        problem=problem,
    )


def _told(error: ValidationError) -> str:
    faults = [
        f"{'.'.join(map(str, fault['loc'])) or 'the arguments'}: {fault['msg']}"
        for fault in error.errors(include_url=False)
    ]
    return "; ".join(faults)


def _plain(value: Any) -> Any:
    """Without titles, and with an optional field as its own type: small models read that best."""
    match value:
        case {"anyOf": [inner, {"type": "null"}], **rest}:
            kept = {k: v for k, v in rest.items() if k != "default"}
            return _plain({**inner, **kept})
        case Mapping():
            return {
                key: _plain(inner)
                for key, inner in value.items()
                if key != "title" or not isinstance(inner, str)
            }
        case list():
            return [_plain(inner) for inner in value]
        case _:
            return value
