"""The control lane: root's shell in a box, which reads the process table and sends signals.

It is there before anything else runs, so that it exists when a fork bomb has eaten every pid, and
it runs builtins only. It is the guard of a lane (`shell.GUARD`) where one has any, else, or where
that does not answer, a shell of its own.
"""

import contextlib

import anyio

from mechagym.errors import SandboxError
from mechagym.sandbox.lane import Lane, LaneLost, Shells

ROOT = "0"
SILENT_S = 1.0


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
        """Run shell text and return what it told (`__mg_tell`); as another user than root in a
        shell of its own.

        Raises SandboxError where no shell is to be had.
        """
        try:
            if user is not None and user != ROOT:
                theirs = await self._shells.open(user)
                try:
                    return await theirs.ask(text)
                finally:
                    await self._shells.close(theirs)
            async with self._lock:
                if (lane := self._shells.guarded) is not None:
                    return await self._of_guard(lane, text)
                return await self._of_own(text)
        except LaneLost as error:
            raise SandboxError("no shell can be started in the box to see its processes") from error

    async def ready(self) -> None:
        """Have one before anything runs; a failure shows when one is needed."""
        if self._shells.guarded is None:
            await self.renew()

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
            for lane in self._shells.lanes:
                lane.deaf = True

    async def _of_guard(self, lane: Lane, text: str) -> bytes:
        """Ask a guard, and where it is silent besides a shell of its own, if one can be had.

        That kills the guard first, so that what it was asked is not done at some later time.
        """
        told: list[bytes] = []
        async with anyio.create_task_group() as tasks:

            async def instead() -> None:
                await anyio.sleep(SILENT_S)
                with contextlib.suppress(LaneLost, SandboxError):
                    await self._open()
                    lane.deaf = True
                    told.append(await self._of_own(f"kill -KILL {lane.guard} 2>/dev/null\n{text}"))
                    tasks.cancel_scope.cancel()

            tasks.start_soon(instead)
            with contextlib.suppress(LaneLost):
                told.append(await lane.ask(text))
                tasks.cancel_scope.cancel()
        if not told:
            raise LaneLost
        return told[0]

    async def _of_own(self, text: str) -> bytes:
        try:
            return await (await self._open()).ask(text)
        except LaneLost:  # somebody in the box killed it
            await self._drop()
            return await (await self._open()).ask(text)

    async def _open(self) -> Lane:
        if self._lane is None:
            self._lane = await self._shells.open(ROOT)
        return self._lane

    async def _drop(self) -> None:
        lane, self._lane = self._lane, None
        if lane is not None:
            await self._shells.close(lane)
