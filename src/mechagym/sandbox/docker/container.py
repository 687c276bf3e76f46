"""One running container of ours: created, attached, started, served by lanes, removed.

It is served by a task of its own (`serve`), so that containers may end in any order (a fork
outlives the box that adopted it). Nothing is started before the `try` that undoes it.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.abc import TaskStatus

from mechagym.errors import BoxDied, SandboxError
from mechagym.sandbox.docker.channel import DockerChannel
from mechagym.sandbox.docker.creation import INIT
from mechagym.sandbox.docker.engine import Engine, EngineError
from mechagym.sandbox.lanes import LanePool, Machine

CLOSE_S = 10.0
SETTLE_S = 0.005
_GONE = {404, 409}


@dataclass(slots=True, eq=False)
class Snapshot:
    """A container as it stood, for the forks that were asked for before it was taken: `users`."""

    users: int = 0
    image: str = ""


@dataclass(slots=True, eq=False)
class Container:
    """`body`: what it is created with (see `creation`). `joins`: further networks of its own.

    `snapshot`: where its image is one, which goes with its last user.
    """

    engine: Engine
    name: str
    body: dict[str, Any]
    joins: tuple[str, ...] = ()
    user_is_root: bool = False
    snapshot: Snapshot | None = None
    id: str = ""
    warnings: tuple[str, ...] = ()
    _asked: bool = False
    _pool: LanePool | None = None
    _next: Snapshot | None = None
    _still: anyio.Lock = field(default_factory=anyio.Lock)
    _started: list[DockerChannel] = field(default_factory=list)
    _stop: anyio.Event = field(default_factory=anyio.Event)
    _gone: anyio.Event = field(default_factory=anyio.Event)

    async def serve(self, *, task_status: TaskStatus[None]) -> None:
        """Open it, serve until `stop`, remove it."""
        try:
            main = await self._start()
            async with LanePool(self._machine(), main) as pool:
                self._pool = pool
                task_status.started()
                await self._stop.wait()
                with anyio.CancelScope(shield=True):  # before its shell, let go, ends it slowly
                    await self._remove()
        finally:
            with anyio.CancelScope(shield=True):
                try:
                    await self._remove()
                finally:
                    self._gone.set()
                if self.snapshot is not None:
                    await self.leave(self.snapshot)

    async def stop(self) -> None:
        """Remove it and wait until it is gone; at most 10 s, then it is the reaper's."""
        self._stop.set()
        with anyio.move_on_after(CLOSE_S, shield=True):
            await self._gone.wait()

    @property
    def pool(self) -> LanePool:
        """Its lanes. Raises BoxDied once it was stopped."""
        if self._pool is None or self._stop.is_set():
            raise BoxDied(f"box {self.name} is closed")
        return self._pool

    async def alive(self) -> bool:
        """Whether its main process runs."""
        if not self.id or self._stop.is_set():
            return False
        try:
            found = await self.engine.call("GET", f"/containers/{self.name}/json")
        except EngineError as error:
            if error.status in _GONE:
                return False
            raise
        return bool(found["State"]["Running"]) and not found["State"].get("Dead")

    async def commit(self, label: str) -> Snapshot:
        """Make an image of it as it stands (it is paused meanwhile); its caller is a user of it.

        Who asks before it is begun shares it. No shell is started at the same time: the engine
        hangs where an exec meets a pause.
        """
        self._next = snapshot = self._next or Snapshot()
        snapshot.users += 1
        try:
            async with self._still:
                while not all(channel.settled for channel in self._started):  # noqa: ASYNC110 – many, rarely
                    await anyio.sleep(SETTLE_S)
                if not snapshot.image:
                    self._next = None
                    await self._take(snapshot, label)
        except BaseException:
            await self.leave(snapshot)
            raise
        return snapshot

    async def leave(self, snapshot: Snapshot) -> None:
        """One user of an image less; the last one's going removes it."""
        snapshot.users -= 1
        if snapshot.users == 0 and snapshot.image:
            with anyio.move_on_after(CLOSE_S, shield=True), suppress(SandboxError):
                await self.engine.call("DELETE", f"/images/{snapshot.image}")

    async def _take(self, snapshot: Snapshot, label: str) -> None:
        params = {"container": self.name, "pause": "1", "changes": f"LABEL {label}"}
        with anyio.CancelScope(shield=True):  # a broken-off request may still make one
            made = await self.engine.call("POST", "/commit", params=params, body={})
        snapshot.image = str(made["Id"])

    async def _start(self) -> DockerChannel:
        params = {"name": self.name}
        self._asked = True
        with anyio.CancelScope(shield=True):  # a broken-off request may still make one
            made = await self.engine.call(
                "POST", "/containers/create", params=params, body=self.body
            )
        self.id = made["Id"]
        self.warnings = tuple(made.get("Warnings") or ())
        path = f"/containers/{self.name}"
        for network in self.joins:
            join = {"Container": self.name}
            await self.engine.call("POST", f"/networks/{network}/connect", body=join)
        main = await self.engine.hijack(
            f"{path}/attach", stream="1", stdin="1", stdout="1", stderr="1"
        )
        try:
            await self.engine.call("POST", f"{path}/start")
        except BaseException:
            with anyio.CancelScope(shield=True):
                await main.aclose()
            raise
        return main

    def _machine(self) -> Machine:
        return Machine(
            spawn=self._spawn, alive=self.alive, subreaper=INIT, guards=self.user_is_root
        )

    async def _spawn(self, argv: Sequence[str], user: str | None) -> DockerChannel:
        body: dict[str, Any] = {
            "AttachStdin": True,
            "AttachStdout": True,
            "AttachStderr": True,
            "Cmd": list(argv),
        }
        if user is not None:
            body["User"] = user
        try:
            made = await self.engine.call("POST", f"/containers/{self.name}/exec", body=body)
            start = {"Detach": False, "Tty": False}
            async with self._still:
                channel = await self.engine.hijack(f"/exec/{made['Id']}/start", start)
                self._started = [c for c in self._started if not c.settled] + [channel]
                return channel
        except EngineError as error:
            if error.status in _GONE and not await self.alive():
                raise BoxDied(f"box {self.name} is gone: {error.said}") from error
            raise

    async def _remove(self) -> None:
        """What does not go within 10 s is the reaper's work."""
        if not self._asked:
            return
        with anyio.move_on_after(CLOSE_S), suppress(SandboxError):
            await self._delete()
            self._asked = False

    async def _delete(self) -> None:
        path = f"/containers/{self.name}"
        try:
            await self.engine.call("DELETE", path, params={"force": "1", "v": "1"})
        except EngineError as error:
            if error.status not in _GONE:
                raise
            with suppress(EngineError):  # 409: the engine is at it
                await self.engine.call("POST", f"{path}/wait", params={"condition": "removed"})
