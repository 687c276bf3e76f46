"""What the tests of the planner share: a run of it by a model of given replies, in any box."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from mechagym.agents.base import AgentResult, Context, ModelFacts
from mechagym.agents.map.agent import MapAgent
from mechagym.agents.map.base import Checks
from mechagym.agents.map.config import read_config
from mechagym.budget import Meter
from mechagym.events import EventBody
from mechagym.events.map import MapRunComplete
from mechagym.records.map import MapResult
from mechagym.sandbox.base import Box

T = TypeVar("T")
Reply = ModelResponse | Callable[[list[ModelMessage]], ModelResponse]
TASK = "Write the word done into `out.txt` in the working directory."


def call(tool: str, call_id: str = "", **arguments: Any) -> ToolCallPart:
    return ToolCallPart(tool_name=tool, args=arguments, tool_call_id=call_id or f"id-{tool}")


def says(*parts: ToolCallPart | str) -> ModelResponse:
    return ModelResponse(
        parts=[TextPart(content=part) if isinstance(part, str) else part for part in parts]
    )


def writes(path: str = "out.txt", content: str = "done\n") -> ModelResponse:
    return says(call("write_file", path=path, content=content))


def runs(command: str, **more: Any) -> ModelResponse:
    return says(call("run_command", command=command, **more))


def completes(summary: str = "all done", *, confirm: bool = True) -> ModelResponse:
    return says(call("task_complete", summary=summary, confirm=confirm))


@dataclass(kw_only=True)
class Play:
    """A run as it was: `asked` are the conversations that the model was asked with, in order."""

    events: list[EventBody] = field(default_factory=list)
    asked: list[list[ModelMessage]] = field(default_factory=list)
    temperatures: list[float] = field(default_factory=list)
    tools: list[list[str]] = field(default_factory=list)
    result: AgentResult | None = None

    def of(self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def ended(self) -> MapResult:
        (last,) = self.of(MapRunComplete)
        return last.result

    def prompt(self, turn: int) -> str:
        """All text that the model was asked with in a turn, from 1."""
        return "\n".join(text_of(message) for message in self.asked[turn - 1])

    def told(self, turn: int) -> str:
        """What was last said to it before a turn."""
        return text_of(self.asked[turn - 1][-1])


def text_of(message: ModelMessage) -> str:
    return "\n".join(str(getattr(part, "content", "")) for part in message.parts)


def model_of(replies: Sequence[Reply], seen: Play) -> FunctionModel:
    """One reply after the other to whoever asks; a function sees the conversation."""
    rest = iter(replies)

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        seen.asked.append(list(messages))
        seen.temperatures.append((info.model_settings or {}).get("temperature") or 0.0)
        seen.tools.append([tool.name for tool in info.function_tools])
        reply = next(rest)
        return reply(messages) if callable(reply) else reply

    return FunctionModel(answer, model_name="given")


async def play(
    box: Box,
    replies: Sequence[Reply],
    *,
    task: str = TASK,
    options: Mapping[str, str] | None = None,
    checks: Checks | None = None,
    seen: Play | None = None,
    **context: Any,
) -> Play:
    """Run the planner; what it raises comes out, `seen` has what happened until then."""
    seen = seen or Play()
    model = model_of(replies, seen)
    agent = MapAgent(config=read_config(options or {}), checks=checks)
    whole: dict[str, Any] = {
        "instruction": task,
        "box": box,
        "meter": Meter(),
        "emit": seen.events.append,
        "model": "given:model",
        "open_model": lambda _role, _meter: model,
        "facts": ModelFacts(),
    }
    await agent.prepare(box)
    seen.result = await agent.run(Context(**(whole | context)))
    return seen
