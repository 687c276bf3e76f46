"""The outermost wrapper: tries a model call again where that is worth it, and nobody else does.

Each try goes through the whole stack below, so that it waits its turn and makes its own hold. A
stream is tried again only before its first event. What fails for good is a `ModelError`; a budget
error passes through as it is.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
from pydantic_ai.exceptions import ModelAPIError, UnexpectedModelBehavior
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings

from mechagym.errors import ModelError
from mechagym.llm.faults import TryFailed, read_fault
from mechagym.llm.patience import Patience

if TYPE_CHECKING:
    from pydantic_ai import RunContext


FAULTS = (TryFailed, ModelAPIError, UnexpectedModelBehavior)
"""How a try fails; any other error is not about a try, and passes."""


class RetriedModel(WrapperModel):
    """A model that is tried with patience; `patience` makes a new one for each call."""

    def __init__(self, wrapped: Model, *, patience: Callable[[], Patience]) -> None:
        super().__init__(wrapped)
        self._patience = patience

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Ask until there is an answer, or the patience is over."""
        patience = self._patience()
        while True:
            try:
                return await super().request(messages, model_settings, model_request_parameters)
            except FAULTS as error:
                await _wait_after(error, patience)

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: "RunContext[Any] | None" = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Open a stream that has begun; what breaks later is not repaired here."""
        patience = self._patience()
        async with AsyncExitStack() as stack:
            while True:
                try:
                    stream = await stack.enter_async_context(
                        super().request_stream(
                            messages, model_settings, model_request_parameters, run_context
                        )
                    )
                    break
                except FAULTS as error:
                    await _wait_after(error, patience)
            try:
                yield stream
            except FAULTS as error:
                raise _for_good(error) from error


async def _wait_after(error: Exception, patience: Patience) -> None:
    """Wait for the next try. Raises ModelError where there is none."""
    wait_s = await patience.wait_after(read_fault(error))
    if wait_s is None:
        times = f" (tried {patience.tried} times)" if patience.tried > 1 else ""
        raise _for_good(error, times) from error
    await anyio.sleep(wait_s)


def _for_good(error: Exception, more: str = "") -> ModelError:
    fault = read_fault(error)
    return ModelError(f"{fault.message}{more}", reason=fault.kind)
