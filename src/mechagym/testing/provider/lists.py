"""What a provider says without working: its models, in each provider's own shape, and counts."""

from collections.abc import Callable
from dataclasses import dataclass

from mechagym.records import Json
from mechagym.testing.provider.asked import Asked

LONG_AGO = "2025-10-15T00:00:00Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One model of the list. Dates are ISO texts; prices are dollars per token, as text."""

    id: str
    context_window: int | None = 200_000
    max_output: int | None = 64_000
    created_at: str = LONG_AGO
    created: int = 1_760_486_400
    lifecycle: str = "active"
    deprecated_at: str | None = None
    retires_at: str | None = None
    prices: tuple[tuple[str, str], ...] = (("prompt", "0.000001"), ("completion", "0.000005"))


def listing(asked: Asked, models: tuple[Listed, ...]) -> Json | None:
    """The list, or the one model that is asked for; None: nothing of this name or place."""
    route = asked.route.rstrip("/")
    if route.endswith("/api/tags"):
        return {"models": [{"name": m.id, "model": m.id} for m in models]}
    before, found, one = route.partition("/models")
    if not found:
        return None
    shape = _shape(asked, before)
    if one:
        return next((shape(m) for m in models if m.id == one.removeprefix("/")), None)
    key = "models" if shape is _google else "data"
    shown: Json = {key: [shape(m) for m in models]}
    if shape is _anthropic:
        ends = {"first_id": models[0].id, "last_id": models[-1].id} if models else {}
        return shown | {"has_more": False, **ends}
    return shown if shape is _google else {"object": "list", **shown}


def count(asked: Asked) -> Json | None:
    """What counting tokens says: a quarter of the bytes; None: this is no such request."""
    tokens = len(asked.body) // 4 + 1
    if asked.route.endswith("/messages/count_tokens"):
        return {"input_tokens": tokens}
    if asked.route.endswith("/responses/input_tokens"):
        return {"object": "response.input_tokens", "input_tokens": tokens}
    if asked.route.endswith(":countTokens"):
        return {"totalTokens": tokens}
    return None


def _shape(asked: Asked, before: str) -> Callable[[Listed], Json]:
    if "anthropic-version" in asked.headers:
        return _anthropic
    if before.endswith("/v1beta"):
        return _google
    return _openrouter if before.endswith("/api/v1") else _openai


def _anthropic(model: Listed) -> Json:
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.id,
        "created_at": model.created_at,
        "lifecycle": model.lifecycle,
        "deprecated_at": model.deprecated_at,
        "retires_at": model.retires_at,
        "max_input_tokens": model.context_window,
        "max_tokens": model.max_output,
    }


def _openai(model: Listed) -> Json:
    return {"id": model.id, "object": "model", "created": model.created, "owned_by": "double"}


def _openrouter(model: Listed) -> Json:
    return {
        "id": model.id,
        "name": model.id,
        "created": model.created,
        "context_length": model.context_window,
        "pricing": dict(model.prices),
        "top_provider": {
            "context_length": model.context_window,
            "max_completion_tokens": model.max_output,
        },
        "expiration_date": model.retires_at,
    }


def _google(model: Listed) -> Json:
    return {
        "name": f"models/{model.id}",
        "displayName": model.id,
        "inputTokenLimit": model.context_window,
        "outputTokenLimit": model.max_output,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
    }
