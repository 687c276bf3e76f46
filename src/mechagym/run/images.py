"""Images of a job: each is had once per process, whoever asks first; the others wait for it."""

from collections import defaultdict
from collections.abc import Callable

import anyio

from mechagym.sandbox.base import Image, Sandbox


class Images:
    """The images that are known to be at hand."""

    def __init__(self, sandbox: Sandbox, gate: anyio.CapacityLimiter) -> None:
        """`gate` bounds how many are built or pulled at once."""
        self._sandbox = sandbox
        self._gate = gate
        self._ready: dict[Image, str] = {}
        self._locks: dict[Image, anyio.Lock] = defaultdict(anyio.Lock)

    async def have(self, image: Image, on_line: Callable[[str], None]) -> str:
        """Return the digest of an image that is at hand, building or pulling it where it is not.

        Raises ImageError, NoSpace; a failure is not remembered, so that a retry really tries again.
        """
        if image not in self._ready:
            async with self._locks[image], self._gate:
                if image not in self._ready:
                    self._ready[image] = await self._sandbox.prepare(image, on_line)
        return self._ready[image]
