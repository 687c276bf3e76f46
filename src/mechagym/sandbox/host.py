"""The backend `host`: plain processes in a temporary folder, with no isolation at all.

For machines where nothing else works, and only when asked for by name. An absolute path of `put`,
`get`, `cwd` and of WORKDIR and COPY lines means a place in the folder (its root is
`MECHAGYM_ROOT`); inside commands it means the host's own, which is why trials here are approximate.
"""

import json
import os
import posixpath
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path

import anyio
import anyio.to_thread

from mechagym.errors import ImageError, LimitRefused, SandboxError
from mechagym.records import BoxInfo
from mechagym.sandbox.base import (
    Box,
    BoxSpec,
    Capabilities,
    ExecOptions,
    ExecResult,
    HostRoot,
    Image,
    Probe,
    ReapScope,
    Removed,
    TransferCaps,
    TransferReport,
    admit,
)
from mechagym.sandbox.health import wait_healthy
from mechagym.sandbox.lanes import LanePool, Machine
from mechagym.sandbox.local import dockerfile
from mechagym.sandbox.local.pipes import Pipes
from mechagym.sandbox.owner import describe, owner_labels, reapable
from mechagym.sandbox.transfer import pack, unpack

ROOT = "MECHAGYM_ROOT"
PREFIX = "mechagym-host-"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PLAIN = ExecOptions()
_CAPS = TransferCaps()
_ME = frozenset({None, "root", "0"})


class HostBox:
    """A folder and the processes started in it; `root` stands for `/`."""

    def __init__(self, root: Path, spec: BoxSpec) -> None:
        self.root = root
        self.spec = spec
        self.env = {"PATH": PATH, "HOME": str(root), ROOT: str(root), **spec.env}
        self.workdir = spec.workdir or "/"
        self.started: list[subprocess.Popen[bytes]] = []
        self.pool = LanePool(
            Machine(
                spawn=self._spawn,
                alive=self.alive,
                subreaper=shutil.which("tini"),
                own_namespace=False,
            )
        )

    @property
    def info(self) -> BoxInfo:
        """What it is: nothing is enforced."""
        asked = {n: float(v) for n, v in asdict(self.spec.limits).items() if v is not None}
        return BoxInfo(
            backend="host",
            box_id=self.root.parent.name.removeprefix(PREFIX),
            image="host",
            hostname=os.uname().nodename,
            workdir=self.workdir,
            isolation="none",
            fidelity="approximate",
            limits_asked=asked,
            notes=("no isolation: its commands can do what this user can",),
        )

    async def exec(self, argv: Sequence[str], options: ExecOptions = _PLAIN) -> ExecResult:
        """Run a command as this user, in the folder."""
        if options.user not in _ME:
            raise SandboxError(f"the host backend cannot run as {options.user}", retry=False)
        cwd = self.place(options.cwd or self.workdir)
        return await self.pool.exec(argv, replace(options, cwd=str(cwd), user=None))

    async def put(self, source: Path | bytes, target: str) -> None:
        """Copy into the folder."""
        place = self.place(target)
        if place.is_symlink():
            place.unlink()
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(source, Path) and source.is_dir():
            copy = shutil.copytree
            await anyio.to_thread.run_sync(
                lambda: copy(source, place, symlinks=True, dirs_exist_ok=True)
            )
        elif isinstance(source, Path):
            await anyio.to_thread.run_sync(shutil.copy2, source, place)
        else:
            place.write_bytes(source)

    async def get(self, source: str, target: Path, caps: TransferCaps = _CAPS) -> TransferReport:
        """Copy out of the folder, with the checks that every box gets."""
        place = self.place(source)
        if not place.exists():
            raise FileNotFoundError(2, "no such file in the box", source)
        return await unpack(pack(place, "it"), target, caps, root="it")

    @asynccontextmanager
    async def fork(self) -> AsyncIterator["HostBox"]:
        """Open a copy of the folder."""
        async with _opened(self.spec, self.root) as fork:
            fork.env = {**self.env, **{name: fork.env[name] for name in ("HOME", ROOT)}}
            fork.workdir = self.workdir
            yield fork

    async def adopt(self, fork: Box) -> None:
        """Go on with a fork's files; this folder's own are gone."""
        if not isinstance(fork, HostBox):
            raise SandboxError("only a fork of this box can be adopted", retry=False)
        await anyio.to_thread.run_sync(shutil.rmtree, self.root)
        await anyio.to_thread.run_sync(_copy, fork.root, self.root)

    async def alive(self) -> bool:
        """While its folder stands."""
        return self.root.is_dir()

    def place(self, path: str) -> Path:
        """Where a path of the box is on the host. Raises SandboxError where a link leads out."""
        inside = posixpath.normpath(posixpath.join("/", self.workdir, path)).lstrip("/")
        place = self.root / inside
        if not place.parent.resolve().is_relative_to(self.root):
            raise SandboxError(f"{path} leads out of the box", retry=False)
        return place

    async def _spawn(self, argv: Sequence[str], user: str | None) -> Pipes:  # noqa: ARG002
        pipes = Pipes()
        stdin, stdout, stderr = pipes.theirs
        home = self.place(self.workdir)
        home.mkdir(parents=True, exist_ok=True)

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                list(argv),
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                cwd=home,
                env=self.env,
                start_new_session=True,
            )

        try:
            self.started.append(await anyio.to_thread.run_sync(start))
        except OSError as error:
            pipes.close()
            raise SandboxError(f"{argv[0]} does not start: {error.strerror}") from error
        finally:
            pipes.handed_over()
        return pipes

    async def end(self) -> None:
        """Kill what was started and remove the folder."""
        for process in self.started:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await anyio.to_thread.run_sync(process.wait)
        await anyio.to_thread.run_sync(_remove, self.root)


class HostSandbox:
    """Opens folders of this host, for jobs that ask for it and accept isolation `none`."""

    name = "host"

    @property
    def capabilities(self) -> Capabilities:
        """No limit is enforced, no network policy but the host's own."""
        return Capabilities(
            limits=frozenset(),
            networks=frozenset({"public"}),
            images=frozenset({"host"}),
            rootless=True,
            agent_stop="all",
        )

    async def probe(self) -> Probe:
        """Always usable, and never isolated."""
        return Probe(usable=True, backend=self.name, evidence=("plain processes of this user",))

    async def prepare(self, image: Image, on_line: Callable[[str], None]) -> str:  # noqa: ARG002
        """Nothing to prepare."""
        return image.digest if isinstance(image, HostRoot) else ""

    @asynccontextmanager
    async def open(self, spec: BoxSpec) -> AsyncIterator[HostBox]:
        """Open a folder with what a Dockerfile's COPY lines put there.

        Raises LimitRefused, ImageError for a line that needs a root of its own (RUN, USER).
        """
        lacks = admit(spec, self.capabilities)
        if lacks:
            raise LimitRefused(f"the host backend cannot open this box: {'; '.join(lacks)}")
        async with _opened(spec, None) as box:
            yield box

    async def reap(self, scope: ReapScope) -> list[Removed]:
        """Remove the folders of dead owners."""
        removed = []
        for root in sorted(Path(tempfile.gettempdir()).glob(f"{PREFIX}*")):
            note = _note(root)
            labels = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else {}
            if reapable(labels, scope):
                removed.append(Removed(what="folder", name=str(root), owner=describe(labels)))
                if not scope.dry_run:
                    await anyio.to_thread.run_sync(_remove, root)
        return removed


@asynccontextmanager
async def _opened(spec: BoxSpec, copied: Path | None) -> AsyncIterator[HostBox]:
    folder = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
    _note(folder).write_text(json.dumps(owner_labels(spec.labels)), encoding="utf-8")
    box = HostBox(folder / "root", spec)
    try:
        if copied is None:
            await anyio.to_thread.run_sync(_lay, box, spec.image)
        else:
            await anyio.to_thread.run_sync(_copy, copied, box.root)
        async with box.pool:
            if spec.healthcheck is not None:
                await wait_healthy(box, spec.healthcheck)
            yield box
    finally:
        with anyio.CancelScope(shield=True):
            await box.end()
            _remove(folder)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _note(folder: Path) -> Path:
    return folder / "owner.json"


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)


def _lay(box: HostBox, image: Image) -> None:
    """Do the lines of a Dockerfile that only place files."""
    box.root.mkdir(parents=True)
    if not isinstance(image, HostRoot) or image.context is None:
        return
    file = image.context / image.dockerfile
    recipe = dockerfile.parse(file.read_text(encoding="utf-8"), str(file))
    for line in recipe.lines:
        words = tuple(dockerfile.expand(word, box.env) for word in line.words)
        match line.name:
            case "WORKDIR":
                box.workdir = posixpath.join(box.workdir, words[0])
                box.place(box.workdir).mkdir(parents=True, exist_ok=True)
            case "ENV":
                box.env.update(dockerfile.pairs(words))
            case "COPY":
                _place(box, image.context, words)
            case _:
                raise ImageError(
                    f"{file}:{line.number}: {line.name} needs a root of its own",
                    remedy="use another backend than host",
                    reason="dockerfile_line",
                )


def _place(box: HostBox, context: Path, words: tuple[str, ...]) -> None:
    *sources, target = words
    found = [path for source in sources for path in sorted(context.glob(source.strip("/")))]
    for path in found:
        place = box.place(target)
        if path.is_dir():
            _copy(path, place)
            continue
        into_folder = target.endswith(("/", ".")) or len(found) > 1 or place.is_dir()
        place = place / path.name if into_folder else place
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, place)
