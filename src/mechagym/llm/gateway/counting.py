"""Counts of tokens: the provider's own where it has them, for nothing; else an estimate."""

import json
from collections.abc import Mapping
from dataclasses import replace

from mechagym.llm.gateway.asking import Asking
from mechagym.llm.gateway.base import Upstream, UpstreamError
from mechagym.llm.gateway.body import read_body
from mechagym.llm.gateway.routes import COUNT
from mechagym.records import Json

BYTES_PER_TOKEN = 4
MAX_ANSWER_BYTES = 64 * 1024
_COUNTED = ("model", "messages", "system", "tools", "tool_choice", "thinking")


def estimated(raw: bytes) -> bytes:
    """What a provider without counts would say, roughly."""
    return json.dumps({"input_tokens": len(raw) // BYTES_PER_TOKEN + 1}).encode()


def can_count(asking: Asking) -> bool:
    """Whether the provider counts for nothing."""
    return asking.provider.kind == "anthropic" and asking.route.dialect == "anthropic"


async def count(upstream: Upstream, asking: Asking) -> int | None:
    """The true input of a request, asked of the provider; None where it does not say."""
    if not can_count(asking):
        return None
    values = {n: v for n, v in asking.body.values.items() if n in _COUNTED}
    body = read_body(json.dumps(values).encode())
    outbound = replace(asking, route=COUNT, body=body).outbound(asking.changes)
    try:
        async with upstream.send(outbound) as answer:
            said = bytearray()
            async for chunk in answer.chunks():
                said += chunk
                if len(said) > MAX_ANSWER_BYTES:
                    return None
        return _tokens(json.loads(said)) if answer.status == 200 else None
    except (UpstreamError, ValueError):
        return None


def _tokens(said: Json) -> int | None:
    tokens = said.get("input_tokens") if isinstance(said, Mapping) else None
    return tokens if type(tokens) is int else None
