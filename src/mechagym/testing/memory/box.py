"""The memory backend: boxes that cost microseconds, for tests of everything above the seam."""

import io
import tarfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from mechagym.errors import BoxDied, ImageError, LimitRefused, SandboxError
from mechagym.records import BoxInfo, new_id
from mechagym.sandbox.base import (
    Box,
    BoxSpec,
    BuildImage,
    Capabilities,
    ExecOptions,
    ExecResult,
    HostRoot,
    Image,
    NetworkPolicy,
    Probe,
    ReapScope,
    Removed,
    TransferCaps,
    TransferReport,
    admit,
)
from mechagym.sandbox.transfer import unpack
from mechagym.testing.memory.images import (
    Root,
    bare_root,
    copy_in,
    digest_of,
    instructions,
    put_bytes,
    variables_of,
    words_of,
)
from mechagym.testing.memory.listing import add_to
from mechagym.testing.memory.machine import Machine

_PLAIN, _CAPS = ExecOptions(), TransferCaps()


class MemoryBox:
    """One mini machine. There is no network in it, so every policy holds."""

    def __init__(self, info: BoxInfo, machine: Machine) -> None:
        self._info = info
        self._machine: Machine | None = machine

    @property
    def info(self) -> BoxInfo:
        """What it is."""
        return self._info

    async def exec(self, argv: Sequence[str], options: ExecOptions = _PLAIN) -> ExecResult:
        """Run a command in the mini machine."""
        if not argv or any("\0" in word for word in argv):
            raise ValueError("a command needs a word, and no word can hold a NUL byte")
        return await self._alive().exec(argv, options)

    async def put(self, source: Path | bytes, target: str) -> None:
        """Copy in."""
        tree, path = self._alive().tree, self._absolute(target)
        if isinstance(source, bytes):
            put_bytes(tree, source, path)
        else:
            copy_in(tree, source.resolve(strict=True), path)

    async def get(self, source: str, target: Path, caps: TransferCaps = _CAPS) -> TransferReport:
        """Copy out."""
        node = self._alive().tree.find(self._absolute(source), follow=False)
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            add_to(archive, "root", node)
        return await unpack([buffer.getvalue()], target, caps, root="root")

    @asynccontextmanager
    async def fork(self) -> AsyncIterator[Box]:
        """A copy of the files in a machine of its own."""
        machine = self._alive()
        async with _tasks() as tasks:
            twin = Machine(
                tree=machine.tree.copy(),
                tasks=tasks,
                workdir=machine.workdir,
                env=dict(machine.env),
                user=machine.user,
                pids=machine.pids,
            )
            fork = MemoryBox(_named(self._info), twin)
            try:
                yield fork
            finally:
                fork.die()

    async def adopt(self, fork: Box) -> None:
        """Go on as the fork; the old machine's processes end, the fork's handle is of no use."""
        if not isinstance(fork, MemoryBox):
            raise SandboxError("only a fork of this box can be adopted", retry=False)
        old, new = self._alive(), fork._alive()
        _end(old)
        new.tasks = old.tasks
        fork._machine = None
        self._machine = new

    async def alive(self) -> bool:
        """Whether it was not closed or killed."""
        return self._machine is not None

    async def use_network(self, policy: NetworkPolicy) -> None:
        """Nothing to change: there is no network."""

    def die(self) -> None:
        """End the machine, as a crash would."""
        if self._machine is not None:
            _end(self._machine)
            self._machine = None

    def _alive(self) -> Machine:
        if self._machine is None:
            raise BoxDied(f"box {self._info.box_id} is gone")
        return self._machine

    def _absolute(self, path: str) -> str:
        return path if path.startswith("/") else f"{self._info.workdir}/{path}"


class MemorySandbox:
    """Opens mini machines. Builds run once per digest and are kept."""

    name = "memory"

    def __init__(self) -> None:
        self._built: dict[str, Root] = {}

    @property
    def capabilities(self) -> Capabilities:
        """Everything but resource limits other than processes."""
        return Capabilities(
            limits=frozenset({"pids"}),
            networks=frozenset({"public", "no-network", "allowlist"}),
            images=frozenset({"registry", "build", "host"}),
            fast_fork=True,
            rootless=True,
            agent_stop="all",
        )

    async def probe(self) -> Probe:
        """Always usable; no isolation is claimed, though nothing of the host can be reached."""
        return Probe(usable=True, backend=self.name, evidence=("commands run in memory only",))

    async def prepare(self, image: Image, on_line: Callable[[str], None]) -> str:
        """Read the Dockerfile, run what it says. Raises ImageError."""
        digest = digest_of(image)
        if digest not in self._built:
            self._built[digest] = await _build(image, on_line)
        return digest

    @asynccontextmanager
    async def open(self, spec: BoxSpec) -> AsyncIterator[Box]:
        """Open a machine."""
        if lacks := admit(spec, self.capabilities):
            raise LimitRefused(f"memory: {'; '.join(lacks)}")
        digest = await self.prepare(spec.image, _quiet)
        root = self._built[digest]
        async with _tasks() as tasks:
            machine = _machine(root, spec, tasks)
            box = MemoryBox(_info(spec, digest, machine), machine)
            try:
                await _healthy(box, spec)
                yield box
            finally:
                box.die()

    async def reap(self, scope: ReapScope) -> list[Removed]:  # noqa: ARG002
        """Nothing outlives the process."""
        return []


@asynccontextmanager
async def _tasks() -> AsyncIterator[TaskGroup]:
    """A task group out of which an error of the body comes as it is."""
    try:
        async with anyio.create_task_group() as tasks:
            yield tasks
    except BaseExceptionGroup as group:
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise


def _quiet(line: str) -> None:
    """Nobody listens to a build that is already done."""


def _machine(root: Root, spec: BoxSpec, tasks: TaskGroup) -> Machine:
    machine = Machine(
        tree=root.tree.copy(),
        tasks=tasks,
        workdir=spec.workdir or root.workdir,
        env={**root.env, **spec.env},
        user=spec.user or root.user,
        pids=spec.limits.pids,
    )
    machine.tree.make_folders(machine.workdir)
    for mount in spec.mounts:
        copy_in(machine.tree, mount.source.resolve(strict=True), mount.target)
    return machine


def _info(spec: BoxSpec, digest: str, machine: Machine) -> BoxInfo:
    limits = spec.limits
    asked = {
        name: float(value)
        for name in ("cpus", "memory_mb", "storage_mb", "pids")
        if (value := getattr(limits, name)) is not None
    }
    return BoxInfo(
        backend="memory",
        box_id=new_id(),
        image=digest.removeprefix("memory:"),
        image_digest=digest,
        hostname="memory",
        workdir=machine.workdir,
        user=machine.user,
        network=spec.network.mode,
        isolation="none",
        limits_asked=asked,
        limits_enforced={"pids": float(limits.pids)},
    )


def _named(info: BoxInfo) -> BoxInfo:
    return replace(info, box_id=new_id())


def _end(machine: Machine) -> None:
    for process in list(machine.processes().values()):
        process.kill(9)


async def _healthy(box: MemoryBox, spec: BoxSpec) -> None:
    check = spec.healthcheck
    if check is None:
        return
    await anyio.sleep(check.start_period_s)
    for attempt in range(check.retries):
        if attempt:
            await anyio.sleep(check.interval_s)
        options = ExecOptions(timeout_s=check.timeout_s)
        if (await box.exec(["sh", "-c", check.command], options)).ok:
            return
    raise SandboxError(f"the box is not healthy: {check.command}", reason="unhealthy")


async def _build(image: Image, on_line: Callable[[str], None]) -> Root:
    root = bare_root()
    context = image.context if isinstance(image, BuildImage | HostRoot) else None
    try:
        for word, rest in instructions(image):
            on_line(f"{word} {rest}")
            match word:
                case "WORKDIR":
                    root.workdir = rest if rest.startswith("/") else f"{root.workdir}/{rest}"
                    root.tree.make_folders(root.workdir)
                case "ENV":
                    root.env |= variables_of(rest)
                case "USER":
                    root.user = rest
                case "COPY" | "ADD" if context is not None:
                    _copied(root, context, words_of(rest))
                case "RUN":
                    await _ran(root, rest, on_line)
    except OSError as error:
        raise ImageError(f"{error.filename}: {error.strerror}") from error
    return root


def _copied(root: Root, context: Path, words: list[str]) -> None:
    *sources, target = words
    base = target if target.startswith("/") else f"{root.workdir}/{target}"
    for source in sources:
        path = (context / source.lstrip("/")).resolve(strict=True)
        into = path.is_file() and (target.endswith("/") or root.tree.get(base) is not None)
        copy_in(root.tree, path, f"{base.rstrip('/')}/{path.name}" if into else base)


async def _ran(root: Root, command: str, on_line: Callable[[str], None]) -> None:
    async with _tasks() as tasks:
        machine = Machine(
            tree=root.tree, tasks=tasks, workdir=root.workdir, env=root.env, user=root.user, pids=64
        )
        argv = words_of(command) if command.startswith("[") else ["sh", "-c", command]
        result = await machine.exec(argv, ExecOptions())
        _end(machine)
    lines = (result.stdout + result.stderr).decode("utf-8", "replace").splitlines()[-40:]
    for line in lines:
        on_line(line)
    if not result.ok:
        said = "\n".join(lines)
        raise ImageError(f"RUN {command} ended with {result.exit_code}\n{said}")
