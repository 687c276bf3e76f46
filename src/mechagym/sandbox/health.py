"""Waiting until a box is healthy, by the rules of Docker's HEALTHCHECK."""

import time

import anyio

from mechagym.errors import SandboxError
from mechagym.sandbox.base import Box, ExecOptions, Healthcheck


async def wait_healthy(box: Box, check: Healthcheck) -> None:
    """Try until the command succeeds; failures within the start period do not count.

    Raises SandboxError with the last output after `retries` failures in a row.
    """
    began = time.monotonic()
    failures = 0
    while True:
        result = await box.exec(["sh", "-c", check.command], ExecOptions(timeout_s=check.timeout_s))
        if result.ok:
            return
        starting = time.monotonic() - began < check.start_period_s
        failures += not starting
        if failures >= max(1, check.retries):
            said = (result.stderr or result.stdout).decode("utf-8", "replace").strip()[-500:]
            raise SandboxError(
                f"box {box.info.box_id} is not healthy: `{check.command}` failed {failures} times:"
                f" {said or f'exit code {result.exit_code}'}",
                reason="unhealthy",
            )
        await anyio.sleep(check.start_interval_s if starting else check.interval_s)
