"""Which paths there are. A path is compared whole, as it came: nothing is decoded or normalised."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mechagym.llm.gateway.connection import Head
from mechagym.llm.gateway.refusals import NO_PATH, NO_UPGRADE, PATH_CLOSED, Refused
from mechagym.llm.providers import Dialect

MODELS = "/v1/models"
CLOSED = ("/v1/files", "/v1/messages/batches", "/v1/batches", "/v1/fine_tuning", "/v1/uploads")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What a request is about. `ending` is what the provider's base URL is followed by."""

    kind: Literal["work", "count", "models", "health"]
    dialect: Dialect
    ending: str = ""


COUNT = Route(kind="count", dialect="anthropic", ending="/v1/messages/count_tokens")

_POSTS: Mapping[str, Route] = {
    "/v1/messages": Route(kind="work", dialect="anthropic", ending="/v1/messages"),
    "/v1/messages/count_tokens": COUNT,
    "/v1/chat/completions": Route(kind="work", dialect="openai-chat", ending="/chat/completions"),
    "/v1/responses": Route(kind="work", dialect="openai-responses", ending="/responses"),
}


def dialect_of(head: Head) -> Dialect:
    """In which dialect to talk to a caller, whatever it asks."""
    route = _POSTS.get(head.path)
    if route is not None:
        return route.dialect
    anthropic = head.get(b"anthropic-version") is not None
    return "anthropic" if anthropic else "openai-chat"


def route_of(head: Head) -> Route:
    """What a request is about. Raises Refused."""
    dialect, path = dialect_of(head), head.path
    if head.get(b"upgrade") is not None:
        raise Refused(NO_UPGRADE, "only HTTP/1.1 is spoken here, no WebSocket")
    if (head.method, path) in {("HEAD", "/"), ("GET", "/healthz"), ("HEAD", "/healthz")}:
        return Route(kind="health", dialect=dialect)
    if head.method == "POST" and path in _POSTS:
        return _POSTS[path]
    if head.method == "GET" and (path == MODELS or path.startswith(f"{MODELS}/")):
        return Route(kind="models", dialect=dialect, ending=path.removeprefix(MODELS))
    if any(path == closed or path.startswith(f"{closed}/") for closed in CLOSED):
        raise Refused(PATH_CLOSED, f"{path}: files, batches and fine-tuning are not allowed")
    raise Refused(NO_PATH, f"{head.method} {path}: no such path here")
