"""The second wrapper: each try waits for its turn on the key, and tells the pace how it went."""

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings

from mechagym.llm.faults import fault_of
from mechagym.llm.pace import Pace

if TYPE_CHECKING:
    from pydantic_ai import RunContext


class PacedModel(WrapperModel):
    """A model that is asked at its key's pace; `left_s` is how long a turn may be waited for."""

    def __init__(self, wrapped: Model, *, pace: Pace, left_s: Callable[[], float]) -> None:
        super().__init__(wrapped)
        self._pace = pace
        self._left_s = left_s

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Ask when it is our turn."""
        async with self._pace.turn(self._left_s()):
            with self._told():
                return await super().request(messages, model_settings, model_request_parameters)

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: "RunContext[Any] | None" = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Open a stream when it is our turn, and keep the turn until its end."""
        async with self._pace.turn(self._left_s()):
            with self._told():
                async with super().request_stream(
                    messages, model_settings, model_request_parameters, run_context
                ) as stream:
                    yield stream

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            fault = fault_of(error)
            if fault is not None and (fault.kind == "rate_limited" or fault.status == 529):
                self._pace.slow_down(fault.retry_after_s)
            raise
        self._pace.went_well()
