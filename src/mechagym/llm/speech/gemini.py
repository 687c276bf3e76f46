"""Gemini's generateContent and streamGenerateContent (with `alt=sse`)."""

from collections.abc import Iterator

from mechagym.llm.speech.sse import event
from mechagym.llm.speech.turn import Failure, Question, Turn
from mechagym.records import Json, Usage

STOPS = {"end": "STOP", "tools": "STOP", "length": "MAX_TOKENS", "refusal": "SAFETY"}
STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}


def plain(turn: Turn, asked: Question) -> Json:
    """The whole answer."""
    whole = _answer(asked, list(_parts(turn)), STOPS[turn.ends])
    if turn.usage is not None:
        whole["usageMetadata"] = usage_of(turn.usage)
    return whole


def events(turn: Turn, asked: Question) -> Iterator[bytes]:
    """The stream: each event is an answer of its own; the last one has reason and usage."""
    for part in _parts(turn):
        if "text" not in part:
            yield event(_answer(asked, [part], None))
            continue
        for piece in turn.deltas(part["text"]):
            yield event(_answer(asked, [part | {"text": piece}], None))
    last = _answer(asked, [{"text": ""}], STOPS[turn.ends])
    if turn.usage is not None:
        last["usageMetadata"] = usage_of(turn.usage)
    yield event(last)


def failure(failure: Failure) -> Json:
    """The error."""
    status = failure.code or STATUSES.get(failure.status, "INTERNAL")
    return {"error": {"code": failure.status, "message": failure.message, "status": status}}


def usage_of(usage: Usage) -> Json:
    """Counts; `promptTokenCount` includes what the cache gave, and there are no writes."""
    prompt = usage.input + usage.cache_read
    counts = {
        "promptTokenCount": prompt,
        "candidatesTokenCount": usage.output,
        "totalTokenCount": prompt + usage.output + usage.reasoning,
    }
    if usage.cache_read:
        counts["cachedContentTokenCount"] = usage.cache_read
    if usage.reasoning:
        counts["thoughtsTokenCount"] = usage.reasoning
    return counts


def _parts(turn: Turn) -> Iterator[dict[str, Json]]:
    if turn.thinking:
        yield {"text": turn.thinking, "thought": True}
    if turn.text:
        yield {"text": turn.text}
    for call in turn.calls:
        made = {"id": call.id, "name": call.name, "args": call.arguments}
        yield {"functionCall": made, "thoughtSignature": "c2lnbmVk"}


def _answer(asked: Question, parts: list[Json], finish: str | None) -> dict[str, Json]:
    candidate: dict[str, Json] = {"content": {"role": "model", "parts": parts}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {
        "candidates": [candidate],
        "modelVersion": asked.model,
        "responseId": f"gemini-{asked.number}",
    }
