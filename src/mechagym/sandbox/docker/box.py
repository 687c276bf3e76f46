"""A box of the Docker backend: a handle on a container, and after `adopt` on another one.

Commands run on lanes; files go through the engine's archive API, and come out through the tar
reader that believes nothing.
"""

import posixpath
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from anyio.abc import TaskGroup

from mechagym.errors import BoxDied, SandboxError
from mechagym.records import BoxInfo, new_id
from mechagym.sandbox.base import (
    Box,
    BoxSpec,
    ExecOptions,
    ExecResult,
    NetworkPolicy,
    TransferCaps,
    TransferReport,
)
from mechagym.sandbox.control import Control
from mechagym.sandbox.docker import fetching
from mechagym.sandbox.docker.container import Container, Snapshot
from mechagym.sandbox.docker.creation import HOSTS, Placing, box_body, offline
from mechagym.sandbox.docker.engine import Engine, EngineError
from mechagym.sandbox.docker.images import Facts
from mechagym.sandbox.docker.networks import BoxNetwork
from mechagym.sandbox.docker.spelling import DONE, spelled
from mechagym.sandbox.docker.ways import Ways
from mechagym.sandbox.lane import same_user
from mechagym.sandbox.owner import MARK
from mechagym.sandbox.transfer import pack, threaded, unpack

_PLAIN = ExecOptions()
_CAPS = TransferCaps()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a box is opened from; a fork has another image and another name."""

    engine: Engine
    ways: Ways
    spec: BoxSpec
    image: Facts
    box_id: str
    hostname: str
    snapshot: Snapshot | None = None
    mounts: tuple[dict[str, Any], ...] = ()
    host_cpus: float | None = None
    limits_enforced: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The container's name."""
        return f"mechagym-{self.box_id}"

    @property
    def user(self) -> str:
        """Whom commands run as."""
        return self.spec.user or self.image.user

    @property
    def workdir(self) -> str:
        """Where commands start."""
        return self.spec.workdir or self.image.workdir

    def container(self, network: BoxNetwork) -> Container:
        """The container that it asks for."""
        placing = Placing(
            image=self.image.id,
            hostname=self.hostname,
            network=network.first,
            alias="main" if network.own else None,
            host_cpus=self.host_cpus,
            mounts=self.mounts,
        )
        return Container(
            engine=self.engine,
            name=self.name,
            body=box_body(self.spec, placing),
            joins=network.others,
            user_is_root=same_user("root", self.user),
            snapshot=self.snapshot,
        )


class DockerBox:
    """See `Box`. `nest` runs the tasks that serve its containers."""

    def __init__(
        self, plan: Plan, container: Container, network: BoxNetwork, nest: TaskGroup
    ) -> None:
        self.plan = plan
        self.container = container
        self.network = network
        self._nest = nest

    @property
    def info(self) -> BoxInfo:
        """What it is, and what it enforces."""
        plan = self.plan
        limits = plan.spec.limits
        asked = {
            name: float(value)
            for name in ("cpus", "memory_mb", "storage_mb", "pids")
            if (value := getattr(limits, name)) is not None
        }
        return BoxInfo(
            backend="docker",
            box_id=plan.box_id,
            image=plan.image.reference,
            image_digest=plan.image.digest,
            container_id=self.container.id or None,
            hostname=plan.hostname,
            workdir=plan.workdir,
            user=plan.user,
            network=self.network.policy.mode,
            door=self.network.door,
            limits_asked=asked,
            limits_enforced={n: v for n, v in asked.items() if n in plan.limits_enforced},
            notes=self._notes,
        )

    @property
    def _notes(self) -> tuple[str, ...]:
        way = (f"way in: {self.network.way}",) if self.network.way else ()
        return (*self.container.warnings, *way)

    @property
    def processes(self) -> Control:
        """Its process table (see `processes.ProcessTable`)."""
        return self.container.pool.processes

    async def exec(self, argv: Sequence[str], options: ExecOptions = _PLAIN) -> ExecResult:
        """Run a command; see `Box.exec`."""
        if options.user is not None and same_user(options.user, self.plan.user):
            options = replace(options, user=None)
        if self.network.env:
            options = replace(options, env={**self.network.env, **options.env})
        return await self.container.pool.exec(argv, options)

    async def retire(self) -> None:
        """Use no shell again that was there until now."""
        await self.container.pool.retire()

    async def put(self, source: Path | bytes, target: str) -> None:
        """Copy into the box; see `Box.put`.

        A little is spelled out to a shell; an archive lands at `/`, its entry named as the target.
        """
        path = self._absolute(target)
        if same_user("root", self.plan.user) and (text := spelled(source, path)) is not None:
            with suppress(SandboxError):
                if await self.container.pool.script(text) == DONE:
                    return
        request = self.plan.engine.stream(
            "PUT",
            self._archive,
            params={"path": "/"},
            archive=threaded(pack(source, path.lstrip("/"))),
        )
        try:
            async with request:
                pass
        except EngineError as error:
            raise await self._why(error) from error

    async def get(self, source: str, target: Path, caps: TransferCaps = _CAPS) -> TransferReport:
        """Copy out of the box; see `Box.get`. A little is printed by a command (see `fetching`)."""
        path = self._absolute(source)
        root = posixpath.basename(path)
        if same_user("root", self.plan.user) and (archive := await self._fetched(path)):
            return await unpack([archive], target, caps, root=root)
        request = self.plan.engine.stream("GET", self._archive, params={"path": path})
        try:
            async with request as response:
                return await unpack(response.chunks(), target, caps, root=root)
        except EngineError as error:
            if error.status == 404 and await self.alive():
                raise FileNotFoundError(f"{source} is not in the box") from error
            raise await self._why(error) from error

    @asynccontextmanager
    async def fork(self) -> AsyncIterator["DockerBox"]:
        """Open an equal box by commit: slow for much data; the parent is paused meanwhile."""
        if self.network.own:
            raise SandboxError("a box with sidecars cannot be forked", retry=False)
        try:
            snapshot = await self.container.commit(f"{MARK}.kind=fork")
        except EngineError as error:
            raise await self._why(error) from error
        facts = replace(self.plan.image, id=snapshot.image)
        plan = replace(self.plan, image=facts, box_id=new_id().lower(), snapshot=snapshot)
        spec = replace(plan.spec, network=self.network.policy)
        network = BoxNetwork(plan.engine, spec, ways=plan.ways)
        async with running(plan, network, self._nest) as fork:
            yield fork

    async def adopt(self, fork: Box) -> None:
        """Go on as a fork, whose handle gets the old machine, ended."""
        if not isinstance(fork, DockerBox):
            raise TypeError("only a fork of this backend can be adopted")
        old = (self.plan, self.container, self.network)
        self.plan, self.container, self.network = fork.plan, fork.container, fork.network
        fork.plan, fork.container, fork.network = old
        await fork.network.close()
        await fork.container.stop()

    async def alive(self) -> bool:
        """Whether a command could run now."""
        return await self.container.alive()

    async def use_network(self, policy: NetworkPolicy) -> None:
        """Enforce another network policy from now on. Raises LimitRefused."""
        await self.network.use(self.container.name, policy, self._nest)

    @property
    def _archive(self) -> str:
        return f"/containers/{self.container.name}/archive"

    def _absolute(self, path: str) -> str:
        return posixpath.normpath(posixpath.join(self.plan.workdir, path))

    async def _fetched(self, path: str) -> bytes | None:
        with suppress(SandboxError):
            printed = await self.container.pool.exec(fetching.packing(path), fetching.OPTIONS)
            return fetching.archive(printed)
        return None

    async def _why(self, error: EngineError) -> SandboxError:
        if await self.alive():
            return error
        return BoxDied(f"box {self.plan.box_id} is gone: {error.said}")


@asynccontextmanager
async def running(plan: Plan, network: BoxNetwork, nest: TaskGroup) -> AsyncIterator[DockerBox]:
    """Start a container, give its box, end whatever container the box has then."""
    container = plan.container(network)
    await nest.start(container.serve)
    box = DockerBox(plan, container, network, nest)
    try:
        if offline(plan.spec):
            await container.pool.processes.script(HOSTS)
        await network.start(container.name, nest)
        yield box
    finally:
        await box.network.close()
        await box.container.stop()
