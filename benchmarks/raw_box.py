"""The bare Engine API behind the verbs of a box, so that the same work can be done on both sides.

It adds a worker thread to each call (0.1 ms) and nothing else: no labels, no limits, no kept shell,
no exit code asked for.
"""

import io
import tarfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread

from benchmarks.raw_docker import RawDocker
from mechagym.records import BoxInfo
from mechagym.sandbox.base import BoxSpec, ExecResult, RegistryImage

THREADS = 128
T = TypeVar("T")


class RawSandbox:
    """Opens containers without a network. Of a spec it reads the image alone."""

    def __init__(self) -> None:
        self._threads = anyio.CapacityLimiter(THREADS)

    async def call(self, work: Callable[..., T], *args: object) -> T:
        """Do it in a thread; as many at once as there are boxes in any benchmark."""
        return await anyio.to_thread.run_sync(work, *args, limiter=self._threads)

    @asynccontextmanager
    async def open(self, spec: BoxSpec) -> AsyncIterator["RawBox"]:
        """Create and start; remove by force."""
        assert isinstance(spec.image, RegistryImage)
        async with self.running(spec.image.reference) as box:
            yield box

    @asynccontextmanager
    async def running(self, image: str) -> AsyncIterator["RawBox"]:
        """A container of an image; each has a connection of its own."""
        engine = RawDocker()
        container = await self.call(engine.open, image)
        try:
            yield RawBox(self, engine, container)
        finally:
            with anyio.CancelScope(shield=True):
                await self.call(engine.close, container)


class RawBox:
    """A container; see `Box` for what its verbs mean."""

    def __init__(self, sandbox: RawSandbox, engine: RawDocker, container: str) -> None:
        self._sandbox = sandbox
        self._engine = engine
        self._id = container

    @property
    def info(self) -> BoxInfo:
        """Its container's id."""
        return BoxInfo(backend="raw", box_id=self._id, image="", container_id=self._id)

    async def exec(self, argv: Sequence[str]) -> ExecResult:
        """One exec call. Its result is the raw stream; the exit code would be a call more."""
        said = await self._sandbox.call(self._engine.exec, self._id, *argv)
        return ExecResult(exit_code=None, stdout=said)

    async def put(self, source: Path, target: str) -> None:
        """Pack in memory and send."""

        def send() -> None:
            self._engine.put(self._id, packed(source, target.lstrip("/")), "/")

        await self._sandbox.call(send)

    @asynccontextmanager
    async def fork(self) -> AsyncIterator["RawBox"]:
        """Commit, and start the image; three at once commit three times."""
        engine = RawDocker()
        image = await self._sandbox.call(engine.commit, self._id)
        try:
            async with self._sandbox.running(image) as box:
                yield box
        finally:
            with anyio.CancelScope(shield=True):
                await self._sandbox.call(engine.call, "DELETE", f"/images/{image}")


def packed(source: Path, name: str) -> bytes:
    """A folder as a tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        archive.add(source, name)
    return buffer.getvalue()
