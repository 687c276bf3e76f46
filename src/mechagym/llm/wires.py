"""The library's model for each wire, built by hand: nothing is guessed and no environment is read.

The key of a request is set when it leaves, by `KeyedAuth`: the SDKs hold a placeholder, so no
object, log or traceback of theirs has a key, and a key that is read again is used at once.
"""

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, assert_never

import httpx2
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models import (
    CompletedStreamedResponse,
    Model,
    ModelRequestParameters,
    StreamedResponse,
)
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.profiles import ModelProfile, merge_profile
from pydantic_ai.settings import ModelSettings

from mechagym.errors import ConfigError
from mechagym.llm.credentials import Credential, key_header
from mechagym.llm.outgoing import CONNECT_S, Outgoing
from mechagym.llm.providers import Provider

if TYPE_CHECKING:
    from pydantic_ai import RunContext

PLACEHOLDER = "set-when-sent"
READ_S = 600.0


class KeyedAuth(httpx2.Auth):
    """Puts the current key on each request, and takes off whatever the SDK put there."""

    def __init__(self, provider: Provider, credential: Callable[[], Credential | None]) -> None:
        self._provider = provider
        self._credential = credential

    def auth_flow(
        self, request: httpx2.Request
    ) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Send one request."""
        for name in _ACCOUNT_HEADERS:
            request.headers.pop(name, None)
        for name, value in self._provider.headers.items():
            if name.lower() in _ACCOUNT_HEADERS:
                request.headers[name] = value
        if (credential := self._credential()) is not None:
            name, value = key_header(self._provider.wire, credential)
            request.headers[name] = value
            for name, value in credential.headers.items():
                request.headers[name] = _joined(request.headers.get(name), name, value)
        yield request


_ACCOUNT_HEADERS = (
    "authorization",
    "x-api-key",
    "x-goog-api-key",
    "openai-organization",
    "openai-project",
)


def _joined(before: str | None, name: str, value: str) -> str:
    """Betas are a list, and the SDK may have named some; any other header is ours."""
    return f"{before},{value}" if before and name.lower() == "anthropic-beta" else value


def http_client(
    provider: Provider, outgoing: Outgoing, credential: Callable[[], Credential | None]
) -> httpx2.AsyncClient:
    """The client for all calls to one provider; whoever asks for it closes it."""
    return httpx2.AsyncClient(
        auth=KeyedAuth(provider, credential),
        headers=dict(provider.headers),
        timeout=httpx2.Timeout(READ_S, connect=CONNECT_S),
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=100),
        proxy=outgoing.proxy_for(provider.base_url or ""),
        verify=outgoing.trust(),
        trust_env=False,
    )


def provider_model(provider: Provider, wire_name: str, client: httpx2.AsyncClient) -> Model:
    """The model of a provider, as the library has it. Raises ConfigError without a base URL."""
    if provider.base_url is None:
        raise ConfigError(
            f"{provider.name}: it has no base URL",
            remedy=f"set base_url in [llm.providers.{provider.name}]",
        )
    model = _on_wire(provider, provider.base_url, wire_name=wire_name, client=client)
    return model if provider.streaming else WholeModel(model)


def _on_wire(
    provider: Provider, base_url: str, *, wire_name: str, client: httpx2.AsyncClient
) -> Model:
    match provider.wire:
        case "anthropic":
            from pydantic_ai.models.anthropic import AnthropicModel
            from pydantic_ai.providers.anthropic import AnthropicProvider

            anthropic = AnthropicProvider(
                api_key=PLACEHOLDER, base_url=base_url, http_client=client
            )
            return AnthropicModel(wire_name, provider=anthropic)
        case "openai-chat" | "openai-responses":
            from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
            from pydantic_ai.providers.openai import OpenAIProvider

            openai = OpenAIProvider(base_url=base_url, api_key=PLACEHOLDER, http_client=client)
            if provider.wire == "openai-responses":
                return OpenAIResponsesModel(wire_name, provider=openai)
            profile = chat_profile(provider, wire_name)
            return OpenAIChatModel(wire_name, provider=openai, profile=profile)
        case "google":
            from pydantic_ai.models.google import GoogleModel
            from pydantic_ai.providers.google import GoogleProvider

            google = GoogleProvider(api_key=PLACEHOLDER, base_url=base_url, http_client=client)
            return GoogleModel(wire_name, provider=google)
        case "none":
            raise ConfigError(f"{provider.name}: it is not reached over a network")
        case _:
            assert_never(provider.wire)


def chat_profile(provider: Provider, wire_name: str) -> ModelProfile | None:
    """What a service that speaks like OpenAI can do; None: it is OpenAI itself."""
    from pydantic_ai.profiles.openai import OpenAIModelProfile

    known: ModelProfile | None
    match provider.name:
        case "openai-chat":
            return None
        case "openrouter":
            from pydantic_ai.providers.openrouter import OpenRouterProvider

            known = OpenRouterProvider.model_profile(wire_name)
        case "ollama":
            from pydantic_ai.providers.ollama import OllamaProvider

            known = OllamaProvider.model_profile(wire_name)
        case _:
            known = OpenAIModelProfile(
                openai_supports_strict_tool_definition=False,
                supports_json_schema_output=provider.name == "fm",
            )
    # the older name of the output limit is known to all of them
    older = OpenAIModelProfile(openai_chat_supports_max_completion_tokens=False)
    return merge_profile(known, older)


class WholeModel(WrapperModel):
    """A model whose service does not stream: its reply is a stream of one piece."""

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: "RunContext[Any] | None" = None,  # noqa: ARG002
    ) -> AsyncGenerator[StreamedResponse]:
        """Ask for the whole reply and hand it over as it is."""
        reply = await self.request(messages, model_settings, model_request_parameters)
        yield CompletedStreamedResponse(
            reply, model_request_parameters=model_request_parameters, replay_events=True
        )
