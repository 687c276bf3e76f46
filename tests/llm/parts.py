"""What the tests of models share: a stack over a provider double, and messages to say."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic_ai.messages import ModelRequest, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters, override_allow_model_requests

from mechagym.budget import Budget, Meter
from mechagym.events import EventBody, ModelAnswered, ModelFailed, ModelRefused, ModelRequested
from mechagym.llm.catalogue import Catalogue, ModelInfo
from mechagym.llm.credentials import Credentials
from mechagym.llm.names import ModelName
from mechagym.llm.price_table import PriceTable
from mechagym.llm.providers import SHIPPED, Wire
from mechagym.llm.settings import LlmSettings, RetryLimits
from mechagym.llm.stack import Models
from mechagym.records import Spend
from mechagym.testing.provider import ProviderDouble, provider_double

WIRES: dict[Wire, ModelName] = {
    "anthropic": ModelName("anthropic", "claude-haiku-4-5"),
    "openai-chat": ModelName("openai-chat", "gpt-4o"),
    "openai-responses": ModelName("openai", "gpt-4o"),
    "google": ModelName("google", "gemini-3.1-pro-preview"),
}
"""A priced model for each wire."""

KEY = "sk-planted-key-of-this-test-0123456789"
KEYS = dict.fromkeys(("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GOOGLE_API_KEY"), KEY)
QUICK = RetryLimits(base_s=0.001, cap_s=0.01)


@dataclass(kw_only=True)
class Bench:
    """A stack of models over one double, with what it told and spent."""

    double: ProviderDouble
    models: Models
    meter: Meter
    events: list[EventBody] = field(default_factory=list)

    def open(self, name: ModelName, **more: Any) -> Model:
        return self.models.open_model(name, meter=self.meter, emit=self.events.append, **more)

    def of(self, *kinds: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kinds)]

    @property
    def requested(self) -> list[ModelRequested]:
        return self.of(ModelRequested)

    @property
    def answered(self) -> list[ModelAnswered]:
        return self.of(ModelAnswered)

    @property
    def failed(self) -> list[ModelFailed]:
        return self.of(ModelFailed)

    def is_refused(self, reason: str) -> bool:
        """Whether the last thing that was said is a refusal for this reason."""
        last = self.events[-1]
        return isinstance(last, ModelRefused) and last.reason == reason

    def is_even(self) -> bool:
        """Every call that was asked ended once; the events say what the meter says."""
        ended = [event.call_id for event in self.of(ModelAnswered, ModelFailed)]
        spent = sum((event.spend for event in self.of(ModelAnswered, ModelFailed)), Spend())
        return (
            sorted(ended) == sorted(event.call_id for event in self.requested)
            and self.meter.held == Spend()
            and self.meter.settled == spent
        )


@asynccontextmanager
async def bench(
    script: Any, *, budget: Budget = Budget(), retry: RetryLimits = QUICK, **more: Any
) -> AsyncIterator[Bench]:
    """All shipped providers that go over a wire, at the address of one double."""
    async with provider_double(script) as double:
        providers = {
            name: replace(provider, base_url=double.url + _PATHS.get(provider.wire, ""))
            for name, provider in SHIPPED.items()
        }
        settings = LlmSettings(providers=providers, retry=retry)
        free = [name for name, provider in SHIPPED.items() if provider.price == "free"]
        parts: dict[str, Any] = {
            "settings": settings,
            "catalogue": Catalogue(models={m: known(m) for m in WIRES.values()}),
            "prices": PriceTable.load(free=free),
            "credentials": Credentials(environ=KEYS),
        }
        with override_allow_model_requests(True):
            async with Models(**(parts | more)) as models:
                yield Bench(double=double, models=models, meter=Meter(budget=budget))


_PATHS: dict[Wire, str] = {"openai-chat": "/v1", "openai-responses": "/v1"}


def known(name: ModelName, window: int = 200_000, most: int = 8_192) -> ModelInfo:
    return ModelInfo(id=name, wire_name=name.name, context_window=window, max_output=most)


def say(text: str = "hello") -> list[Any]:
    return [ModelRequest.user_text_prompt(text)]


async def ask(model: Model, text: str = "hello", **settings: Any) -> ModelResponse:
    return await model.request(say(text), settings or None, ModelRequestParameters())  # type: ignore[arg-type]


async def ask_streamed(model: Model, text: str = "hello", **settings: Any) -> ModelResponse:
    async with model.request_stream(
        say(text),
        settings or None,  # type: ignore[arg-type]
        ModelRequestParameters(),
    ) as stream:
        async for _ in stream:
            pass
    return stream.get()
