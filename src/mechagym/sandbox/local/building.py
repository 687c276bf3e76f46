"""An image by replaying a Dockerfile in a box of ours: what the box wrote becomes a layer.

The same on an image (FROM is then its base) and on the host's root (FROM is then replaced). Kept by
the digest of the base, the file and its context, so that nothing is built twice.
"""

import hashlib
import posixpath
import tarfile
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio

from mechagym.errors import ImageError, SandboxError
from mechagym.sandbox.base import BoxSpec, BuildImage, ExecOptions, HostRoot, NetworkPolicy
from mechagym.sandbox.local.box import LocalBox
from mechagym.sandbox.local.dockerfile import Line, Recipe, expand, pairs
from mechagym.sandbox.local.dockerignore import cleaned
from mechagym.sandbox.local.rootfs import Rootfs

TAIL = 40
_VERSION = "1"


def digest_of(base: Rootfs, image: BuildImage | HostRoot, recipe: Recipe) -> str:
    """The digest of what a build will give."""
    seen = hashlib.sha256()
    for part in (_VERSION, base.digest, image.digest, image.dockerfile, repr(recipe.lines)):
        seen.update(part.encode() + b"\0")
    return f"sha256:{seen.hexdigest()}"


def build_spec(image: BuildImage | HostRoot, *, has_network: bool) -> BoxSpec:
    """The box to build in: root's, with a way out where there is one."""
    mode = NetworkPolicy(mode="public" if has_network else "no-network")
    return BoxSpec(image=image, workdir="/", user="root", network=mode)


@dataclass(slots=True, eq=False)
class Replay:
    """A build under way: what the lines so far have set. `on_line` gets the output."""

    box: LocalBox
    image: BuildImage | HostRoot
    on_line: Callable[[str], None]
    rootfs: Rootfs
    arguments: dict[str, str] = field(default_factory=dict)
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL))

    async def run(self, recipe: Recipe) -> Rootfs:
        """Replay all lines; returns the base with env, workdir and user as they are then.

        Raises ImageError with the last 40 lines of output.
        """
        with anyio.move_on_after(self.image.timeout_s) as limit:
            for line in recipe.lines:
                await self._line(line)
        if limit.cancelled_caught:
            raise self._failed(f"the build took longer than {self.image.timeout_s:g} s")
        return self.rootfs

    async def _line(self, line: Line) -> None:
        known = {**self.arguments, **self.rootfs.env}
        words = line.words if line.name == "RUN" else tuple(expand(w, known) for w in line.words)
        self._say(f"{line.name} {' '.join(line.words)}")
        match line.name:
            case "WORKDIR":
                self.rootfs = replace(self.rootfs, workdir=self._path(words[0]))
                await self._do(("mkdir", "-p", self.rootfs.workdir))
            case "ENV":
                self.rootfs = replace(self.rootfs, env={**self.rootfs.env, **pairs(words)})
            case "ARG":
                self.arguments.update(pairs(words))
            case "USER":
                self.rootfs = replace(self.rootfs, user=words[0])
            case "RUN":
                await self._do(words, user=self.rootfs.user, env=known, cwd=self.rootfs.workdir)
            case _:
                await self._copy(line, words)

    async def _do(
        self,
        argv: tuple[str, ...],
        *,
        user: str = "root",
        env: dict[str, str] | None = None,
        cwd: str = "/",
    ) -> None:
        options = ExecOptions(cwd=cwd, env=env or {}, user=user)
        result = await self.box.exec(argv, options)
        for line in (result.stdout + result.stderr).decode("utf-8", "replace").splitlines():
            self._say(line)
        if result.exit_code != 0:
            raise self._failed(f"{' '.join(argv)} ended with exit code {result.exit_code}")

    async def _copy(self, line: Line, words: tuple[str, ...]) -> None:
        *sources, target = words
        found = [path for source in sources for path in self._sources(line, source)]
        into_folder = target.endswith("/") or target == "." or len(found) > 1
        place = self._path(target)
        for path in found:
            await self._place(line, path, place, into_folder=into_folder)

    async def _place(self, line: Line, path: Path, place: str, *, into_folder: bool) -> None:
        context = self._context
        if line.name == "ADD" and path.is_file() and tarfile.is_tarfile(path):
            held = f"/tmp/{path.name}"  # noqa: S108 – in the box
            await self.box.put(path, held)
            await self._do(("mkdir", "-p", place))
            await self._do(("tar", "-C", place, "-xf", held))
            await self._do(("rm", "-f", held))
            return
        if path.is_dir():
            with cleaned(path, context) as clean:
                await self.box.put(clean, place)
        else:
            if into_folder or (await self.box.exec(("test", "-d", place))).ok:
                place = posixpath.join(place, path.name)
            await self.box.put(path, place)
        for flag, program in (("chown", "chown"), ("chmod", "chmod")):
            if flag in line.flags:
                await self._do((program, "-R", line.flags[flag], place))

    def _sources(self, line: Line, source: str) -> list[Path]:
        context = self._context
        if "://" in source:
            raise ImageError(
                f"{self.image.dockerfile}:{line.number}: ADD of a URL cannot be replayed"
            )
        inside = posixpath.normpath("/" + source).lstrip("/")
        found = sorted(context.glob(inside)) if inside else [context]
        root = context.resolve()
        found = [path for path in found if path.resolve().is_relative_to(root)]
        if not found:
            raise ImageError(
                f"{self.image.dockerfile}:{line.number}: {source} is not in the context {context}"
            )
        return found

    @property
    def _context(self) -> Path:
        if self.image.context is None:
            raise ImageError(f"{self.image.dockerfile}: COPY without a context folder")
        return self.image.context

    def _path(self, path: str) -> str:
        return posixpath.normpath(posixpath.join(self.rootfs.workdir, path))

    def _say(self, line: str) -> None:
        self.tail.append(line)
        self.on_line(line)

    def _failed(self, what: str) -> ImageError:
        said = "\n".join(self.tail)
        return ImageError(f"the build of {self.image.context} failed: {what}\n{said}")


async def harvest(box: LocalBox, digest: str, made: Rootfs) -> Rootfs:
    """Turn what a box wrote into a layer; the box is ended by it."""
    instance = box.instance
    folder, keeper = instance.folder, instance.plant.keeper
    folder.users += 1
    layer = f"layers/{digest.removeprefix('sha256:')[:32]}"
    try:
        await instance.stop()
        await keeper.ask("move", source=folder.upper, target=layer)
    except SandboxError as error:
        raise ImageError(f"what was built cannot be kept: {error.message}") from error
    finally:
        await folder.leave()
    return replace(made, digest=digest, layers=(layer, *made.layers))
