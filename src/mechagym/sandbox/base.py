"""The seam of all backends: a `Sandbox` opens boxes, a `Box` is one isolated machine.

Everything above speaks to these two protocols and to nothing else of a backend. A command's exit
code is data; a box that is gone raises `BoxDied`; what a backend cannot enforce is refused by
`admit`, never dropped.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from anyio.abc import ByteStream

from mechagym.events import EgressConnected
from mechagym.records import BoxInfo

Isolation = Literal["vm", "container", "namespace", "none"]
NetworkMode = Literal["public", "no-network", "allowlist"]
Stream = Literal["stdout", "stderr"]

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkPolicy:
    """What a box may reach. `allowed_hosts` (allowlist): names, `*.suffix`, addresses, CIDRs."""

    mode: NetworkMode = "public"
    allowed_hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryImage:
    """An image by its reference; pulled where the engine does not have it."""

    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildImage:
    """A Dockerfile in its context; `digest` is of the folder's content: built once per digest."""

    context: Path
    digest: str
    dockerfile: str = "Dockerfile"
    timeout_s: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRoot:
    """The host's files, read-only, a Dockerfile's lines replayed on top (fidelity: approximate)."""

    context: Path | None = None
    digest: str = ""
    dockerfile: str = "Dockerfile"
    timeout_s: float = 600.0


Image = RegistryImage | BuildImage | HostRoot


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A read-only folder or file of the host. Never over the image's workdir.

    `private`: a file that only its owner may read: the box's root may too, and nobody else.
    """

    source: Path
    target: str
    private: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthcheck:
    """A command that must succeed before the box counts as open; times in seconds.

    Failures within `start_period_s` do not count, and are `start_interval_s` apart.
    """

    command: str
    interval_s: float = 5.0
    timeout_s: float = 30.0
    start_period_s: float = 0.0
    start_interval_s: float = 5.0
    retries: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """Who owns what we start; on every container, network, mount, folder and cgroup of ours."""

    job_id: str = ""
    trial_id: str = ""
    expires_s: float = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Hard limits; None means none is asked for. `storage_mb` bounds what the box may write."""

    cpus: float | None = None
    memory_mb: int | None = None
    storage_mb: int | None = None
    pids: int = 4096
    gpus: int = 0


Door = Callable[[ByteStream], Awaitable[None]]
"""Serves one connection that a program in the box made to `BoxInfo.door`; runs in our process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxSpec:
    """All that a box is opened with. `workdir` and `user` None: those of the image.

    `env` never holds a key of the host: it is visible to everything in the box. `door` answers at
    one address inside the box, whatever the network policy; `on_egress` hears of every connection
    that an allowlist let out or refused. `stays_offline`: the policy will at no time be `public`,
    so that a backend may leave out what that would need.
    """

    image: Image
    workdir: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    user: str | None = None
    limits: Limits = Limits()
    network: NetworkPolicy = NetworkPolicy()
    stays_offline: bool = False
    mounts: tuple[Mount, ...] = ()
    healthcheck: Healthcheck | None = None
    labels: Labels = Labels()
    compose: Path | None = None
    os: str = "linux"
    door: Door | None = None
    on_egress: Callable[[EgressConnected], None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a backend can do here. `agent_stop`: how exactly it tells services from the agent."""

    limits: frozenset[str]
    networks: frozenset[NetworkMode]
    images: frozenset[Literal["registry", "build", "host"]]
    fork: bool = True
    fast_fork: bool = False
    streaming: bool = True
    gpus: int = 0
    rootless: bool = False
    compose: bool = False
    door: bool = False
    agent_stop: Literal["tree", "all"] = "tree"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Whether a backend can be used now; `remedy` is one command or sentence to act on."""

    usable: bool
    backend: str
    isolation: Isolation = "none"
    evidence: tuple[str, ...] = ()
    reason: str | None = None
    remedy: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """Something of ours that a reaper took away (or, in a dry run, would).

    `size_bytes`: the room that it gave back, where that is known (images).
    """

    what: Literal["container", "network", "image", "volume", "mount", "cgroup", "folder", "process"]
    name: str
    owner: str = ""
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReapScope:
    """What a sweep may remove: ours only, and of those the dead, the expired, or one job's.

    `images`: also images and root file systems that we built or pulled and nobody uses now.
    `older_than_s` bounds their last use; with `keep_bytes` only as many go, least recently used
    first, as it takes for the others to fit.
    """

    job_id: str | None = None
    dry_run: bool = False
    images: bool = False
    older_than_s: float | None = None
    keep_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecOptions:
    """How a command runs. None for `cwd` and `user`: those of the box. Output is capped per stream:
    the head and the tail are kept. `on_output` sees every byte, in order, before the cap.

    `background` returns at once with `pid`; the command then lives until the box closes or it is
    killed. `fallback` asks for the backend's own exec instead of the box's helper (the suite runs
    both).
    """

    cwd: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    user: str | None = None
    timeout_s: float | None = None
    stdin: bytes | None = None
    limit_bytes: int = MIB
    on_output: Callable[[Stream, bytes], None] | None = None
    background: bool = False
    fallback: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecResult:
    """How a command ended. `exit_code` is None where it was timed out or runs in the background.

    `stdout` and `stderr` are at most `limit_bytes` each with the cut stated inside; the totals are
    exact.
    """

    exit_code: int | None
    stdout: bytes = b""
    stderr: bytes = b""
    stdout_total: int = 0
    stderr_total: int = 0
    signal: int | None = None
    timed_out: bool = False
    duration_s: float = 0.0
    pid: int | None = None

    @property
    def ok(self) -> bool:
        """Exit code 0."""
        return self.exit_code == 0

    @property
    def text(self) -> str:
        """Standard output as text; what is not UTF-8 is kept by surrogates, so nothing is lost."""
        return self.stdout.decode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferCaps:
    """What may come out of a box at most."""

    max_files: int = 100_000
    max_bytes: int = 2_000 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferReport:
    """What was copied. `refused` names each entry that was left out, with the reason."""

    files: int = 0
    size_bytes: int = 0
    refused: tuple[str, ...] = ()


class Box(Protocol):
    """One isolated machine. All methods raise BoxDied once it is gone."""

    @property
    def info(self) -> BoxInfo:
        """What it is, and what it enforces."""
        ...

    async def exec(self, argv: Sequence[str], options: ExecOptions = ...) -> ExecResult:
        """Run a command (no shell is put around it).

        A timeout or a cancel kills every process the command started, within 2 s, also those that
        changed session; partial output is returned. Without either, what it left in the background
        lives on.
        """
        ...

    async def put(self, source: Path | bytes, target: str) -> None:
        """Copy a file or folder (its content becomes `target`), or bytes as a file, into the box.

        Modes, links and empty folders are kept, owner is root, parents are made, and what stands
        there is overwritten, never followed when it is a link.
        """
        ...

    async def get(self, source: str, target: Path, caps: TransferCaps = ...) -> TransferReport:
        """Copy a file or folder out; nothing is ever written outside `target` (see `transfer`).

        Raises FileNotFoundError where `source` is absent; TransferRefused over the caps.
        """
        ...

    def fork(self) -> "AbstractAsyncContextManager[Box]":
        """An equal, independent box at this moment: files, env and cwd, but no processes."""
        ...

    async def adopt(self, fork: "Box") -> None:
        """Make a fork of this box its new self: this handle goes on as it, the old machine ends."""
        ...

    async def alive(self) -> bool:
        """Whether a command could run now."""
        ...


@runtime_checkable
class SwitchesNetwork(Protocol):
    """A box whose network policy can change between phases (agent, verifier)."""

    async def use_network(self, policy: NetworkPolicy) -> None:
        """Enforce another policy from now on. Raises LimitRefused."""
        ...


class Sandbox(Protocol):
    """A backend that can open boxes."""

    name: str

    @property
    def capabilities(self) -> Capabilities:
        """What it can do here; valid after `probe`."""
        ...

    async def probe(self) -> Probe:
        """Try for real whether it is usable: cheap enough for every start (< 0.3 s)."""
        ...

    async def prepare(self, image: Image, on_line: Callable[[str], None]) -> str:
        """Have the image at hand and return its digest; once per digest, also across processes.

        Raises ImageError with the last 40 lines, NoSpace.
        """
        ...

    def open(self, spec: BoxSpec) -> AbstractAsyncContextManager[Box]:
        """Open a box; whatever happened half-way is undone, close is shielded and bounded (10 s).

        Raises LimitRefused before anything starts, ImageError, NoSpace, SandboxError.
        """
        ...

    async def reap(self, scope: ReapScope) -> list[Removed]:
        """Remove what dead owners left: ours only."""
        ...


def admit(spec: BoxSpec, capabilities: Capabilities) -> list[str]:
    """Say, a sentence each, what the spec needs and the backend lacks; empty: it can be opened."""
    lacks: list[str] = []
    kind = {RegistryImage: "registry", BuildImage: "build", HostRoot: "host"}[type(spec.image)]
    if kind not in capabilities.images:
        lacks.append(f"it cannot run from a {kind} image")
    if spec.network.mode not in capabilities.networks:
        lacks.append(f"it cannot enforce the network policy {spec.network.mode}")
    if spec.limits.gpus > capabilities.gpus:
        lacks.append(f"it has {capabilities.gpus} GPUs, {spec.limits.gpus} are needed")
    if spec.compose is not None and not capabilities.compose:
        lacks.append("it cannot start the sidecars of a compose file")
    if spec.door is not None and not capabilities.door:
        lacks.append("it cannot open a way to the gateway into a box")
    if spec.os != "linux":
        lacks.append(f"it cannot run {spec.os}")
    return lacks


def unenforced(limits: Limits, capabilities: Capabilities) -> list[str]:
    """Name the limits that are asked for and that this backend can only declare, not enforce.

    They are printed and recorded with the trial (`limits_enforced`); `--require-limits` refuses
    them.
    """
    names = ("cpus", "memory_mb", "storage_mb", "pids")
    return [n for n in names if getattr(limits, n) is not None and n not in capabilities.limits]
