"""A health check waits as Docker's does: its failures count only after the start period."""

import anyio
import pytest

from mechagym.errors import SandboxError
from mechagym.sandbox.base import Healthcheck
from mechagym.sandbox.health import wait_healthy
from tests.actors import open_box


async def test_the_start_period_has_an_interval_of_its_own():
    check = Healthcheck(
        command="test -f /ready",
        interval_s=60.0,
        start_period_s=60.0,
        start_interval_s=0.01,
        retries=1,
    )
    async with open_box("memory") as box, anyio.create_task_group() as tasks:

        async def get_ready() -> None:
            await anyio.sleep(0.05)
            await box.put(b"", "/ready")

        tasks.start_soon(get_ready)
        with anyio.fail_after(20):
            await wait_healthy(box, check)


async def test_failures_after_the_start_period_end_the_wait():
    check = Healthcheck(command="echo no; false", interval_s=0.01, retries=3)
    async with open_box("memory") as box:
        with pytest.raises(SandboxError, match="failed 3 times: no"):
            await wait_healthy(box, check)
