"""The third wrapper: each try is reserved in the ledger before it is sent and settled after.

A try has one hold and one end. An empty reply is a fault. A stream is handed over with its first
event at hand; broken later, or left by its reader, it costs what was held.
"""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings, merge_model_settings

from mechagym.errors import ModelError
from mechagym.llm.calls import Call, Ledger, open_counted
from mechagym.llm.names import ModelName
from mechagym.llm.tries import TryLimits, begin, reading, settle
from mechagym.llm.weighing import counted, weigh

if TYPE_CHECKING:
    from pydantic_ai import RunContext


class MeteredModel(WrapperModel):
    """A model whose calls are paid for by a ledger."""

    def __init__(
        self, wrapped: Model, *, name: ModelName, ledger: Ledger, limits: TryLimits
    ) -> None:
        super().__init__(wrapped)
        self._name = name
        self._ledger = ledger
        self._limits = limits

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Ask once."""
        settings = merge_model_settings(self.settings, model_settings) or ModelSettings()
        with await self._open(messages, settings, model_request_parameters) as call:
            with self._limits.within(self._limits.timeout_s), reading("the reply"):
                reply = await super().request(
                    messages, _told(settings, call), model_request_parameters
                )
            settle(call, reply)
        return reply

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: "RunContext[Any] | None" = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Ask once, and hand over what has begun to come."""
        settings = merge_model_settings(self.settings, model_settings) or ModelSettings()
        with await self._open(messages, settings, model_request_parameters) as call:
            async with AsyncExitStack() as stack:
                with self._limits.within(self._limits.first_output_s):
                    inner = super().request_stream(
                        messages, _told(settings, call), model_request_parameters, run_context
                    )
                    stream = await stack.enter_async_context(inner)
                    if not await begin(stream):
                        settle(call, stream.get())
                call.output_began()
                yield stream
                if call.open and (reply := stream.get()).state == "complete":
                    settle(call, reply)

    async def _open(
        self,
        messages: list[ModelMessage],
        settings: ModelSettings,
        parameters: ModelRequestParameters,
    ) -> Call:
        if self._limits.left_s() <= 0:
            raise ModelError(f"{self._name}: no time is left for a call", reason="no_time")
        request = weigh(self._name, messages, settings, parameters)
        once: ModelSettings = {**settings, "max_retries": 0}
        return await open_counted(
            self._ledger, request, lambda: counted(self.wrapped, messages, once, parameters)
        )


def _told(settings: ModelSettings, call: Call) -> ModelSettings:
    """What the provider's model is told: our output limit, and that we alone repeat."""
    return {**settings, "max_tokens": call.output_limit, "max_retries": 0}
