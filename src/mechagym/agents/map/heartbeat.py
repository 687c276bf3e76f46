"""A sign of life every half minute, also while a call or a command takes long."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio

from mechagym.events import Emit
from mechagym.events.map import MapHeartbeat

EVERY_S = 30.0


@asynccontextmanager
async def beating(
    emit: Emit, beat: Callable[[], MapHeartbeat], *, every_s: float
) -> AsyncIterator[None]:
    """Beat as long as the body runs."""

    async def go_on() -> None:
        while True:
            await anyio.sleep(every_s)
            emit(beat())

    error: BaseException | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(go_on)
        try:
            yield
        except Exception as raised:  # noqa: BLE001 – goes on as it is, not in a group
            error = raised
        finally:
            tasks.cancel_scope.cancel()
    if error is not None:
        raise error
