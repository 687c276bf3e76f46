"""Reading a task's compose file: what tasks use of the format; any other key is refused by name.

The service `main` is the box itself: its image, command and ports are the task's affair, its
environment, volumes and order count. The others are sidecars, reachable from the box by their
names. `ports` and `expose` open nothing on the host.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mechagym.errors import ImageError
from mechagym.sandbox.base import BuildImage, Image, RegistryImage

MAIN = "main"
_TOP = {"version", "name", "services", "volumes"}
_COMMON = {
    "image", "build", "command", "entrypoint", "environment", "volumes", "depends_on",
    "healthcheck", "working_dir", "user", "expose", "ports",
}  # fmt: skip
_CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|us|ns|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_VARIABLE = re.compile(r"\$\{\w+(?::?-(?P<default>[^}]*))?\}|\$(?P<bare>\w+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A named volume, or a file or folder of the task's (`source`), which is read-only."""

    target: str
    name: str | None = None
    source: Path | None = None
    read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A sidecar. `needs`: what must be true of others before it starts."""

    name: str
    image: Image
    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[Volume, ...] = ()
    needs: Mapping[str, str] = field(default_factory=dict)
    healthcheck: Mapping[str, Any] | None = None
    workdir: str | None = None
    user: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Compose:
    """A compose file, read; `sidecars` in the order in which they can start."""

    sidecars: tuple[Service, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[Volume, ...] = ()
    needs: Mapping[str, str] = field(default_factory=dict)

    @property
    def volume_names(self) -> set[str]:
        """The named volumes that something mounts."""
        mounts = [*self.volumes, *(v for s in self.sidecars for v in s.volumes)]
        return {v.name for v in mounts if v.name}


def read(path: Path) -> Compose:
    """Read a compose file. Raises ImageError that names the file and the key."""
    try:
        document = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise ImageError(f"{path}: {error}") from error
    return _Reader(path).read(document)


class _Reader:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._folder = path.parent.resolve()

    def read(self, document: object) -> Compose:
        top = self._mapping(document, "the file")
        self._known(top, _TOP, "")
        services = self._mapping(top.get("services"), "services")
        if MAIN not in services:
            raise self._error(f"services: there is no service `{MAIN}`")
        for name, service in services.items():
            self._known(self._mapping(service, name), _COMMON, f"services.{name}.")
        main = services[MAIN]
        sidecars = {n: self._service(n, s) for n, s in services.items() if n != MAIN}
        needs = self._needs(main.get("depends_on"), MAIN)
        for wanted in (needs, *(s.needs for s in sidecars.values())):
            for name in wanted:
                if name not in sidecars:
                    raise self._error(f"depends_on: there is no service `{name}`")
        return Compose(
            sidecars=tuple(self._ordered(sidecars)),
            env=self._env(main.get("environment"), MAIN),
            volumes=self._volumes(main.get("volumes"), MAIN),
            needs=needs,
        )

    def _service(self, name: str, raw: Mapping[str, Any]) -> Service:
        return Service(
            name=name,
            image=self._image(name, raw),
            command=self._words(raw.get("command"), f"services.{name}.command"),
            entrypoint=self._words(raw.get("entrypoint"), f"services.{name}.entrypoint"),
            env=self._env(raw.get("environment"), name),
            volumes=self._volumes(raw.get("volumes"), name),
            needs=self._needs(raw.get("depends_on"), name),
            healthcheck=self._healthcheck(raw.get("healthcheck"), name),
            workdir=raw.get("working_dir"),
            user=str(raw["user"]) if "user" in raw else None,
        )

    def _image(self, name: str, raw: Mapping[str, Any]) -> Image:
        build = raw.get("build")
        if build is None:
            if "image" not in raw:
                raise self._error(f"services.{name}: neither image nor build")
            return RegistryImage(reference=self._text(raw["image"], f"services.{name}.image"))
        if isinstance(build, str):
            build = {"context": build}
        at = f"services.{name}.build"
        self._known(self._mapping(build, at), {"context", "dockerfile"}, f"{at}.")
        context = self._inside(str(build.get("context", ".")), at)
        dockerfile = str(build.get("dockerfile", "Dockerfile"))
        return BuildImage(
            context=context, dockerfile=dockerfile, digest=_digest(context, dockerfile)
        )

    def _words(self, raw: object, at: str) -> tuple[str, ...]:
        if raw is None:
            return ()
        if isinstance(raw, str):
            text = self._text(raw, at).strip()
            return ("sh", "-c", f"exec {text}") if text else ()
        return tuple(self._text(r, at) for r in (raw if isinstance(raw, list) else [raw]))

    def _env(self, raw: object, name: str) -> dict[str, str]:
        at = f"services.{name}.environment"
        if isinstance(raw, list):
            pairs: Iterable[tuple[str, Any]] = (str(item).partition("=")[::2] for item in raw)
        else:
            pairs = self._mapping(raw or {}, at).items()
        return {k: self._text("" if v is None else v, f"{at}.{k}") for k, v in pairs}

    def _volumes(self, raw: object, name: str) -> tuple[Volume, ...]:
        at = f"services.{name}.volumes"
        found = []
        for item in raw if isinstance(raw, list) else []:
            if not isinstance(item, str):
                raise self._error(f"{at}: only the short form SOURCE:TARGET[:ro] is known")
            source, _, rest = item.partition(":")
            target, _, mode = rest.partition(":")
            if not target.startswith("/") or mode not in {"", "ro", "rw"}:
                raise self._error(f"{at}: {item!r} is not SOURCE:TARGET[:ro]")
            if source.startswith((".", "/", "~")):
                place = self._inside(source, at)
                found.append(Volume(target=target, source=place, read_only=True))
            else:
                found.append(Volume(target=target, name=source, read_only=mode == "ro"))
        return tuple(found)

    def _needs(self, raw: object, name: str) -> dict[str, str]:
        at = f"services.{name}.depends_on"
        if isinstance(raw, list):
            return {str(item): "service_started" for item in raw}
        needs = {}
        for other, how in self._mapping(raw or {}, at).items():
            condition = self._mapping(how or {}, at).get("condition", "service_started")
            if condition not in _CONDITIONS:
                raise self._error(f"{at}.{other}: unknown condition {condition!r}")
            needs[other] = str(condition)
        return needs

    def _healthcheck(self, raw: object, name: str) -> dict[str, Any] | None:
        if raw is None:
            return None
        at = f"services.{name}.healthcheck"
        check = self._mapping(raw, at)
        times = {"interval": "Interval", "timeout": "Timeout", "start_period": "StartPeriod"}
        self._known(check, {"test", "retries", *times}, f"{at}.")
        raw_test = check.get("test", [])
        test = [raw_test] if isinstance(raw_test, str) else raw_test
        words = [self._text(word, f"{at}.test") for word in test]
        found: dict[str, Any] = {
            "Test": ["CMD-SHELL", *words] if isinstance(raw_test, str) else words
        }
        for key, theirs in times.items():
            if key in check:
                found[theirs] = int(self._seconds(check[key], f"{at}.{key}") * 1e9)
        return found | ({"Retries": int(check["retries"])} if "retries" in check else {})

    def _seconds(self, raw: object, at: str) -> float:
        parts = _DURATION.findall(str(raw))
        if not parts:
            raise self._error(f"{at}: {raw!r} is no duration")
        return sum(float(number) * _SECONDS[unit] for number, unit in parts)

    def _ordered(self, sidecars: dict[str, Service]) -> Iterable[Service]:
        done: set[str] = set()
        while len(done) < len(sidecars):
            ready = [s for n, s in sidecars.items() if n not in done and done.issuperset(s.needs)]
            if not ready:
                raise self._error("depends_on goes in a circle")
            yield from ready
            done.update(s.name for s in ready)

    def _inside(self, name: str, at: str) -> Path:
        path = (self._folder / name).resolve()
        if not path.is_relative_to(self._folder):
            raise self._error(f"{at}: {name} is outside of {self._folder}")
        return path

    def _text(self, raw: object, at: str) -> str:
        def default(match: re.Match[str]) -> str:
            if match["default"] is None:
                raise self._error(f"{at}: {match[0]} has no value and no default")
            return match["default"]

        text = str(raw).lower() if isinstance(raw, bool) else str(raw)
        return "$".join(_VARIABLE.sub(default, part) for part in text.split("$$"))

    def _known(self, mapping: Mapping[str, Any], keys: set[str], at: str) -> None:
        for key in mapping:
            if key not in keys:
                raise self._error(f"the key {at}{key} is not supported")

    def _mapping(self, raw: object, at: str) -> dict[str, Any]:
        if not isinstance(raw, dict):
            raise self._error(f"{at} is no mapping")
        return {str(k): v for k, v in raw.items()}

    def _error(self, text: str) -> ImageError:
        return ImageError(f"{self._path}: {text}", reason="compose")


def _digest(context: Path, dockerfile: str) -> str:
    """The digest of a context's files, by sorted relative path and content."""
    digest = hashlib.sha256(dockerfile.encode())
    for path in sorted(p for p in context.rglob("*") if p.is_file()):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(context).as_posix()}\0{content}\n".encode())
    return digest.hexdigest()
