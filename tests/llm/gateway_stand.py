"""What the tests of the gateway share: one that stands before a provider double."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx2
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from mechagym.budget import Budget
from mechagym.llm.gateway import Gateway, Grant, Token, open_gateway
from mechagym.llm.names import ModelName
from mechagym.llm.providers import Dialect
from mechagym.records import Usage
from mechagym.testing.provider import ToolCall, Turn
from tests.llm.parts import WIRES, Bench, bench

HI = [{"role": "user", "content": "hi"}]
USAGE = Usage(input=30, cache_read=200, cache_write_5m=60, output=12, reasoning=7)
CALLS = (ToolCall(id="call_1", name="read", arguments={"path": "ä.txt"}),)
FULL = Turn(text="Grüße, 世界 🙂", thinking="hm…", calls=CALLS, usage=USAGE)
PATHS: dict[Dialect, str] = {
    "anthropic": "/v1/messages",
    "openai-chat": "/v1/chat/completions",
    "openai-responses": "/v1/responses",
}
ALLOWED = tuple(WIRES[wire] for wire in PATHS)


@dataclass(kw_only=True)
class Stand:
    bench: Bench
    gateway: Gateway
    url: str

    def grant(self, **more: Any) -> Token:
        ledger = self.bench.models.ledger(
            self.bench.meter, self.bench.events.append, door="gateway"
        )
        told: dict[str, Any] = {"trial": "t1", "models": ALLOWED, "ledger": ledger} | more
        return self.gateway.grant(Grant(**told))

    def close_provider(self, model: ModelName) -> None:
        """Nobody listens at the address of a model's provider any more."""
        settings = self.bench.models.settings
        provider = replace(settings.providers[model.provider], base_url="http://127.0.0.1:9")
        providers = {**settings.providers, model.provider: provider}
        self.bench.models.settings = replace(settings, providers=providers)

    def client(self, token: Token | None = None, **more: Any) -> httpx2.AsyncClient:
        headers = {"x-api-key": (token or self.grant()).value}
        return httpx2.AsyncClient(base_url=self.url, headers=headers, **more)


@asynccontextmanager
async def stand(
    script: Any = FULL, *, budget: Budget = Budget(), **more: Any
) -> AsyncIterator[Stand]:
    async with (
        bench(script, budget=budget, **more) as made,
        open_gateway(made.models) as gateway,
        gateway.listen() as url,
    ):
        yield Stand(bench=made, gateway=gateway, url=url)


def sdk_of_anthropic(at: Stand, **more: Any) -> Any:
    """The real client; Any, as tests hand it plain dicts."""
    return AsyncAnthropic(base_url=at.url, max_retries=0, **more)


def sdk_of_openai(at: Stand, token: str) -> Any:
    """The same of the other house."""
    return AsyncOpenAI(base_url=f"{at.url}/v1", api_key=token, max_retries=0)


def asking(wire: Dialect, *, stream: bool = False, **more: Any) -> dict[str, Any]:
    model = WIRES[wire].name
    if wire == "openai-responses":
        return {"model": model, "input": "hi", "stream": stream} | more
    body = {"model": model, "messages": HI, "stream": stream}
    return body | ({"max_tokens": 500} if wire == "anthropic" else {}) | more
