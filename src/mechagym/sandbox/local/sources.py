"""Where images come from: a Docker engine's store, an OCI layout, a registry by skopeo.

Each source yields tar streams by digest; `rootfs` unpacks them. A layout is named
`oci:FOLDER[:TAG]`.
"""

import gzip
import hashlib
import json
import shutil
import subprocess
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx2

from mechagym.errors import ImageError
from mechagym.sandbox.base import Labels
from mechagym.sandbox.local.rootfs import Cache, Rootfs, short
from mechagym.sandbox.owner import owner_labels

CHUNK = 1024 * 1024
OCI = "oci:"
_INDEX = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A Docker engine that is only asked for its images."""

    socket: Path

    async def unpacked(self, reference: str, cache: Cache) -> Rootfs | None:
        """The image, exported as one layer; None where there is no engine, or it lacks it."""
        transport = httpx2.AsyncHTTPTransport(uds=str(self.socket))
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://engine", timeout=60
        ) as http:
            try:
                answer = await http.get(f"/images/{reference}/json")
            except httpx2.TransportError:
                return None
            if answer.status_code != 200:
                return None
            about = answer.json()
            return await _once(cache, about["Id"], lambda: self._export(http, about, cache))

    async def _export(
        self, http: httpx2.AsyncClient, about: dict[str, Any], cache: Cache
    ) -> Rootfs:
        body = {"Image": about["Id"], "Cmd": ["true"], "Labels": owner_labels(Labels())}
        made = await http.post("/containers/create", json=body)
        if made.status_code != 201:
            raise ImageError(f"the engine makes no container of {about['Id']}: {made.text.strip()}")
        container = made.json()["Id"]
        try:
            async with http.stream("GET", f"/containers/{container}/export") as stream:
                layer = await cache.add_layer(short(about["Id"]), stream.aiter_bytes(CHUNK))
        finally:
            with anyio.CancelScope(shield=True):
                await http.delete(f"/containers/{container}", params={"force": "1", "v": "1"})
        name = next(iter(about.get("RepoTags") or ()), about["Id"])
        return _rootfs(about["Id"], (layer,), about.get("Config") or {}, name=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """An image in a folder by the OCI image-layout specification. `tag` None: its only image."""

    name: str
    folder: Path
    tag: str | None = None

    @classmethod
    def named(cls, reference: str) -> "Layout":
        """Read `oci:FOLDER[:TAG]`."""
        folder, _, tag = reference.removeprefix(OCI).partition(":")
        return cls(name=reference, folder=Path(folder), tag=tag or None)

    async def unpacked(self, cache: Cache) -> Rootfs:
        """The image, a layer each. Raises ImageError where the layout lacks or fakes something."""
        manifest = await anyio.to_thread.run_sync(self._manifest)
        digest: str = manifest["config"]["digest"]
        return await _once(cache, digest, lambda: self._unpack(manifest, cache))

    async def _unpack(self, manifest: dict[str, Any], cache: Cache) -> Rootfs:
        about = json.loads(self._blob(manifest["config"]["digest"]))
        layers = []
        for described, plain in zip(manifest["layers"], about["rootfs"]["diff_ids"], strict=True):
            if not cache.has_layer(short(plain)):
                await cache.add_layer(short(plain), self._plain(described["digest"], plain))
            layers.append(f"layers/{short(plain)}")
        digest, config = manifest["config"]["digest"], about.get("config") or {}
        return _rootfs(digest, tuple(reversed(layers)), config, name=self.name)

    def _manifest(self) -> dict[str, Any]:
        try:
            entries = json.loads((self.folder / "index.json").read_bytes())["manifests"]
        except (OSError, ValueError, KeyError) as error:
            raise ImageError(f"{self.folder}: not an OCI image layout ({error})") from error
        name = "org.opencontainers.image.ref.name"
        found = [e for e in entries if self.tag in {None, (e.get("annotations") or {}).get(name)}]
        if len(found) != 1:
            raise ImageError(f"{self.folder}: {len(found)} images are named {self.tag or '(none)'}")
        manifest = json.loads(self._blob(found[0]["digest"]))
        while manifest.get("mediaType") in _INDEX or "manifests" in manifest:
            manifest = json.loads(self._blob(_of_this_machine(manifest["manifests"])["digest"]))
        return dict(manifest)

    def _path(self, digest: str) -> Path:
        kind, _, value = digest.partition(":")
        if kind != "sha256" or not value.isalnum():
            raise ImageError(f"{self.folder}: unusable digest {digest!r}")
        return self.folder / "blobs" / kind / value

    def _blob(self, digest: str) -> bytes:
        try:
            data = self._path(digest).read_bytes()
        except OSError as error:
            raise ImageError(f"{self.folder}: blob {digest} cannot be read: {error}") from error
        if hashlib.sha256(data).hexdigest() != digest.removeprefix("sha256:"):
            raise ImageError(f"{self.folder}: blob {digest} is damaged")
        return data

    async def _plain(self, digest: str, plain: str) -> AsyncIterator[bytes]:
        """The layer's tar, uncompressed; its digest is checked at the end, before it is kept."""
        seen = hashlib.sha256()
        with self._open(digest) as file:
            while chunk := await anyio.to_thread.run_sync(_read, file):
                seen.update(chunk)
                yield chunk
        if f"sha256:{seen.hexdigest()}" != plain:
            raise ImageError(f"{self.folder}: layer {digest} is damaged")

    def _open(self, digest: str) -> Any:
        path = self._path(digest)
        if not path.is_file():
            raise ImageError(f"{self.folder}: blob {digest} is missing")
        with path.open("rb") as file:
            start = file.read(4)
        if start == _ZSTD:
            raise ImageError(
                f"{self.folder}: layer {digest} is packed by zstd, which cannot be read"
            )
        return gzip.open(path) if start.startswith(_GZIP) else path.open("rb")


def _read(file: Any) -> bytes:
    try:
        data: bytes = file.read(CHUNK)
    except (OSError, EOFError, zlib.error) as error:
        raise ImageError(f"a layer is damaged: {error}") from error
    return data


async def pulled(reference: str, cache: Cache) -> Rootfs | None:
    """Fetch from a registry by skopeo; None where there is no skopeo."""
    skopeo = shutil.which("skopeo")
    if skopeo is None:
        return None
    folder = cache.folder / "pulls" / short(hashlib.sha256(reference.encode()).hexdigest())
    folder.parent.mkdir(exist_ok=True, mode=0o700)
    async with cache.making(folder.name):
        argv = [skopeo, "copy", "--quiet", f"docker://{reference}", f"oci:{folder}:it"]
        done = await anyio.run_process(argv, check=False, stdin=subprocess.DEVNULL)
        try:
            if done.returncode:
                said = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
                raise ImageError(f"{reference} cannot be pulled: {' '.join(said)}", retry=True)
            return await Layout(name=reference, folder=folder, tag="it").unpacked(cache)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


async def _once(cache: Cache, digest: str, make: Any) -> Rootfs:
    """What is there already, else what `make` makes, once per digest."""
    if (found := cache.find(digest)) is not None:
        return found
    async with cache.making(short(digest)):
        return cache.find(digest) or cache.keep(await make())


def _rootfs(digest: str, layers: tuple[str, ...], config: dict[str, Any], *, name: str) -> Rootfs:
    return Rootfs(
        name=name,
        digest=digest,
        layers=layers,
        env=dict(pair.partition("=")[::2] for pair in config.get("Env") or ()),
        workdir=config.get("WorkingDir") or "/",
        user=config.get("User") or "root",
    )


def _of_this_machine(entries: list[dict[str, Any]]) -> dict[str, Any]:
    import platform

    names = {"x86_64": "amd64", "aarch64": "arm64"}
    wanted = names.get(platform.machine(), platform.machine())
    for entry in entries:
        about = entry.get("platform") or {}
        if about.get("architecture") == wanted and about.get("os") == "linux":
            return entry
    raise ImageError(f"the image has no version for linux/{wanted}")
