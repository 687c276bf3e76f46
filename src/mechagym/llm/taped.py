"""The innermost wrapper: keeps each exchange that succeeded on a tape."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings

from mechagym.llm.canonical import key_of, of_messages
from mechagym.llm.names import ModelName
from mechagym.llm.tape import ModelExchange, TapeWriter
from mechagym.records import Json

if TYPE_CHECKING:
    from pydantic_ai import RunContext


class TapedModel(WrapperModel):
    """A model whose exchanges are recorded as they were asked of the provider."""

    def __init__(self, wrapped: Model, *, name: ModelName, tape: TapeWriter) -> None:
        super().__init__(wrapped)
        self._name = name
        self._tape = tape

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Ask, and keep the reply."""
        began = time.monotonic()
        asked = self._asked(messages, model_settings, model_request_parameters)
        reply = await super().request(messages, model_settings, model_request_parameters)
        self._keep(asked, reply, began)
        return reply

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: "RunContext[Any] | None" = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Ask, and keep what came, if all of it came."""
        began = time.monotonic()
        asked = self._asked(messages, model_settings, model_request_parameters)
        async with super().request_stream(
            messages, model_settings, model_request_parameters, run_context
        ) as stream:
            yield stream
            if (reply := stream.get()).state == "complete":
                self._keep(asked, reply, began)

    def _asked(
        self,
        messages: list[ModelMessage],
        settings: ModelSettings | None,
        parameters: ModelRequestParameters,
    ) -> Json:
        return of_messages(messages, settings, parameters, normalise=self._tape.patterns)

    def _keep(self, asked: Json, reply: ModelResponse, began: float) -> None:
        self._tape.add(
            ModelExchange(
                key=key_of(asked),
                model=str(self._name),
                request=asked,
                response=ModelMessagesTypeAdapter.dump_python([reply], mode="json")[0],
                total_ms=(time.monotonic() - began) * 1000,
            )
        )
