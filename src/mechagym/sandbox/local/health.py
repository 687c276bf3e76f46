"""Waiting until a box's own health check says that it is ready."""

import time

import anyio

from mechagym.errors import SandboxError
from mechagym.sandbox.base import Box, ExecOptions, Healthcheck


async def check_health(box: Box, check: Healthcheck | None) -> None:
    """Run the check until it succeeds. Raises SandboxError after its retries.

    Failures within the start period do not count.
    """
    if check is None:
        return
    options = ExecOptions(timeout_s=check.timeout_s)
    began, failures = time.monotonic(), 0
    while True:
        result = await box.exec(("sh", "-c", check.command), options)
        if result.ok:
            return
        if time.monotonic() - began >= check.start_period_s:
            failures += 1
        if failures >= check.retries:
            said = (result.stdout + result.stderr).decode("utf-8", "replace").strip()
            raise SandboxError(
                f"box {box.info.box_id}: its health check failed {failures} times: {said[-500:]}",
                reason="unhealthy",
            )
        await anyio.sleep(check.interval_s)
