"""The box as the agent holds it: once cut, nothing of the agent's reaches the box any more.

An agent of ours works in our process: a task of it that outlives its deadline could otherwise
still write into the box while the tests run. The leash makes "work after the deadline is not
graded" hold there too.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from mechagym.errors import AgentError
from mechagym.records import BoxInfo
from mechagym.sandbox.base import Box, ExecOptions, ExecResult, TransferCaps, TransferReport


class Leash:
    """A Box that passes everything on until it is cut."""

    def __init__(
        self, box: Box, *, user: str | None = None, on_cut: Callable[[], None] = lambda: None
    ) -> None:
        """`user`: whom the agent's commands run as where they do not say; None: the box's."""
        self._box = box
        self._user = user
        self._on_cut = on_cut
        self._cut = False

    def cut(self) -> None:
        """From now on every call raises AgentError; `on_cut` ends what else the agent holds."""
        self._cut = True
        self._on_cut()

    @property
    def info(self) -> BoxInfo:
        """That of the box."""
        return self._box.info

    async def exec(self, argv: Sequence[str], options: ExecOptions = ExecOptions()) -> ExecResult:
        """Run a command as the agent's user."""
        if self._user and options.user is None:
            options = replace(options, user=self._user)
        return await self._held().exec(argv, options)

    async def put(self, source: Path | bytes, target: str) -> None:
        """Copy in."""
        await self._held().put(source, target)

    async def get(
        self, source: str, target: Path, caps: TransferCaps = TransferCaps()
    ) -> TransferReport:
        """Copy out."""
        return await self._held().get(source, target, caps)

    @asynccontextmanager
    async def fork(self) -> AsyncIterator[Box]:
        """A fork on the same leash."""
        async with self._held().fork() as fork:
            leash = Leash(fork, user=self._user)
            try:
                yield leash
            finally:
                leash.cut()

    async def adopt(self, fork: Box) -> None:
        """Take a fork made through this leash as the box."""
        box = self._held()
        await box.adopt(fork._held() if isinstance(fork, Leash) else fork)

    async def alive(self) -> bool:
        """Whether the agent may still use it."""
        return not self._cut and await self._box.alive()

    def _held(self) -> Box:
        if self._cut:
            raise AgentError("the agent's time is over: the box is no longer its own", reason="cut")
        return self._box
