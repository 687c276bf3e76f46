"""From what a `task.toml` says to what it means: names in our units, defaults by schema version.

Before schema 1.3 a file silent about its machine means 1 cpu, 2 GiB and 10 GiB; from 1.3 on,
no limit. What a step does not say, the task says for it.
"""

import math
from collections.abc import Mapping
from datetime import date, time
from typing import Literal

from mechagym.records import Json
from mechagym.tasks.model import (
    AgentSection,
    Artifact,
    Collect,
    Environment,
    Healthcheck,
    McpServer,
    NetworkMode,
    VerifierSection,
)
from mechagym.tasks.schema import (
    AgentPart,
    ArtifactPart,
    AuthorPart,
    EnvironmentPart,
    HealthcheckPart,
    McpServerPart,
    TaskFile,
    VerifierPart,
)

NO_LIMITS_SINCE = (1, 3)
OLD_LIMITS = {"cpus": 1.0, "memory_mb": 2048, "storage_mb": 10_240}


def environment(file: TaskFile) -> Environment:
    """Read `[environment]`."""
    return _environment(file.environment, file)


def agent(file: TaskFile, own: AgentPart | None = None) -> AgentSection:
    """Read `[agent]`; `own` is a step's and wins key by key (the network's two together)."""
    task, step = file.agent, own or AgentPart()
    network = step if step.network_mode is not None else task
    return AgentSection(
        timeout_s=step.timeout_sec if step.timeout_sec is not None else task.timeout_sec,
        user=step.user if step.user is not None else task.user,
        network=network.network_mode,
        allowed_hosts=network.allowed_hosts,
    )


def verifier(file: TaskFile, own: VerifierPart | None = None) -> VerifierSection:
    """Read `[verifier]`; a step's `own` env lies over the task's, its commands come after."""
    task, step = file.verifier, own or VerifierPart()
    network = step if step.network_mode is not None else task
    mode = _mode(step) or _mode(task) or "shared"
    machine = (step.environment or task.environment) if mode == "separate" else None
    said = "timeout_sec" in step.model_fields_set
    return VerifierSection(
        timeout_s=step.timeout_sec if said else task.timeout_sec,
        env={**task.env, **step.env},
        user=step.user if step.user is not None else task.user,
        network=network.network_mode,
        allowed_hosts=network.allowed_hosts,
        mode=mode,
        environment=_environment(machine, file) if machine else None,
        collect=tuple(
            Collect(command=c.command, service=c.service, timeout_s=c.timeout_sec, user=c.user)
            for c in (*task.collect, *step.collect)
        ),
    )


def healthcheck(part: HealthcheckPart | None) -> Healthcheck | None:
    """Read a `healthcheck` table."""
    if part is None:
        return None
    return Healthcheck(
        command=part.command,
        interval_s=part.interval_sec,
        timeout_s=part.timeout_sec,
        start_period_s=part.start_period_sec,
        start_interval_s=part.start_interval_sec,
        retries=part.retries,
    )


def artifact(part: ArtifactPart) -> Artifact:
    """Read an entry of `artifacts`."""
    return Artifact(
        source=part.source,
        destination=part.destination or None,
        exclude=part.exclude,
        service=part.service,
    )


def author(part: AuthorPart) -> str:
    """Write an author as `name <email>`."""
    return f"{part.name} <{part.email}>" if part.email else part.name


def plain(value: Json) -> Json:
    """Make a TOML value a JSON value: dates as ISO text, NaN and infinities as text."""
    match value:
        case dict() | Mapping():
            return {str(key): plain(entry) for key, entry in value.items()}
        case list() | tuple():
            return [plain(entry) for entry in value]
        case date() | time():
            return value.isoformat()
        case float() if not math.isfinite(value):
            return str(value)
    return value


def _environment(part: EnvironmentPart, file: TaskFile) -> Environment:
    limits = OLD_LIMITS if file.schema_numbers < NO_LIMITS_SINCE else {}
    memory = part.memory_mb if part.memory_mb is not None else part.memory
    storage = part.storage_mb if part.storage_mb is not None else part.storage
    return Environment(
        docker_image=part.docker_image,
        build_timeout_s=part.build_timeout_sec,
        cpus=part.cpus if part.cpus is not None else limits.get("cpus"),
        memory_mb=memory if memory is not None else _whole(limits.get("memory_mb")),
        storage_mb=storage if storage is not None else _whole(limits.get("storage_mb")),
        gpus=part.gpus or 0,
        gpu_types=part.gpu_types or (),
        tpu=plain(part.tpu.model_dump()) if part.tpu else None,
        os=part.os if "os" in part.model_fields_set else file.environment.os,
        network=_network(part),
        allowed_hosts=part.allowed_hosts or (),
        env=dict(part.env),
        workdir=part.workdir,
        skills_dir=part.skills_dir,
        mcp_servers=tuple(_mcp_server(s) for s in part.mcp_servers),
        healthcheck=healthcheck(part.healthcheck),
    )


def _mcp_server(part: McpServerPart) -> McpServer:
    return McpServer(
        name=part.name,
        transport=part.transport,
        url=part.url,
        command=part.command,
        args=part.args,
        headers=dict(part.headers),
    )


def _network(part: EnvironmentPart) -> NetworkMode:
    if part.allow_internet is False and "network_mode" not in part.model_fields_set:
        return "no-network"
    return part.network_mode


def _mode(part: VerifierPart) -> Literal["shared", "separate"] | None:
    return part.environment_mode or ("separate" if part.environment is not None else None)


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
