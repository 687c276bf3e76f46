"""The `docker-compose.yaml` of a Terminal-Bench 1 task: what it says of the agent's machine."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mechagym.errors import TaskError
from mechagym.records import Json
from mechagym.tasks.texts import read_yaml

OURS = "T_BENCH_"
READ_KEYS = frozenset({"build", "image", "environment", "working_dir", "volumes"})
LIMIT_KEYS = frozenset({"deploy", "cpus", "mem_limit"})
IDLE_KEYS = frozenset({"container_name", "command", "init", "restart", "stdin_open", "tty"})
"""How the old harness kept the machine up: every box of ours stays up by itself."""

PLAIN_KEYS = READ_KEYS | LIMIT_KEYS | IDLE_KEYS
REPLACED_KEYS = PLAIN_KEYS - {"working_dir", "volumes"}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([bkmg]?)b?", re.IGNORECASE)
_BYTES = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where the agent's machine comes from. `compose` is what is left for an overlay, if anything.

    Contexts are relative to the task folder; `.` is the folder itself. `copied` are the parts of
    the context that were mounted into the machine, each with its place there.
    """

    context: str = "."
    dockerfile: str = "Dockerfile"
    image: str | None = None
    workdir: str | None = None
    env: Mapping[str, str]
    compose: Mapping[str, Json] | None = None
    other_contexts: tuple[str, ...] = ()
    copied: tuple[tuple[str, str], ...] = ()
    cpus: float | None = None
    memory_mb: int | None = None


def read_machine(folder: Path) -> Machine:
    """Read the compose file; where there is none, the folder has a Dockerfile. Raises TaskError."""
    path = folder / "docker-compose.yaml"
    if not path.exists():
        return Machine(env={})
    document = read_yaml(path)
    services = document.get("services") if isinstance(document, dict) else None
    if not isinstance(services, dict) or not all(isinstance(s, dict) for s in services.values()):
        raise TaskError(f"{path}:1: services must be a table of services")
    if not services:
        return Machine(env={})
    name = "client" if "client" in services else next(iter(services))
    return _machine(path, document, name)


def _machine(path: Path, document: dict[str, Any], name: str) -> Machine:
    services = document["services"]
    main = services[name]
    context, dockerfile = _build(path, main)
    image = main.get("image")
    workdir = main.get("working_dir")
    others = [_build(path, service)[0] for key, service in services.items() if key != name]
    limits = _limits(main)
    return Machine(
        context=context,
        dockerfile=dockerfile,
        image=image if isinstance(image, str) and "build" not in main else None,
        workdir=workdir if isinstance(workdir, str) and "${" not in workdir else None,
        env=_env(main.get("environment")),
        compose=None if _is_plain(document, main) else _overlay(document, name),
        other_contexts=tuple(others),
        copied=tuple(_copied(main)),
        cpus=_cpus(path, limits.get("cpus", main.get("cpus"))),
        memory_mb=_memory_mb(path, limits.get("memory", main.get("mem_limit"))),
    )


def _is_plain(document: dict[str, Any], main: dict[str, Any]) -> bool:
    return (
        len(document["services"]) == 1
        and document.keys() <= {"services", "version"}
        and main.keys() <= PLAIN_KEYS
        and not _own_volumes(main)
    )


def _overlay(document: dict[str, Any], name: str) -> dict[str, Json]:
    services = document["services"]
    main = {k: v for k, v in services[name].items() if k not in REPLACED_KEYS and k != "volumes"}
    if volumes := _own_volumes(services[name]):
        main["volumes"] = volumes
    others = {key: service for key, service in services.items() if key != name}
    rest = {k: v for k, v in document.items() if k not in {"services", "version"}}
    return {"services": {"main": main, **others}, **rest}


def _own_volumes(service: dict[str, Any]) -> list[Json]:
    copied = {f"{source}:{target}" for source, target in _mounted(service)}
    found = service.get("volumes") or ()
    return [v for v in found if OURS not in str(v) and _without_mode(v) not in copied]


def _copied(service: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for source, target in _mounted(service):
        yield source.removeprefix("./").rstrip("/") or ".", target


def _mounted(service: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what of the build's context is mounted into the machine that is built from it.

    A mounted folder would be the agent's hand in the task's own files, and is nowhere to be had on
    another host: the image gets a copy.
    """
    build = service.get("build")
    context = build.get("context", ".") if isinstance(build, dict) else build
    for volume in service.get("volumes") or ():
        source, _, target = _without_mode(volume).partition(":")
        inside = source.startswith("./") or source == "."
        if context in {".", "./"} and inside and ".." not in source and target.startswith("/"):
            yield source, target


def _without_mode(volume: Json) -> str:
    return str(volume).removesuffix(":ro").removesuffix(":rw")


def _limits(service: dict[str, Any]) -> dict[str, Any]:
    found: Any = service
    for key in ("deploy", "resources", "limits"):
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _cpus(path: Path, value: Json) -> float | None:
    if value is None:
        return None
    try:
        return float(str(value))
    except ValueError:
        raise TaskError(f"{path}:1: cpus must be a number, not {value!r}") from None


def _memory_mb(path: Path, value: Json) -> int | None:
    if value is None:
        return None
    match = _SIZE.fullmatch(str(value).strip())
    if match is None:
        raise TaskError(f'{path}:1: memory must be a size such as "2g", not {value!r}')
    return max(1, int(float(match[1]) * _BYTES[match[2].lower()] / _BYTES["m"]))


def _build(path: Path, service: dict[str, Any]) -> tuple[str, str]:
    build = service.get("build", ".")
    context, dockerfile = build, "Dockerfile"
    if isinstance(build, dict):
        context, dockerfile = build.get("context", "."), build.get("dockerfile", "Dockerfile")
    for value in (context, dockerfile):
        if not isinstance(value, str) or value.startswith("/") or ".." in value.split("/"):
            raise TaskError(f"{path}:1: build must stay in the task folder, not {value!r}")
    return context.removeprefix("./").rstrip("/") or ".", dockerfile.removeprefix("./")


def _env(value: Json) -> dict[str, str]:
    pairs: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        pairs = [(str(key), entry) for key, entry in value.items()]
    elif isinstance(value, list):
        pairs = [(key, entry) for key, _, entry in (str(v).partition("=") for v in value)]
    return {k: str(v) for k, v in pairs if k and v is not None and OURS not in str(v)}
