"""Anthropic messages. Source: the provider's API reference, version 2023-06-01."""

import json
from collections.abc import Iterator

from mechagym.llm.speech.sse import event
from mechagym.llm.speech.turn import Failure, Question, Turn
from mechagym.records import Json, Usage

STOPS = {"end": "end_turn", "tools": "tool_use", "length": "max_tokens", "refusal": "refusal"}
TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def plain(turn: Turn, asked: Question) -> Json:
    """The whole message."""
    whole = _message(asked, list(_blocks(turn)), STOPS[turn.ends])
    if turn.usage is not None:
        whole["usage"] = usage_of(turn.usage)
    return whole


def events(turn: Turn, asked: Question) -> Iterator[bytes]:
    """The stream; the counts in it are running totals."""
    begun = _message(asked, [], None)
    if turn.usage is not None:
        begun["usage"] = usage_of(turn.usage) | {"output_tokens": 1, "output_tokens_details": None}
    yield event({"type": "message_start", "message": begun}, "message_start")
    yield event({"type": "ping"}, "ping")
    for index, block in enumerate(_blocks(turn)):
        yield from _block_events(turn, index, block)
    done: Json = {"delta": {"stop_reason": STOPS[turn.ends], "stop_sequence": None}}
    if turn.usage is not None:
        done["usage"] = usage_of(turn.usage)
    yield event({"type": "message_delta", **done}, "message_delta")
    yield event({"type": "message_stop"}, "message_stop")


def failure(failure: Failure) -> Json:
    """The error."""
    kind = failure.code or TYPES.get(failure.status, "api_error")
    error = {"type": kind, "message": failure.message}
    return {"type": "error", "error": error, "request_id": "req_double"}


def usage_of(usage: Usage) -> Json:
    """Counts; `input_tokens` excludes what the cache gave and took."""
    return {
        "input_tokens": usage.input,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation_input_tokens": usage.cache_write_5m + usage.cache_write_1h,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_5m,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        },
        "output_tokens": usage.output + usage.reasoning,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
        "server_tool_use": {"web_search_requests": usage.web_searches, "web_fetch_requests": 0},
        "service_tier": "standard",
    }


def _message(asked: Question, content: list[Json], stop: str | None) -> dict[str, Json]:
    return {
        "id": f"msg_{asked.number}",
        "type": "message",
        "role": "assistant",
        "model": asked.model,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
    }


def _blocks(turn: Turn) -> Iterator[dict[str, Json]]:
    if turn.thinking:
        yield {"type": "thinking", "thinking": turn.thinking, "signature": "c2lnbmVk"}
    if turn.text:
        yield {"type": "text", "text": turn.text}
    for call in turn.calls:
        yield {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments}


def _block_events(turn: Turn, index: int, block: dict[str, Json]) -> Iterator[bytes]:
    empty: dict[str, Json] = {"thinking": {"thinking": "", "signature": ""}, "text": {"text": ""}}
    begun = block | empty.get(block["type"], {"input": {}})
    started = {"type": "content_block_start", "index": index, "content_block": begun}
    yield event(started, "content_block_start")
    for delta in _deltas(turn, block):
        data = {"type": "content_block_delta", "index": index, "delta": delta}
        yield event(data, "content_block_delta")
    yield event({"type": "content_block_stop", "index": index}, "content_block_stop")


def _deltas(turn: Turn, block: dict[str, Json]) -> Iterator[Json]:
    match block["type"]:
        case "thinking":
            for piece in turn.deltas(block["thinking"]):
                yield {"type": "thinking_delta", "thinking": piece}
            yield {"type": "signature_delta", "signature": block["signature"]}
        case "text":
            for piece in turn.deltas(block["text"]):
                yield {"type": "text_delta", "text": piece}
        case _:
            for piece in turn.deltas(json.dumps(block["input"], ensure_ascii=False)):
                yield {"type": "input_json_delta", "partial_json": piece}
