"""Shortening the conversation: old outputs become notices first, then a summary takes its place.

The first prompt stays word for word, and so do the last calls with their results. A call is never
parted from its result.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from mechagym.agents.map.messages import tokens_of

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage

COMPACT_AT = 0.75
ENOUGH = 0.5
KEPT_CALLS = 6
SHORT_CHARS = 200
SUMMARY_TOKENS = 1_500

Summarise = Callable[["tuple[ModelMessage, ...]"], Awaitable[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compacted:
    """The shorter conversation, and by what it became so."""

    messages: "tuple[ModelMessage, ...]"
    method: Literal["outputs", "summary"]
    tokens_before: int
    tokens_after: int


def is_due(messages: "Sequence[ModelMessage]", window_tokens: int | None) -> bool:
    """Whether three quarters of the window are full."""
    return window_tokens is not None and tokens_of(messages) > COMPACT_AT * window_tokens


def can_shrink(messages: "Sequence[ModelMessage]") -> bool:
    """Whether anything stands before the last calls."""
    return _tail_start(messages) > 1


async def compacted(
    messages: "tuple[ModelMessage, ...]", *, window_tokens: int, summarise: Summarise, stated: str
) -> Compacted:
    """Shorten until half of the window is free, by a summary if notices alone do not do it.

    `stated` stands beside the summary word for word: the last evaluation.
    """
    before = tokens_of(messages)
    shorter, method = without_old_outputs(messages), "outputs"
    if tokens_of(shorter) > ENOUGH * min(window_tokens, before / COMPACT_AT):
        summary = await summarise(shorter)
        shorter, method = (
            summarised(shorter, "\n\n".join(filter(None, (summary, stated)))),
            "summary",
        )
    return Compacted(
        messages=shorter,
        method=method,  # type: ignore[arg-type]  # one of the two words above
        tokens_before=before,
        tokens_after=tokens_of(shorter),
    )


def without_old_outputs(
    messages: "tuple[ModelMessage, ...]",
) -> "tuple[ModelMessage, ...]":
    """Each long output before the last calls becomes one line that says so."""
    keep = _tail_start(messages)
    return tuple(_noticed(m) if i < keep else m for i, m in enumerate(messages))


def summarised(messages: "tuple[ModelMessage, ...]", summary: str) -> "tuple[ModelMessage, ...]":
    """The first prompt with the summary behind it, then the last calls."""
    from pydantic_ai.messages import ModelRequest, UserPromptPart

    first, rest = messages[0], messages[max(1, _tail_start(messages)) :]
    told = UserPromptPart(content=f"What happened so far, in short:\n{summary}")
    return (ModelRequest(parts=[*first.parts, told]), *rest)


def _tail_start(messages: "Sequence[ModelMessage]") -> int:
    """Where the last calls begin: at the reply that holds the first of them."""
    from pydantic_ai.messages import ModelResponse, ToolCallPart

    calls = 0
    for index in range(len(messages) - 1, 0, -1):
        message = messages[index]
        if isinstance(message, ModelResponse):
            calls += sum(isinstance(part, ToolCallPart) for part in message.parts)
            if calls >= KEPT_CALLS:
                return index
    return 1


def _noticed(message: "ModelMessage") -> "ModelMessage":
    from pydantic_ai.messages import ModelRequest, ToolReturnPart

    if not isinstance(message, ModelRequest):
        return message
    return replace(
        message,
        parts=[
            ToolReturnPart(
                tool_name=part.tool_name,
                content=_notice(part.content),
                tool_call_id=part.tool_call_id,
            )
            if isinstance(part, ToolReturnPart)
            else part
            for part in message.parts
        ],
    )


def _notice(content: object) -> str:
    text = content if isinstance(content, str) else str(content)
    if len(text) <= SHORT_CHARS:
        return text
    lines = text.count("\n") + 1
    return f"[{len(text)} characters in {lines} lines were here: taken out to save room]"
