"""OpenAI responses."""

import json
from collections.abc import Iterator

from mechagym.llm.speech.chat import failure
from mechagym.llm.speech.sse import event
from mechagym.llm.speech.turn import Question, Turn
from mechagym.records import Json, Usage

__all__ = ["events", "failure", "plain", "usage_of"]

Told = tuple[str, Json]


def plain(turn: Turn, asked: Question) -> Json:
    """The whole response."""
    return _response(turn, asked, list(_items(turn, asked)))


def events(turn: Turn, asked: Question) -> Iterator[bytes]:
    """The stream: each event with its number; the last one carries the whole response."""
    for number, (kind, data) in enumerate(_told(turn, asked)):
        yield event({"type": kind, "sequence_number": number, **data}, kind)


def usage_of(usage: Usage) -> Json:
    """Counts; `input_tokens` includes what the cache gave and took."""
    written = usage.cache_write_5m + usage.cache_write_1h
    given = usage.input + usage.cache_read + written
    made = usage.output + usage.reasoning
    return {
        "input_tokens": given,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": written,
        },
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": given + made,
    }


def _told(turn: Turn, asked: Question) -> Iterator[Told]:
    whole = _response(turn, asked, list(_items(turn, asked)))
    begun = whole | {"status": "in_progress", "output": [], "usage": None}
    yield "response.created", {"response": begun}
    yield "response.in_progress", {"response": begun}
    for index, item in enumerate(_items(turn, asked)):
        yield "response.output_item.added", {"output_index": index, "item": _empty(item)}
        where = {"item_id": item["id"], "output_index": index}
        for kind, data in _item_events(turn, item):
            yield kind, where | data
        yield "response.output_item.done", {"output_index": index, "item": item}
    yield f"response.{whole['status']}", {"response": whole}


def _item_events(turn: Turn, item: dict[str, Json]) -> Iterator[Told]:
    match item["type"]:
        case "reasoning":
            [part] = item["summary"]
            yield from _part_events(turn, "reasoning_summary", {"summary_index": 0}, part)
        case "message":
            [part] = item["content"]
            yield from _part_events(turn, "content", {"content_index": 0}, part)
        case _:
            said = "response.function_call_arguments"
            for piece in turn.deltas(item["arguments"]):
                yield f"{said}.delta", {"delta": piece}
            yield f"{said}.done", {"arguments": item["arguments"], "name": item["name"]}


def _part_events(turn: Turn, kind: str, place: Json, part: dict[str, Json]) -> Iterator[Told]:
    said = "response.output_text" if kind == "content" else f"response.{kind}_text"
    more: dict[str, Json] = {"logprobs": []} if kind == "content" else {}
    yield f"response.{kind}_part.added", place | {"part": part | {"text": ""}}
    for piece in turn.deltas(part["text"]):
        yield f"{said}.delta", place | {"delta": piece, **more}
    yield f"{said}.done", place | {"text": part["text"], **more}
    yield f"response.{kind}_part.done", place | {"part": part}


def _items(turn: Turn, asked: Question) -> Iterator[dict[str, Json]]:
    if turn.thinking:
        summary = [{"type": "summary_text", "text": turn.thinking}]
        yield {
            "id": f"rs_{asked.number}",
            "type": "reasoning",
            "summary": summary,
            "encrypted_content": "c2VhbGVk",
        }
    if turn.text:
        part = {"type": "output_text", "text": turn.text, "annotations": [], "logprobs": []}
        yield {
            "id": f"msg_{asked.number}",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [part],
        }
    for call in turn.calls:
        yield {
            "id": f"fc_{call.id}",
            "type": "function_call",
            "call_id": call.id,
            "name": call.name,
            "arguments": json.dumps(call.arguments, ensure_ascii=False),
            "status": "completed",
        }


def _empty(item: dict[str, Json]) -> Json:
    """An item as it is announced, before anything of it came."""
    begun = item | {"status": "in_progress"}
    return begun | {k: type(item[k])() for k in ("summary", "content", "arguments") if k in item}


def _response(turn: Turn, asked: Question, output: list[Json]) -> dict[str, Json]:
    reasons = {"length": "max_output_tokens", "refusal": "content_filter"}
    reason = reasons.get(turn.ends)
    return {
        "id": f"resp_{asked.number}",
        "object": "response",
        "created_at": 1_760_000_000,
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "error": None,
        "model": asked.model,
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": asked.json.get("tools") or [],
        "usage": usage_of(turn.usage) if turn.usage is not None else None,
    }
