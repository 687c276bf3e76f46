"""The control lane: root's shell in a box, which reads the process table and sends signals.

It is opened before anything else runs, so that it exists when a fork bomb has eaten every pid,
and it runs builtins only.
"""

import contextlib
import secrets

import anyio

from mechagym.errors import SandboxError
from mechagym.sandbox import shell
from mechagym.sandbox.base import ExecOptions
from mechagym.sandbox.capture import Taps
from mechagym.sandbox.lane import Lane, LaneLost, Shells

ROOT = "0"
_LISTING = ExecOptions(limit_bytes=64 * 1024 * 1024)


class Control:
    """A box's process table (`processes.ProcessTable`)."""

    def __init__(self, shells: Shells) -> None:
        self._shells = shells
        self._lane: Lane | None = None
        self._lock = anyio.Lock()
        self._killing = anyio.Lock()

    @property
    def ours(self) -> frozenset[int]:
        """Shells of ours."""
        return self._shells.pids

    @property
    def background(self) -> frozenset[int]:
        """Commands that were started on purpose to outlive their call."""
        return frozenset(self._shells.background)

    @property
    def own_namespace(self) -> bool:
        """Whether all processes seen are this box's."""
        return self._shells.machine.own_namespace

    @property
    def killing(self) -> anyio.Lock:
        """Held while processes are stopped and killed."""
        return self._killing

    async def script(self, text: str, user: str | None = None) -> bytes:
        """Run shell text and return its stdout; as another user than root in a shell of its own.

        Raises SandboxError where no shell is to be had.
        """
        try:
            if user is not None and user != ROOT:
                return await self._ask(await self._shells.open(user), text, close=True)
            async with self._lock:
                try:
                    return await self._ask(await self._open(), text)
                except LaneLost:  # somebody in the box killed it
                    await self._drop()
                    return await self._ask(await self._open(), text)
        except LaneLost as error:
            raise SandboxError("no shell can be started in the box to see its processes") from error

    async def renew(self) -> None:
        """Open a fresh lane, then let the old one go; a failure shows when one is needed."""
        fresh: Lane | None = None
        with contextlib.suppress(LaneLost, SandboxError):
            fresh = await self._shells.open(ROOT)
        async with self._killing, self._lock:  # a lane that is frozen cannot thaw the box
            await self._drop()
            self._lane = fresh

    async def forget(self) -> None:
        """Let the lane go; another is opened when one is needed."""
        async with self._killing, self._lock:
            await self._drop()

    async def _open(self) -> Lane:
        if self._lane is None:
            self._lane = await self._shells.open(ROOT)
        return self._lane

    async def _drop(self) -> None:
        lane, self._lane = self._lane, None
        if lane is not None:
            await self._shells.close(lane)

    async def _ask(self, lane: Lane, text: str, *, close: bool = False) -> bytes:
        taps = Taps(secrets.token_hex(16), _LISTING)
        try:
            await lane.run(f"{text}{shell.said(taps.nonce)}", taps)
        except anyio.get_cancelled_exc_class():
            close = True  # its answer would be read as that of the next question
            if lane is self._lane:
                self._lane = None
            raise
        finally:
            if close:
                await self._shells.close(lane)
        return taps.stdout.capture.bytes()
