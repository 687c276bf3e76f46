"""Functions that answer for `scripted:` models."""

from typing import Any

from pydantic_ai.messages import ModelResponse, TextPart


def says_text(messages: list[Any], _info: Any) -> str:
    return f"pong to {messages[-1].parts[0].content}"


def says_more(messages: list[Any], info: Any) -> ModelResponse:
    return ModelResponse(parts=[TextPart(content=says_text(messages, info))])


async def says_later(messages: list[Any], info: Any) -> str:
    return says_text(messages, info)
