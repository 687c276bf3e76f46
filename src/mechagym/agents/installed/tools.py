"""The programs of installed agents: fetched once per version into a cache, never into a box.

A version stands whole in `CACHE/<tool>/<version>/<platform>/` or not at all: it is unpacked beside
its place and renamed into it, under one lock across processes. Boxes get `CACHE/<tool>/<version>`
read-only, so that the build for another libc can still join it while they run.
"""

import fcntl
import platform
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import anyio.to_thread

from mechagym.errors import AgentSetupError

Libc = Literal["glibc", "musl"]

FETCH_S = 600.0
ASK_S = 60.0
LATEST = "latest"
_MACHINES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}
_VERSION = re.compile(r"\d+\.\d+\.\d+[\w.+-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A program that npm has a native build of.

    `build` is the npm package of one platform, `binary` the program in it; both with `{version}`,
    `{machine}` (x64, arm64), `{suffix}` (`-musl` or nothing) and `{triple}` (of Rust). `command`:
    its name on a host that has it. `any_libc`: one build for all.
    """

    name: str
    command: str
    package: str
    build: str
    binary: str
    any_libc: bool = False

    def spec(self, version: str, libc: Libc) -> str:
        """What npm is asked for."""
        return self.build.format(version=version, **_words(libc))

    def path(self, libc: Libc) -> str:
        """The program, below the folder of its version."""
        libc = "glibc" if self.any_libc else libc
        return f"{folder_name(libc)}/{self.binary.format(**_words(libc))}"


class Toolbox:
    """The cache of tools. Its methods may take minutes (a download) and say nothing meanwhile."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache

    def folder(self, tool: Tool, version: str) -> Path:
        """What is mounted: the builds of a version, those that are still to come too."""
        return self._cache / tool.name / version

    def holds(self, tool: Tool, version: str, libc: Libc = "glibc") -> bool:
        """Whether nothing has to be fetched."""
        return (self.folder(tool, version) / tool.path(libc)).exists()

    async def version(self, tool: Tool, wanted: str | None) -> str:
        """The version that a job runs: the one wanted; else the newest in the cache; else npm's
        latest; else the host's own. Raises AgentSetupError with what to do.
        """
        if wanted not in (None, LATEST):
            return wanted
        return await anyio.to_thread.run_sync(self._newest, tool, wanted == LATEST)

    async def have(self, tool: Tool, version: str, libc: Libc = "glibc") -> Path:
        """The folder of a version, with the build for this libc in it. Raises AgentSetupError."""
        return await anyio.to_thread.run_sync(self._have, tool, version, libc)

    def _newest(self, tool: Tool, ask: bool) -> str:
        kept = [] if ask else [f.name for f in (self._cache / tool.name).glob("[0-9]*")]
        if kept:
            return max(kept, key=_order)
        told = _npm("view", tool.package, "version")
        if told is not None and told.returncode == 0 and (found := _VERSION.search(told.stdout)):
            return found[0]
        if own := _hosts_version(tool):
            return own
        raise AgentSetupError(
            f"{tool.name}: no version of it is here, and npm gives none: {_why(told)}",
            remedy=f"install Node.js with npm, or {tool.command} itself on this host",
            reason="tool_missing",
        )

    def _have(self, tool: Tool, version: str, libc: Libc) -> Path:
        folder = self.folder(tool, version)
        if not self.holds(tool, version, libc):
            folder.mkdir(parents=True, exist_ok=True)
            with _locked(folder.parent / f"{version}.lock"):
                if not self.holds(tool, version, libc):
                    _fetch(tool, version, libc, folder)
        return folder


def _fetch(tool: Tool, version: str, libc: Libc, folder: Path) -> None:
    """Put one build into the folder of its version, whole or not at all."""
    build, _, program = tool.path(libc).partition("/")
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="fetching-") as scratch:
        package = Path(scratch, "package")
        told = _npm("pack", tool.spec(version, libc), "--pack-destination", scratch)
        if told is not None and told.returncode == 0:
            (archive,) = Path(scratch).glob("*.tgz")
            with tarfile.open(archive) as stream:
                stream.extractall(scratch, filter="data")
        elif libc == "glibc" and _hosts_version(tool) == version:
            (package / program).parent.mkdir(parents=True)
            shutil.copy2(_hosts_own(tool), package / program)
        else:
            raise AgentSetupError(
                f"{tool.name} {version} for {libc} cannot be had: {_why(told)}",
                remedy=f"see `npm view {tool.package} versions`, or use a version that is here",
                reason="tool_missing",
            )
        if not (package / program).is_file():
            raise AgentSetupError(
                f"{tool.name} {version}: its package holds no {program}: it is laid out in a way"
                " that is not known here",
                remedy=f"ask for another version: -a {tool.name}@VERSION",
                reason="tool_unknown",
            )
        (package / program).chmod(0o755)
        package.rename(folder / build)


def folder_name(libc: Libc) -> str:
    """The folder of a build, below that of its version."""
    return f"linux-{_machine()}{'-musl' if libc == 'musl' else ''}"


def _words(libc: Libc) -> dict[str, str]:
    machine = _machine()
    triple = {"x64": "x86_64", "arm64": "aarch64"}[machine] + "-unknown-linux-musl"
    return {"machine": machine, "suffix": "-musl" if libc == "musl" else "", "triple": triple}


def _machine() -> str:
    machine = platform.machine().lower()
    if machine not in _MACHINES:
        raise AgentSetupError(f"no agent program is built for {machine}", reason="tool_missing")
    return _MACHINES[machine]


def _npm(*argv: str) -> subprocess.CompletedProcess[str] | None:
    """What npm said; None where there is none."""
    npm = shutil.which("npm")
    if npm is None:
        return None
    try:
        return subprocess.run(
            [npm, *argv], capture_output=True, text=True, timeout=FETCH_S, check=False
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(argv, 1, "", f"nothing came within {FETCH_S:g} s")


def _why(told: subprocess.CompletedProcess[str] | None) -> str:
    if told is None:
        return "there is no npm on this host"
    said = [line.removeprefix("npm error ") for line in told.stderr.splitlines()]
    words = [line.strip() for line in said if line.strip() and not line.startswith("npm ")]
    return "; ".join(words[:2]) or f"npm ended with {told.returncode}"


def _hosts_version(tool: Tool) -> str | None:
    """The version of the host's own program, where it is one file that can be mounted."""
    own = _hosts_own(tool)
    if own.suffix in {"", ".exe"} and own.is_file():
        return _said_version(own)
    return None


def _hosts_own(tool: Tool) -> Path:
    return Path(shutil.which(tool.command) or "/nowhere").resolve()


def _said_version(own: Path) -> str | None:
    try:
        told = subprocess.run(
            [own, "--version"], capture_output=True, text=True, timeout=ASK_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = _VERSION.search(told.stdout)
    return found[0] if told.returncode == 0 and found else None


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
