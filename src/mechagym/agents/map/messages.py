"""The conversation as the planner holds it: the first prompt, and then turn by turn.

A reply and the results of its calls are one unit: whatever is shortened, they stay together.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic_ai.messages import ModelMessage, ModelRequest, ToolReturnPart, UserContent

    from mechagym.agents.map.types import ActionResult

CHARS_PER_TOKEN = 3.5
MESSAGE_TOKENS = 8
IMAGE_TOKENS = 1_500


def opening(system: str, first: str) -> "ModelRequest":
    """The first request: role and rules, then all else that stays."""
    from pydantic_ai.messages import ModelRequest, SystemPromptPart, UserPromptPart

    return ModelRequest(parts=[SystemPromptPart(content=system), UserPromptPart(content=first)])


def answer(returns: "Sequence[ToolReturnPart]", told: str) -> "ModelRequest":
    """What goes back after a reply: the results of its calls, then what we say."""
    from pydantic_ai.messages import ModelRequest, UserPromptPart

    said = [UserPromptPart(content=told)] if told else []
    return ModelRequest(parts=[*returns, *said])


def returned(call_id: str, tool: str, result: "ActionResult | str") -> "ToolReturnPart":
    """The result of a call; an image goes beside the text."""
    from pydantic_ai.messages import BinaryContent, ToolReturnPart

    if isinstance(result, str):
        return ToolReturnPart(tool_name=tool, content=result, tool_call_id=call_id)
    content: str | list[UserContent] = result.output
    if result.image is not None:
        picture = BinaryContent(data=result.image, media_type=result.media_type)
        content = [result.output, picture]
    return ToolReturnPart(tool_name=tool, content=content, tool_call_id=call_id)


def tokens_of(messages: "Sequence[ModelMessage]") -> int:
    """An estimate of what the messages take, a little high for plain text."""
    return sum(MESSAGE_TOKENS + sum(map(_tokens, message.parts)) for message in messages)


def _tokens(part: object) -> int:
    content = getattr(part, "content", None)
    if isinstance(content, str):
        chars = len(content)
    elif isinstance(content, list):
        return sum(
            int(len(item) / CHARS_PER_TOKEN) if isinstance(item, str) else IMAGE_TOKENS
            for item in content
        )
    else:
        chars = len(str(getattr(part, "args", "") or ""))
    return int(chars / CHARS_PER_TOKEN) + 1
