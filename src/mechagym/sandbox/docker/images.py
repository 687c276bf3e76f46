"""Images: found, pulled, or built once per digest, also when several processes want the same one.

A built image is tagged with the digest of its context and labelled ours.
"""

import contextlib
import hashlib
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from mechagym.errors import ImageError, LimitRefused, SandboxError
from mechagym.sandbox import locks
from mechagym.sandbox.base import BuildImage, HostRoot, Image, RegistryImage
from mechagym.sandbox.docker.context import packed
from mechagym.sandbox.docker.engine import Engine, EngineError, name_in_path, no_space
from mechagym.sandbox.docker.shelf import Shelf
from mechagym.sandbox.eviction import IMAGE_CACHE_BYTES
from mechagym.sandbox.owner import MARK

BUILT = "mechagym-task"
TAIL_LINES = 40
PULL_TRIES = 3
MAKE_TRIES = 3
_FINAL = ("not found", "denied", "unauthorized", "invalid reference", "manifest unknown", "no such")

OnLine = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What an image says of itself. `digest`: that of its registry, else its id."""

    reference: str
    id: str
    digest: str
    workdir: str = "/"
    user: str = "root"
    env: dict[str, str] = field(default_factory=dict)


def reference_of(image: Image) -> str:
    """What the engine calls an image. Raises LimitRefused for the host's own root."""
    match image:
        case RegistryImage():
            return image.reference
        case BuildImage():
            return f"{BUILT}:{image.digest.removeprefix('sha256:')[:40]}"
        case HostRoot():
            raise LimitRefused("docker: a box cannot stand on the host's own root")


class Images:
    """The images of one engine. `cache` holds locks and what is known of our own images.

    With each that is made the others have to fit into `keep_bytes`.
    """

    def __init__(self, engine: Engine, cache: Path, keep_bytes: int = IMAGE_CACHE_BYTES) -> None:
        self._engine = engine
        self._locks = cache / "locks"
        self._keep_bytes = keep_bytes
        self.shelf = Shelf(engine, cache / "used" / hash_of(engine.host)[:8])

    async def ensure(self, image: Image, on_line: OnLine) -> Facts:
        """Have an image at hand. Raises ImageError, NoSpace."""
        async with self.using(image, on_line) as facts:
            return facts

    @contextlib.asynccontextmanager
    async def using(self, image: Image, on_line: OnLine) -> AsyncIterator[Facts]:
        """Have an image at hand for as long as this lasts. Raises ImageError, NoSpace."""
        reference = reference_of(image)
        is_new = False
        for _ in range(MAKE_TRIES):  # it may be evicted before it can be used
            async with self.shelf.using(reference):
                facts = await self.find(reference)
                if facts is not None:
                    if is_new:
                        await self.shelf.trim(self._keep_bytes)
                    yield facts
                    return
            is_new = await self._made(image, reference, on_line)
        raise ImageError(
            f"image {reference} was evicted as soon as it was made, again and again",
            remedy="give the images more room: the setting image_cache_gb",
        )

    async def find(self, reference: str) -> Facts | None:
        """What the engine knows of an image; None where it has none of that name."""
        try:
            found = await self._engine.call("GET", f"/images/{name_in_path(reference)}/json")
        except EngineError as error:
            if error.status == 404:
                return None
            raise
        config = found.get("Config") or {}
        digests = found.get("RepoDigests") or ()
        return Facts(
            reference=reference,
            id=found["Id"],
            digest=digests[0].partition("@")[2] if digests else found["Id"],
            workdir=config.get("WorkingDir") or "/",
            user=config.get("User") or "root",
            env=dict(pair.split("=", 1) for pair in config.get("Env") or () if "=" in pair),
        )

    async def _made(self, image: Image, reference: str, on_line: OnLine) -> bool:
        """Make it unless somebody else just did; whether it was us."""
        self._locks.mkdir(parents=True, exist_ok=True)
        async with locks.alone(self._locks / hash_of(f"{self._engine.host} {reference}")):
            if await self.find(reference) is not None:
                return False
            await self._make(image, reference, on_line)
            if (facts := await self.find(reference)) is not None:
                self.shelf.keep(reference, facts.id)
            return True

    async def _make(self, image: Image, reference: str, on_line: OnLine) -> None:
        if isinstance(image, BuildImage):
            try:
                with anyio.fail_after(image.timeout_s):
                    await self._build(image, reference, on_line)
            except TimeoutError:
                raise ImageError(
                    f"building {image.context} took longer than {image.timeout_s:g} s",
                    reason="build_timeout",
                ) from None
        else:
            await self._pull(reference, on_line)

    async def _build(self, image: BuildImage, reference: str, on_line: OnLine) -> None:
        if not (image.context / image.dockerfile).is_file():
            raise ImageError(f"{image.context / image.dockerfile}: there is no such file")
        params = {
            "t": reference,
            "dockerfile": image.dockerfile,
            "labels": {MARK: "1", f"{MARK}.kind": "image", f"{MARK}.digest": image.digest},
            "rm": "1",
            "forcerm": "1",
            "version": "1",
        }
        request = self._engine.stream(
            "POST",
            "/build",
            params=params,
            archive=packed(image.context, image.dockerfile),
        )
        tail: deque[str] = deque(maxlen=TAIL_LINES)
        try:
            async with request as response:
                await _follow(response.lines(), tail, on_line)
        except EngineError as error:
            said = "\n".join([*tail, error.said])
            raise no_space(said) or ImageError(
                f"building {image.context / image.dockerfile} failed:\n{said}",
                reason="build_failed",
            ) from error

    async def _pull(self, reference: str, on_line: OnLine) -> None:
        name, tag = _split(reference)
        params = {"fromImage": name} | ({"tag": tag} if tag else {})
        for left in reversed(range(PULL_TRIES)):
            tail: deque[str] = deque(maxlen=TAIL_LINES)
            try:
                async with self._engine.stream("POST", "/images/create", params=params) as response:
                    await _follow(response.lines(), tail, on_line)
                    return
            except EngineError as error:
                final = any(word in error.said.lower() for word in _FINAL)
                if final or not left:
                    raise no_space(error.said) or ImageError(
                        f"image {reference} cannot be pulled: {error.said}",
                        remedy="check its name and `docker login`, or build it from its Dockerfile",
                        reason="image_absent" if final else "pull_failed",
                        retry=not final,
                    ) from error
                on_line(f"pulling {reference} again: {error.said}")
                await anyio.sleep(2.0 ** (PULL_TRIES - left))


async def _follow(lines: AsyncIterator[bytes], tail: deque[str], on_line: OnLine) -> None:
    """Pass the engine's progress on. Raises EngineError with what it says went wrong."""
    try:
        async for line in lines:
            if not line.strip():
                continue
            said: dict[str, Any] = json.loads(line)
            if "error" in said:
                raise EngineError(str(said["error"]), 500)
            text = str(said.get("stream") or _status(said)).rstrip()
            for part in text.splitlines():
                tail.append(part)
                on_line(part)
    except ValueError as error:
        raise SandboxError("the Docker engine broke off in the middle of an answer") from error


def _status(said: dict[str, Any]) -> str:
    if said.get("progressDetail") or "status" not in said:
        return ""  # bars that move: thousands of lines
    return f"{said['id']}: {said['status']}" if said.get("id") else str(said["status"])


def hash_of(text: str) -> str:
    """A short file name for any text."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _split(reference: str) -> tuple[str, str]:
    """Into name and tag; a reference by digest stays whole."""
    if "@" in reference:
        return reference, ""
    name, colon, tag = reference.rpartition(":")
    return (name, tag) if colon and "/" not in tag else (reference, "latest")
