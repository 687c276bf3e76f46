"""OpenAI chat completions, also as spoken by Ollama, OpenRouter, vLLM and others."""

import json
from collections.abc import Iterator

from mechagym.llm.speech.sse import event
from mechagym.llm.speech.turn import Failure, Question, ToolCall, Turn
from mechagym.records import Json, Usage

STOPS = {"end": "stop", "tools": "tool_calls", "length": "length", "refusal": "content_filter"}
CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}


def plain(turn: Turn, asked: Question) -> Json:
    """The whole completion. Thinking goes as `reasoning_content`, as most servers have it."""
    message: dict[str, Json] = {"role": "assistant", "content": turn.text or None}
    if turn.thinking:
        message["reasoning_content"] = turn.thinking
    if turn.calls:
        message["tool_calls"] = [_call(call) for call in turn.calls]
    choice = {"index": 0, "message": message, "finish_reason": STOPS[turn.ends]}
    whole = _envelope(asked, "chat.completion", [choice])
    if turn.usage is not None:
        whole["usage"] = usage_of(turn.usage)
    return whole


def events(turn: Turn, asked: Question) -> Iterator[bytes]:
    """The stream; its usage comes in a chunk of its own, to those who asked for it."""
    for delta in _deltas(turn):
        yield _chunk(asked, [{"index": 0, "delta": delta, "finish_reason": None}])
    yield _chunk(asked, [{"index": 0, "delta": {}, "finish_reason": STOPS[turn.ends]}])
    if turn.usage is not None and asked.tells_usage:
        yield _chunk(asked, [], usage_of(turn.usage))
    yield b"data: [DONE]\n\n"


def failure(failure: Failure) -> Json:
    """The error."""
    kind = "server_error" if failure.status >= 500 else "invalid_request_error"
    code = failure.code or CODES.get(failure.status)
    return {"error": {"message": failure.message, "type": kind, "param": None, "code": code}}


def usage_of(usage: Usage) -> Json:
    """Counts; `prompt_tokens` includes what the cache gave and took."""
    written = usage.cache_write_5m + usage.cache_write_1h
    prompt = usage.input + usage.cache_read + written
    completion = usage.output + usage.reasoning
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": written,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def _deltas(turn: Turn) -> Iterator[Json]:
    yield {"role": "assistant", "content": ""}
    for piece in turn.deltas(turn.thinking):
        yield {"reasoning_content": piece}
    for piece in turn.deltas(turn.text):
        yield {"content": piece}
    for index, call in enumerate(turn.calls):
        begun = _call(call)
        arguments = begun["function"].pop("arguments")
        yield {"tool_calls": [{"index": index, **begun}]}
        for piece in turn.deltas(arguments):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _call(call: ToolCall) -> dict[str, Json]:
    arguments = json.dumps(call.arguments, ensure_ascii=False)
    function = {"name": call.name, "arguments": arguments}
    return {"id": call.id, "type": "function", "function": function}


def _chunk(asked: Question, choices: list[Json], usage: Json = None) -> bytes:
    chunk = _envelope(asked, "chat.completion.chunk", choices)
    return event(chunk | {"usage": usage} if asked.tells_usage else chunk)


def _envelope(asked: Question, kind: str, choices: list[Json]) -> dict[str, Json]:
    return {
        "id": f"chatcmpl-{asked.number}",
        "object": kind,
        "created": 1_760_000_000,
        "model": asked.model,
        "choices": choices,
    }
