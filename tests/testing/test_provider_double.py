"""The provider double speaks as the providers do: the real SDKs are its judges."""

import json
import sys
import time
from subprocess import PIPE
from typing import Any

import anyio
import httpx2
import pytest
from anthropic import AsyncAnthropic, InternalServerError, RateLimitError
from google import genai
from google.genai.types import Content, HttpOptions, Part
from openai import AsyncOpenAI
from pydantic_ai.direct import model_request_stream
from pydantic_ai.messages import ModelRequest, TextPart, ThinkingPart, ToolCallPart
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider

from mechagym.records import Usage
from mechagym.testing.provider import (
    Failure,
    Listed,
    ProviderDouble,
    ToolCall,
    Trouble,
    Turn,
    in_order,
    provider_double,
)

USAGE = Usage(
    input=30, cache_read=200, cache_write_5m=60, cache_write_1h=40, output=12, reasoning=7
)
CALLS = (
    ToolCall(id="call_1", name="read", arguments={"path": "ä.txt"}),
    ToolCall(id="call_2", name="run", arguments={"argv": ["ls", "-l"], "n": 3}),
)
FULL = Turn(text="Grüße, 世界 🙂", thinking="hm, so…", calls=CALLS, usage=USAGE)
HI = [{"role": "user", "content": "hi"}]


def anthropic(double: ProviderDouble) -> Any:
    return AsyncAnthropic(api_key="k", base_url=double.url, max_retries=0)


def openai(double: ProviderDouble) -> Any:
    return AsyncOpenAI(api_key="k", base_url=f"{double.url}/v1", max_retries=0)


def google(double: ProviderDouble) -> Any:
    return genai.Client(api_key="k", http_options=HttpOptions(base_url=double.url))


async def test_anthropic_messages():
    async with provider_double([FULL, FULL]) as double, anthropic(double) as client:
        plain = await client.messages.create(model="m", max_tokens=9, messages=HI)
        async with client.messages.stream(model="m", max_tokens=9, messages=HI) as stream:
            streamed = await stream.get_final_message()
    for message in (plain, streamed):
        thinking, text, *calls = message.content
        assert (thinking.thinking, text.text) == (FULL.thinking, FULL.text)
        assert [(c.id, c.name, c.input) for c in calls] == [
            (c.id, c.name, c.arguments) for c in CALLS
        ]
        assert message.stop_reason == "tool_use"
        usage = message.usage
        assert (usage.input_tokens, usage.cache_read_input_tokens) == (30, 200)
        assert (usage.output_tokens, usage.output_tokens_details.thinking_tokens) == (19, 7)
        assert usage.cache_creation_input_tokens == 100
        assert usage.cache_creation.ephemeral_1h_input_tokens == 40


async def test_openai_chat():
    async with provider_double([FULL, FULL, FULL]) as double, openai(double) as client:
        plain = await client.chat.completions.create(model="m", messages=HI)
        stream = await client.chat.completions.create(
            model="m", messages=HI, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        stream = await client.chat.completions.create(model="m", messages=HI, stream=True)
        assert not any(chunk.usage for chunk in [chunk async for chunk in stream])
    message = plain.choices[0].message
    assert message.content == FULL.text
    assert [json.loads(c.function.arguments) for c in message.tool_calls] == [
        c.arguments for c in CALLS
    ]
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == FULL.text
    for usage in (plain.usage, chunks[-1].usage):
        assert (usage.prompt_tokens, usage.completion_tokens) == (330, 19)
        assert usage.prompt_tokens_details.cached_tokens == 200
        assert usage.prompt_tokens_details.cache_write_tokens == 100
        assert usage.completion_tokens_details.reasoning_tokens == 7


async def test_openai_responses():
    async with provider_double([FULL, FULL]) as double, openai(double) as client:
        plain = await client.responses.create(model="m", input="hi")
        async with client.responses.stream(model="m", input="hi") as stream:
            streamed = await stream.get_final_response()
    for response in (plain, streamed):
        assert response.output_text == FULL.text
        calls = [o for o in response.output if o.type == "function_call"]
        assert [(c.call_id, json.loads(c.arguments)) for c in calls] == [
            (c.id, c.arguments) for c in CALLS
        ]
        usage = response.usage
        assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (330, 19, 349)
        assert usage.input_tokens_details.cached_tokens == 200
        assert usage.output_tokens_details.reasoning_tokens == 7


async def test_gemini():
    async with provider_double([FULL, FULL]) as double:
        client = google(double)
        asked = [Content(role="user", parts=[Part(text="hi")])]
        plain = await client.aio.models.generate_content(model="m", contents=asked)
        stream = await client.aio.models.generate_content_stream(model="m", contents=asked)
        parts = [p async for chunk in stream for p in chunk.candidates[0].content.parts]
        await client.aio.aclose()
        client.close()
    assert [a.model for a in double.works] == ["m", "m"]
    for found in (plain.candidates[0].content.parts, parts):
        assert "".join(p.text or "" for p in found if not p.thought) == FULL.text
        calls = [p.function_call for p in found if p.function_call]
        assert [(c.id, c.name, c.args) for c in calls] == [
            (c.id, c.name, c.arguments) for c in CALLS
        ]
    usage = plain.usage_metadata
    assert (usage.prompt_token_count, usage.cached_content_token_count) == (230, 200)
    assert (usage.candidates_token_count, usage.thoughts_token_count) == (12, 7)


def models_of(double: ProviderDouble):
    openais = OpenAIProvider(base_url=f"{double.url}/v1", api_key="k")
    yield AnthropicModel("m", provider=AnthropicProvider(base_url=double.url, api_key="k"))
    yield OpenAIChatModel("m", provider=openais)
    yield OpenAIResponsesModel("m", provider=openais)
    yield GoogleModel("m", provider=GoogleProvider(base_url=double.url, api_key="k"))


@pytest.mark.parametrize("trouble", [{"piece_bytes": 1}, {"cut_characters": True}])
async def test_the_library_joins_what_was_cut_within_characters(monkeypatch, trouble):
    monkeypatch.setattr("pydantic_ai.models.ALLOW_MODEL_REQUESTS", True)
    turn = Turn(
        text=FULL.text, thinking=FULL.thinking, calls=CALLS, trouble=Trouble(**trouble), usage=USAGE
    )
    async with provider_double(turn) as double:
        for model in models_of(double):
            async with (
                model,
                model_request_stream(model, [ModelRequest.user_text_prompt("hi")]) as s,
            ):
                async for _ in s:
                    pass
                parts = s.get().parts
            assert [p.content for p in parts if isinstance(p, TextPart)] == [FULL.text]
            assert [p.content for p in parts if isinstance(p, ThinkingPart)] == [FULL.thinking]
            calls = [p for p in parts if isinstance(p, ToolCallPart)]
            assert [c.args_as_dict() for c in calls] == [c.arguments for c in CALLS]


async def test_errors_and_when_to_come_again():
    failures = [
        Failure(status=429, retry_after_s=2),
        Failure(status=429, retry_after_s=1.5, retry_after_form="milliseconds"),
        Failure(status=429, retry_after_s=30, retry_after_form="date"),
        Failure(status=529),
    ]
    async with provider_double(failures) as double, anthropic(double) as client:
        heads = []
        for _ in range(3):
            with pytest.raises(RateLimitError) as caught:
                await client.messages.create(model="m", max_tokens=9, messages=HI)
            heads.append(caught.value.response.headers)
        with pytest.raises(InternalServerError) as overloaded:
            await client.messages.create(model="m", max_tokens=9, messages=HI)
    assert heads[0]["retry-after"] == "2"
    assert heads[1]["retry-after-ms"] == "1500"
    assert heads[2]["retry-after"].endswith("GMT")
    assert "overloaded_error" in str(overloaded.value.body)


async def test_broken_answers():
    cut = Turn(text="x" * 500, trouble=Trouble(end_after_bytes=100))
    async with (
        provider_double([Turn(trouble=Trouble(hang_up=True)), cut]) as double,
        httpx2.AsyncClient(base_url=double.url) as client,
    ):
        for _ in range(2):
            with pytest.raises(httpx2.RemoteProtocolError):
                await client.post("/v1/messages", json={"model": "m", "stream": True})
    assert [a.ended for a in double.works] == ["cut", "cut"]
    assert len(double.works[1].sent) == 100


async def test_a_stall_ends_when_the_client_leaves():
    turn = Turn(text="x" * 500, trouble=Trouble(stall_after_bytes=100))
    async with (
        provider_double(turn) as double,
        httpx2.AsyncClient(base_url=double.url) as client,
    ):
        with pytest.raises(httpx2.ReadTimeout):
            await client.post("/v1/messages", json={"stream": True}, timeout=0.2)
        while double.works[0].ended is None:
            await anyio.sleep(0.01)
    assert double.works[0].ended == "client left"


async def test_usage_can_be_missing_and_streams_stamped():
    turn = Turn(text="abc", usage=None, trouble=Trouble(stamps=True))
    async with (
        provider_double(turn) as double,
        httpx2.AsyncClient(base_url=double.url) as client,
    ):
        got = await client.post("/v1/messages", json={"stream": True})
    assert "usage" not in got.text
    stamps = [int(line[2:]) for line in got.text.splitlines() if line.startswith(": ")]
    assert len(stamps) == got.text.count("\ndata: ")
    assert stamps == sorted(stamps)
    assert 0 < time.monotonic_ns() - stamps[0] < 60e9


async def test_lists_counts_and_keys():
    models = (Listed(id="a"), Listed(id="b", max_output=None, retires_at="2027-01-01T00:00:00Z"))
    async with provider_double([], models=models, key="k") as double:
        async with anthropic(double) as client:
            listed = [m async for m in client.models.list()]
            assert [(m.id, m.max_tokens) for m in listed] == [("a", 64_000), ("b", None)]
            assert (await client.models.retrieve("b")).retires_at.year == 2027
            counted = await client.messages.count_tokens(model="a", messages=HI)
            assert counted.input_tokens > 1
        async with openai(double) as client:
            assert [m.id async for m in client.models.list()] == ["a", "b"]
        gemini = google(double)
        assert [m.name async for m in await gemini.aio.models.list()] == ["models/a", "models/b"]
        counted = await gemini.aio.models.count_tokens(model="a", contents="hi")
        assert counted.total_tokens > 1
        await gemini.aio.aclose()
        gemini.close()
        async with httpx2.AsyncClient(base_url=double.url) as client:
            routed = await client.get("/api/v1/models", headers={"authorization": "Bearer k"})
            assert routed.json()["data"][0]["context_length"] == 200_000
            assert (await client.get("/v1/models")).status_code == 401
            assert (await client.head("/nothing", headers={"x-api-key": "k"})).status_code == 404


async def test_what_offers_no_tools_is_answered_aside():
    script = in_order([Turn(text="work")], aside=Turn(text="title"))
    tools = [{"name": "run", "input_schema": {"type": "object"}}]
    async with provider_double(script) as double, anthropic(double) as client:
        said = [
            await client.messages.create(model="m", max_tokens=9, messages=HI, **more)
            for more in ({}, {"tools": tools}, {})
        ]
    assert [message.content[0].text for message in said] == ["title", "work", "title"]
    assert [a.tools for a in double.works] == [(), ("run",), ()]


async def test_in_a_process_of_its_own():
    script = {"answers": [{"kind": "turn", "text": "from afar"}], "again": True}
    argv = [sys.executable, "-m", "mechagym.testing.provider"]
    async with await anyio.open_process(argv, stdin=PIPE, stdout=PIPE, stderr=None) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        await process.stdin.send(json.dumps(script).encode())
        await process.stdin.aclose()
        url = (await process.stdout.receive()).decode().strip()
        async with httpx2.AsyncClient(base_url=url) as client:
            for _ in range(2):
                got = await client.post("/v1/chat/completions", json={"model": "m"})
                assert got.json()["choices"][0]["message"]["content"] == "from afar"
            assert [a["json"] for a in (await client.get("/double/asked")).json()] == [
                {"model": "m"},
                {"model": "m"},
            ]
        process.kill()
