"""The bound of a call is seen in what is about to be sent."""

from typing import Any

import pytest
from pydantic_ai.messages import (
    BinaryContent,
    DocumentUrl,
    ImageUrl,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ToolReturnPart,
    UploadedFile,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.native_tools import WebSearchTool
from pydantic_ai.tools import ToolDefinition

from mechagym.llm.bounds import CallRequest
from mechagym.llm.names import ModelName
from mechagym.llm.weighing import weigh

NAME = ModelName("anthropic", "x")


def weighed(
    *content: Any, settings: Any = None, parameters: ModelRequestParameters | None = None
) -> CallRequest:
    request = ModelRequest(parts=[UserPromptPart(content=list(content) or ["hi"])])
    told: Any = settings or {}
    return weigh(NAME, [request], told, parameters or ModelRequestParameters())


def test_text_counts_by_its_bytes():
    small, large = weighed("x"), weighed("x" + "é" * 5_000)
    assert large.body_bytes - small.body_bytes == 10_000
    assert (small.images, small.stateful, small.searches, small.variant) == (0, False, 0, None)


def test_tools_and_shapes_count_too():
    tool = ToolDefinition(
        name="t", description="d" * 3_000, parameters_json_schema={"type": "object"}
    )
    with_tool = weighed("x", parameters=ModelRequestParameters(function_tools=[tool]))
    assert with_tool.body_bytes - weighed("x").body_bytes > 3_000


def test_a_picture_is_one_whatever_its_size():
    picture = BinaryContent(data=b"x" * 900_000, media_type="image/png")
    one = weighed("look", picture)
    assert one.images == 1
    assert one.body_bytes < 1_000
    assert weighed("look", ImageUrl(url="https://example.org/a.png")).images == 1


def test_a_picture_that_a_tool_gave_is_one_too():
    picture = BinaryContent(data=b"x" * 900_000, media_type="image/png")
    part = ToolReturnPart(tool_name="see", content=["here", picture], tool_call_id="c")
    request = weigh(NAME, [ModelRequest(parts=[part])], {}, ModelRequestParameters())
    assert (request.images, request.body_bytes < 1_000) == (1, True)


def test_a_document_has_pages_by_its_size():
    document = BinaryContent(data=b"%PDF" + b"x" * 49_996, media_type="application/pdf")
    assert weighed("read", document).images == 10


@pytest.mark.parametrize(
    "piece",
    [
        DocumentUrl(url="https://example.org/a.pdf"),
        UploadedFile(file_id="f", provider_name="openai", media_type="application/pdf"),
    ],
)
def test_what_only_the_provider_sees_may_fill_the_window(piece: Any):
    assert weighed("read", piece).stateful


@pytest.mark.parametrize(
    "settings",
    [{"openai_previous_response_id": "auto"}, {"openai_conversation_id": "c"}],
)
def test_what_the_provider_kept_may_fill_the_window(settings: Any):
    assert weighed(settings=settings).stateful


def test_limits_thinking_and_searches():
    settings = {"max_tokens": 9, "anthropic_thinking": {"type": "enabled", "budget_tokens": 4_000}}
    tools = ModelRequestParameters(native_tools=[WebSearchTool(max_uses=3)])
    request = weighed(settings=settings, parameters=tools)
    assert (request.asked_limit, request.thinking_budget, request.searches) == (9, 4_000, 3)
    unbounded = ModelRequestParameters(native_tools=[WebSearchTool()])
    assert weighed(parameters=unbounded).searches == 20


@pytest.mark.parametrize(
    ("settings", "variant"),
    [
        ({"service_tier": "auto"}, None),
        ({"service_tier": "priority"}, "service_tier=priority"),
        ({"openai_service_tier": "flex", "service_tier": "auto"}, "service_tier=flex"),
        ({"anthropic_speed": "fast"}, "speed=fast"),
        ({"extra_body": {"speed": "fast"}}, "speed=fast"),
        ({"extra_body": b"raw"}, None),
    ],
)
def test_another_price_is_seen_however_it_is_asked_for(settings: Any, variant: str | None):
    assert weighed(settings=settings).variant == variant


def test_what_is_attached_is_taken_off_to_the_byte():
    """The size is that of the messages as JSON, with an empty picture in the place of each."""
    full = BinaryContent(data=b"abcde" * 1_001, media_type="image/png")
    empty = BinaryContent(data=b"", media_type="image/png")
    parts = [UserPromptPart(content=["x", empty])]
    expected = len(ModelMessagesTypeAdapter.dump_json([ModelRequest(parts=parts)]))
    assert abs(weighed("x", full).body_bytes - expected) < 100
