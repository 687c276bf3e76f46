"""What bounds the input of a call made through the model library, seen before anything is sent."""

from collections.abc import Iterable, Iterator
from math import ceil
from typing import TYPE_CHECKING, Any

import anyio

from mechagym.llm.bounds import CallRequest
from mechagym.llm.faults import fault_of
from mechagym.llm.names import ModelName
from mechagym.llm.prices import variant_of

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelResponsePart
    from pydantic_ai.models import Model, ModelRequestParameters
    from pydantic_ai.settings import ModelSettings

BYTES_PER_PAGE = 5_000
"""A page of a document is taken for at least as much: few are smaller."""

COUNT_S = 20.0
"""A count that takes longer is not waited for."""

SEARCHES_UNBOUNDED = 20
"""How many web searches are paid for in advance where a request sets no bound."""


def weigh(
    name: ModelName,
    messages: "list[ModelMessage]",
    settings: "ModelSettings",
    parameters: "ModelRequestParameters",
) -> CallRequest:
    """The bounds of a call. Text and tools count by their bytes, pictures and pages one by one."""
    from pydantic_ai.native_tools import WebSearchTool

    pieces = list(_attached(messages))
    return CallRequest(
        model=name,
        body_bytes=_text_bytes(messages) + _tool_bytes(parameters),
        images=sum(_pages(piece) for piece in pieces),
        asked_limit=settings.get("max_tokens"),
        thinking_budget=_thinking_budget(settings),
        searches=sum(
            tool.max_uses or SEARCHES_UNBOUNDED
            for tool in parameters.native_tools
            if isinstance(tool, WebSearchTool)
        ),
        stateful=any(_is_kept_elsewhere(piece) for piece in pieces)
        or any(settings.get(key) for key in _STATE),
        variant=_variant(settings),
    )


async def counted(
    model: "Model",
    messages: "list[ModelMessage]",
    settings: "ModelSettings",
    parameters: "ModelRequestParameters",
) -> int | None:
    """The provider's own count of an input, for nothing; None where it has none or fails."""
    usage = None
    try:
        with anyio.move_on_after(COUNT_S):
            usage = await model.count_tokens(messages, settings, parameters)
    except NotImplementedError:
        return None
    except Exception as error:
        if fault_of(error) is None:
            raise
        return None
    return usage.input_tokens if usage is not None else None


def says_something(part: "ModelResponsePart") -> bool:
    """Whether a part of a reply is of use to anybody: thoughts alone are not."""
    return part.part_kind != "thinking" and bool(getattr(part, "content", True))


_STATE = ("openai_previous_response_id", "openai_conversation_id", "anthropic_container")


def _text_bytes(messages: "list[ModelMessage]") -> int:
    """The size of all messages as JSON, without the data of what is attached."""
    from pydantic_ai.messages import ModelMessagesTypeAdapter

    attached = sum(4 * ceil(len(getattr(p, "data", b"")) / 3) for p in _attached(messages))
    return len(ModelMessagesTypeAdapter.dump_json(messages)) - attached


def _tool_bytes(parameters: "ModelRequestParameters") -> int:
    from mechagym.records import adapter

    tools = [*parameters.function_tools, *parameters.output_tools, *parameters.native_tools]
    shapes: list[Any] = [*tools, *([parameters.output_object] if parameters.output_object else [])]
    return sum(len(adapter(type(shape)).dump_json(shape)) for shape in shapes)


def _attached(messages: "Iterable[ModelMessage]") -> Iterator[Any]:
    """What is not text in all messages: pictures, documents, sound, by data or by address."""
    for message in messages:
        for part in message.parts:
            content = getattr(part, "content", None)
            for piece in content if isinstance(content, list | tuple) else [content]:
                if getattr(piece, "kind", None) in _KINDS:
                    yield piece


_KINDS = ("binary", "image-url", "document-url", "audio-url", "video-url", "uploaded-file")


def _pages(piece: Any) -> int:
    """How many pictures or pages a piece is at most."""
    if getattr(piece, "is_image", False):
        return 1
    return max(1, ceil(len(getattr(piece, "data", b"")) / BYTES_PER_PAGE))


def _is_kept_elsewhere(piece: Any) -> bool:
    """Whether only the provider will see how large it is. A picture is never larger than one."""
    return piece.kind not in ("binary", "image-url")


def _variant(settings: "ModelSettings") -> str | None:
    """What makes the price another one, by whichever setting or raw field it is asked for."""
    raw = settings.get("extra_body")
    tiers = (settings.get(f"{p}service_tier") for p in ("openai_", "anthropic_", ""))
    asked = {
        "service_tier": next(filter(None, tiers), None),
        "speed": settings.get("anthropic_speed"),
    }
    named = {name: value for name, value in asked.items() if value is not None}
    return variant_of({**(raw if isinstance(raw, dict) else {}), **named})


def _thinking_budget(settings: "ModelSettings") -> int:
    thinking = settings.get("anthropic_thinking")
    budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
    return budget if isinstance(budget, int) else 0
