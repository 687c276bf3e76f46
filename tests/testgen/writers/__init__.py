"""Models that write tests: each says what its file says, by what it is asked for.

No reply was changed after a suite had been measured on a solution.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from mechagym.budget import Meter
from mechagym.testgen.types import OpenWriter

FOLDER = Path(__file__).parent
Said = Callable[[str, str], Any]
"""Asked for (`Split`, `tests`, `Reflection`, …) and prompt → what is said."""


def model_of(said: Said, *, name: str = "writer") -> FunctionModel:
    """A model by a function; text is said as it is, all else as JSON or by the tool."""

    async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        asked, prompt = asked_for(info), prompt_of(messages)
        reply = said(asked, prompt)
        if isinstance(reply, ModelResponse):
            return reply
        if isinstance(reply, str):
            return ModelResponse(parts=[TextPart(content=reply)])
        if asked == "tests":
            return ModelResponse(parts=[ToolCallPart(tool_name="propose_tests", args=reply)])
        return ModelResponse(parts=[TextPart(content=json.dumps(reply))])

    return FunctionModel(answer, model_name=name)


def asked_for(info: AgentInfo) -> str:
    """The name of the shape that is asked for."""
    if info.output_tools:
        return "tests"
    asked = info.model_request_parameters.output_object
    return str(asked.name) if asked else ""


def prompt_of(messages: list[ModelMessage]) -> str:
    """All that was said to the model."""
    return "\n".join(str(getattr(part, "content", "")) for m in messages for part in m.parts)


def category_of(prompt: str) -> str:
    """The category for which a round asks."""
    found = re.findall(r"Write \d+ tests of the category (\w+)", prompt)
    return str(found[-1]) if found else ""


def from_file(name: str) -> Said:
    """What a file of this folder says: tests of a category in order, as many as are asked for."""
    script: Mapping[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text("utf-8"))
    rest = {category: list(tests) for category, tests in script["tests"].items()}

    def said(asked: str, prompt: str) -> Any:
        match asked:
            case "Split":
                return script["split"]
            case "tests":
                count = int(re.findall(r"Write (\d+) tests", prompt)[-1])
                waiting = rest.get(category_of(prompt), [])
                given, waiting[:count] = waiting[:count], []
                return {"tests": given}
            case "Reflection":
                return script["reflection"]
            case "Assessment":
                return script["assessment"]
            case _:
                return {"requirements": []}

    return said


def opener(said: Said) -> OpenWriter:
    """Both roles by the same model."""
    model = model_of(said)

    def opened(_role: str, _meter: Meter) -> FunctionModel:
        return model

    return opened
