"""A request reduced to what it asks, so that the same question has the same key on every day.

Left out are times, ids of requests and runs, and what only names a user; ids of tool calls become
ordinals, in the order in which they first stand. Patterns of the person's own may cut more.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from mechagym.records import Json, over_strings

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage
    from pydantic_ai.models import ModelRequestParameters
    from pydantic_ai.settings import ModelSettings

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
CUT = "…"

_OF_A_USER = {"metadata", "user", "safety_identifier", "prompt_cache_key", "client_metadata"}
"""Top-level fields of a body that say who asks, not what."""

_IDS = {"id", "tool_call_id", "tool_use_id", "call_id", "item_id"}

_OF_THE_MOMENT = {
    "timestamp",
    "run_id",
    "conversation_id",
    "metadata",
    "usage",
    "model_name",
    "provider_name",
    "provider_url",
    "provider_details",
    "provider_response_id",
    "finish_reason",
    "failed_attempts",
    "canonical_system",
    "signature",
    "state",
}
"""Fields of the library's messages and parts that differ between two runs of one exchange."""

_OF_THE_STACK = {"max_tokens", "max_retries", "timeout", "request_timeout", "first_event_timeout"}
"""Settings that money and time change, and not the question."""


def of_body(body: Json, normalise: Iterable[re.Pattern[str]] = ()) -> Json:
    """The canonical form of a request's JSON body, in any dialect."""
    kept = {k: v for k, v in body.items() if k not in _OF_A_USER} if _is_map(body) else body
    return _plain(kept, normalise)


def of_messages(
    messages: "list[ModelMessage]",
    settings: "ModelSettings | None",
    parameters: "ModelRequestParameters",
    *,
    normalise: Iterable[re.Pattern[str]] = (),
) -> Json:
    """The canonical form of a request made through the model library."""
    from pydantic_ai.messages import ModelMessagesTypeAdapter

    told = ModelMessagesTypeAdapter.dump_python(messages, mode="json")
    shape = parameters.output_object
    asked = {
        "messages": [
            {**_timeless(message), "parts": [_timeless(part) for part in message["parts"]]}
            for message in told
        ],
        "settings": {
            k: _jsonable(v) for k, v in (settings or {}).items() if k not in _OF_THE_STACK
        },
        "tools": [
            {"name": tool.name, "schema": tool.parameters_json_schema}
            for tool in (*parameters.function_tools, *parameters.output_tools)
        ],
        "output": shape.json_schema if shape is not None else None,
    }
    return _plain(asked, normalise)


def key_of(request: Json) -> str:
    """SHA-256 of a canonical request."""
    text = json.dumps(request, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def turn_of(request: Json) -> int:
    """Which turn of a conversation a canonical request asks for: how many answers stand in it."""
    return sum(_is_answer(message) for message in _said(request))


def last_user_text(request: Json) -> str:
    """What the user said last, without results of tools."""
    mine = [text for message in _said(request) if (text := _text_of(message))]
    return mine[-1] if mine else ""


def _said(request: Json) -> list[Json]:
    """The messages of a canonical request; each dialect has its name for them."""
    if not _is_map(request):
        return []
    for name in ("messages", "input", "contents"):
        if said := request.get(name):
            return said if isinstance(said, list) else [{"role": "user", "content": said}]
    return []


def _is_answer(message: Json) -> bool:
    if not _is_map(message):
        return False
    return message.get("role") in ("assistant", "model") or message.get("kind") == "response"


def _text_of(message: Json) -> str:
    """The text that a user says in one message; nothing for anybody else's."""
    if not _is_map(message):
        return ""
    if message.get("kind") == "request":
        parts = [part for part in message["parts"] if part.get("part_kind") == "user-prompt"]
        return " ".join(_flat(part.get("content")) for part in parts)
    if message.get("role") != "user":
        return ""
    return _flat(message.get("content") or message.get("parts"))


def _flat(content: Json) -> str:
    if isinstance(content, str):
        return content
    pieces = content if isinstance(content, list) else []
    texts = (piece.get("text") if _is_map(piece) else piece for piece in pieces)
    return " ".join(text for text in texts if isinstance(text, str))


def _timeless(fields: dict[str, Json]) -> dict[str, Json]:
    return {k: v for k, v in fields.items() if k not in _OF_THE_MOMENT and v is not None}


def _plain(value: Json, normalise: Iterable[re.Pattern[str]]) -> Json:
    patterns = (UUID, *normalise)

    def cut(text: str) -> str:
        for pattern in patterns:
            text = pattern.sub(CUT, text)
        return text

    return over_strings(_with_ordinals(value, {}), cut)


def _with_ordinals(value: Json, seen: dict[str, str]) -> Json:
    match value:
        case dict():
            return {key: _ordinal(key, value[key], seen) for key in sorted(value)}
        case list() | tuple():
            return [_with_ordinals(item, seen) for item in value]
        case _:
            return value


def _ordinal(key: str, value: Json, seen: dict[str, str]) -> Json:
    if key in _IDS and isinstance(value, str):
        return seen.setdefault(value, f"id-{len(seen) + 1}")
    return _with_ordinals(value, seen)


def _jsonable(value: Any) -> Json:
    return json.loads(json.dumps(value, default=str))


def _is_map(value: Json) -> bool:
    return isinstance(value, dict)
