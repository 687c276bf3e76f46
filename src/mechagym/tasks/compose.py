"""The `docker-compose.yaml` of a Terminal-Bench 1 task: what it says of the agent's machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mechagym.errors import TaskError
from mechagym.records import Json
from mechagym.tasks.texts import read_yaml

OURS = "T_BENCH_"
PLAIN_KEYS = frozenset(
    {"build", "image", "container_name", "command", "environment", "working_dir", "volumes"}
)
REPLACED_KEYS = frozenset({"build", "image", "container_name", "command", "environment"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where the agent's machine comes from. `compose` is what is left for an overlay, if anything.

    Contexts are relative to the task folder; `.` is the folder itself.
    """

    context: str = "."
    dockerfile: str = "Dockerfile"
    image: str | None = None
    workdir: str | None = None
    env: Mapping[str, str]
    compose: Mapping[str, Json] | None = None
    other_contexts: tuple[str, ...] = ()


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
    return Machine(
        context=context,
        dockerfile=dockerfile,
        image=image if isinstance(image, str) and "build" not in main else None,
        workdir=workdir if isinstance(workdir, str) and "${" not in workdir else None,
        env=_env(main.get("environment")),
        compose=None if _is_plain(document, main) else _overlay(document, name),
        other_contexts=tuple(others),
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
    return [v for v in service.get("volumes") or () if OURS not in str(v)]


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
