"""A worker by itself, on whichever machine has the store."""

import signal

import anyio

from mechagym.config import Settings
from mechagym.store import Store
from mechagym.web.worker import Worker


async def work(settings: Settings) -> None:
    """Take ops until a signal comes. Raises StoreError."""
    async with Store.open(settings.store) as store, anyio.create_task_group() as tasks:
        tasks.start_soon(Worker(store=store, settings=settings).run)
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                break
        tasks.cancel_scope.cancel()
