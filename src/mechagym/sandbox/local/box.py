"""A box of the local backend: commands over lanes, files straight to and from its root, forks by
freezing.

While forks of a box are open it stands still, since its upper is their layer: a live upper is never
a layer. Its files can be read meanwhile; a command or a change waits for nothing and is refused.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from errno import ENOENT, ENOSPC
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskGroup

from mechagym.errors import BoxDied, SandboxError
from mechagym.records import BoxInfo
from mechagym.sandbox.base import (
    Box,
    ExecOptions,
    ExecResult,
    NetworkPolicy,
    TransferCaps,
    TransferReport,
)
from mechagym.sandbox.lane import same_user
from mechagym.sandbox.local.instance import Instance
from mechagym.sandbox.local.keeping import StepError, failed
from mechagym.sandbox.local.rootfs import pour, wide_pipe
from mechagym.sandbox.transfer import pack, threaded, unpack

MAX_LAYERS = 60
"""Forks of forks: so many uppers are mounted as they are, and then made into one."""

_PLAIN = ExecOptions()
_CAPS = TransferCaps()


class LocalBox:
    """A handle on an instance; after `adopt` on another one. `nest` runs the tasks of all
    instances.
    """

    def __init__(
        self, instance: Instance, nest: TaskGroup, describe: Callable[[Instance], BoxInfo]
    ) -> None:
        self.instance = instance
        self._nest = nest
        self._describe = describe

    @property
    def info(self) -> BoxInfo:
        """What it is, and what it enforces."""
        return self._describe(self.instance)

    @property
    def processes(self) -> Any:
        """Its process table (see `processes.ProcessTable`)."""
        assert self.instance.pool is not None
        return self.instance.pool.processes

    async def exec(self, argv: Sequence[str], options: ExecOptions = _PLAIN) -> ExecResult:
        """Run a command. Raises BoxDied, SandboxError."""
        pool, network = self._moving().pool, self.instance.network
        assert pool is not None
        if network is not None and network.env:
            options = replace(options, env={**network.env, **options.env})
        if options.user is not None and same_user(options.user, self.instance.user):
            options = replace(options, user=None)
        return await pool.exec(argv, options)

    async def retire(self) -> None:
        """Use no shell again that was there until now."""
        pool = self._moving().pool
        assert pool is not None
        await pool.retire()

    async def put(self, source: Path | bytes, target: str) -> None:
        """Copy into the box; see `Box.put`."""
        self._moving()
        reader, writer = wide_pipe()
        target = self._absolute(target)
        chunks = threaded(pack(source, "it"))
        await self._stream(lambda: pour(chunks, writer), "write", reader, target=target)

    async def get(self, source: str, target: Path, caps: TransferCaps = _CAPS) -> TransferReport:
        """Copy out of the box; see `Box.get`."""
        self.instance.check()
        reader, writer = wide_pipe()
        reports: list[TransferReport] = []

        async def land() -> None:
            try:
                reports.append(await unpack(_drain(reader), target, caps, root="."))
            finally:
                os.close(reader)

        await self._stream(land, "read", writer, source=self._absolute(source))
        return reports[0]

    @asynccontextmanager
    async def fork(self) -> AsyncIterator["LocalBox"]:
        """Open an equal box; this one stands still until its last fork is closed."""
        parent = self.instance
        parent.check()
        await parent.hold.take()
        try:
            stack = (parent.folder, *parent.below)
            deep = len(stack) >= MAX_LAYERS
            child = Instance(
                plant=parent.plant,
                spec=replace(parent.spec, network=parent.policy),
                rootfs=parent.rootfs,
                below=() if deep else stack,
                flatten=stack if deep else (),
                lineage=parent.lineage | {parent.box_id},
                hostname=parent.hostname or parent.box_id,
            )
            async with running(child, self._nest):
                box = LocalBox(child, self._nest, self._describe)
                yield box
        finally:
            with anyio.CancelScope(shield=True):
                await parent.hold.release()

    async def adopt(self, fork: Box) -> None:
        """Go on as this fork; the old machine and all that ran on it end."""
        if not isinstance(fork, LocalBox) or self.instance.box_id not in fork.instance.lineage:
            raise SandboxError("only a fork of this box can be adopted", retry=False)
        old, self.instance = self.instance, fork.instance
        fork.instance.adopted = True
        await old.stop()

    async def end_adopted(self, first: Instance) -> None:
        """End what this handle went on as, if that is not its first instance."""
        if self.instance is not first:
            await self.instance.stop()

    async def alive(self) -> bool:
        """Whether a command could run now."""
        return self.instance.alive()

    async def use_network(self, policy: NetworkPolicy) -> None:
        """Enforce another network policy from now on."""
        await self._moving().use_network(policy)

    def _moving(self) -> Instance:
        """The instance, if it may change now."""
        self.instance.check()
        forks = self.instance.hold.count
        if forks:
            raise SandboxError(
                f"box {self.instance.box_id} stands still while {forks} forks of it are open",
                reason="frozen",
                retry=False,
            )
        return self.instance

    def _absolute(self, path: str) -> str:
        return os.path.join(self.instance.workdir, path)  # noqa: PTH118 – a path of the box

    async def _stream(
        self, work: Callable[[], Awaitable[None]], step: str, theirs: int, **request: str
    ) -> None:
        """Run one end of a transfer here and the other in the keeper; the keeper's failure explains
        ours.
        """
        failure: Exception | None = None

        async def ours() -> None:
            nonlocal failure
            try:
                await work()
            except Exception as error:  # noqa: BLE001 – raised below, not in a group
                failure = error

        fault: SandboxError | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ours)
            try:
                await self.instance.ask(step, [theirs], **request)
            except SandboxError as error:
                fault = error
            finally:
                os.close(theirs)
        if isinstance(fault, BoxDied):
            raise fault
        if isinstance(fault, StepError) and fault.errno == ENOENT and step == "read":
            raise FileNotFoundError(ENOENT, "no such file in the box", request["source"])
        if failure is not None:
            raise failure
        if fault is not None:
            self.instance.check()
            assert isinstance(fault, StepError)
            if fault.errno == ENOSPC and self.instance.folder.disk is not None:
                what = f"box {self.instance.box_id}: its storage limit is reached"
                raise SandboxError(what, reason="storage_full", retry=False) from fault
            folder = self.instance.plant.keeper.folder
            raise failed(f"box {self.instance.box_id}", fault, folder) from fault


@asynccontextmanager
async def running(instance: Instance, nest: TaskGroup) -> AsyncIterator[None]:
    """Start an instance in a task of the nest; end it, unless a box adopted it meanwhile."""
    nest.start_soon(instance.run)
    try:
        await instance.started()
        yield
    finally:
        if not instance.adopted:
            await instance.stop()


async def _drain(reader: int) -> AsyncIterator[bytes]:
    os.set_blocking(reader, False)
    while True:
        try:
            data = os.read(reader, 1024 * 1024)
        except BlockingIOError:
            await anyio.wait_readable(reader)
            continue
        if not data:
            return
        yield data
