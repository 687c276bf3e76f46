"""What a `task.toml` may say, schema 1.0 to 1.4, as its authors write it.

Tolerant on purpose: unknown keys are kept (and listed by `toml.py`), old spellings are read. Values
that make no sense (a negative time, a network mode that does not exist) are refused here, before
anything is started. Defaults that depend on the schema version are in `sections.py`.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from mechagym.records import Json
from mechagym.tasks.hosts import allowed_host

Network = Literal["public", "no-network", "allowlist"]
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT])(?:I?B)?", re.IGNORECASE)
_MB = {"K": 1 / 1024, "M": 1, "G": 1024, "T": 1024 * 1024}
_NAME = re.compile(r"(?:[A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]*", re.ASCII)
_STEP_NAME = re.compile(r"[^<>:\"/\\|?*\x00-\x1f\x7f]{0,199}[^<>:\"/\\|?*\x00-\x1f\x7f. ]")


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 pydantic asks for ValueError
    return value


def _user(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _transport(value: Any) -> Any:
    return "streamable-http" if value == "http" else value


def _artifact(value: Any) -> Any:
    return {"source": value} if isinstance(value, str) else value


def _reward(value: Any) -> Any:
    return {"reward": value} if isinstance(value, int | float) else value


def _version(value: Any) -> Any:
    text = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    if isinstance(text, str) and re.fullmatch(r"\d{1,4}(\.\d{1,4})*", text):
        return text
    raise ValueError('must be a schema version such as "1.4"')


def _size(value: Any) -> int:
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or float(match[1]) > 1e9:
        raise ValueError('must be a size such as "2G" or "512M"')
    return max(1, int(float(match[1]) * _MB[match[2].upper()]))


def _task_name(value: Any) -> Any:
    if isinstance(value, str) and not (_NAME.fullmatch(value) and ".." not in value):
        raise ValueError('must be "org/name" of letters, digits, ".", "_" and "-"')
    return value


def _step_name(value: Any) -> Any:
    if isinstance(value, str) and (not _STEP_NAME.fullmatch(value) or not value.strip()):
        raise ValueError("must be a plain folder name, at most 200 characters")
    return value


def inside(value: Any) -> Any:
    """Refuse a path with `..` in it."""
    if isinstance(value, str) and ".." in value.split("/"):
        raise ValueError('must be a path without ".."')
    return value


def _relative(value: Any) -> Any:
    if isinstance(value, str) and (value.startswith("/") or "\\" in value):
        raise ValueError("must be a path relative to the artifacts folder")
    return inside(value)


Number = BeforeValidator(_number)
Seconds = Annotated[float, Number, Field(gt=0, allow_inf_nan=False, le=1e9)]
Pause = Annotated[float, Number, Field(ge=0, allow_inf_nan=False, le=1e9)]
Megabytes = Annotated[int, Number, Field(gt=0, le=1 << 40)]
Size = Annotated[int | None, BeforeValidator(_size)]
User = Annotated[str, BeforeValidator(_user), Field(min_length=1)]
Host = Annotated[str, BeforeValidator(allowed_host)]
Text = Annotated[str, Field(min_length=1)]


class Part(BaseModel):
    """One table of the file; what it does not know is kept."""

    model_config = ConfigDict(extra="allow", frozen=True)


class ArtifactPart(Part):
    """An entry of `artifacts`: a path, or a table."""

    source: Annotated[Text, BeforeValidator(inside)]
    destination: Annotated[str | None, BeforeValidator(_relative)] = None
    exclude: tuple[str, ...] = ()
    service: Text | None = None


class HealthcheckPart(Part):
    """`healthcheck`, as in a Dockerfile."""

    command: Text
    interval_sec: Pause = 5.0
    timeout_sec: Seconds = 30.0
    start_period_sec: Pause = 0.0
    start_interval_sec: Pause = 5.0
    retries: Annotated[int, Number, Field(ge=0)] = 3


class McpServerPart(Part):
    """An entry of `mcp_servers`."""

    name: Text
    transport: Annotated[
        Literal["stdio", "sse", "streamable-http"], BeforeValidator(_transport)
    ] = "sse"
    url: str | None = None
    command: str | None = None
    args: tuple[str, ...] = ()
    headers: Mapping[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _complete(self) -> "McpServerPart":
        if self.transport == "stdio" and not self.command:
            raise ValueError('needs a "command" (transport "stdio")')
        if self.transport != "stdio" and not self.url:
            raise ValueError(f'needs a "url" (transport "{self.transport}")')
        return self


class TpuPart(Part):
    """`tpu`: what kind and how many, as `2x4`."""

    type: Text
    topology: Annotated[str, Field(pattern=r"^[1-9]\d*(x[1-9]\d*)+$")]


class NetworkPart(Part):
    """The two keys that agent, verifier and environment share."""

    network_mode: Network | None = None
    allowed_hosts: tuple[Host, ...] | None = None

    @model_validator(mode="after")
    def _hosts_bind(self) -> "NetworkPart":
        if self.allowed_hosts and self.network_mode != "allowlist":
            raise ValueError('"allowed_hosts" needs network_mode = "allowlist"')
        return self


class EnvironmentPart(NetworkPart):
    """`[environment]`, `[verifier.environment]`; old: `memory`, `storage`, `allow_internet`."""

    network_mode: Network = "public"
    docker_image: Text | None = None
    build_timeout_sec: Seconds = 600.0
    cpus: Annotated[float, Number, Field(gt=0, le=4096)] | None = None
    memory_mb: Megabytes | None = None
    storage_mb: Megabytes | None = None
    memory: Size = Field(default=None, exclude=True)
    storage: Size = Field(default=None, exclude=True)
    gpus: Annotated[int, Number, Field(ge=0, le=4096)] | None = None
    gpu_types: tuple[str, ...] | None = None
    tpu: TpuPart | None = None
    os: Annotated[Literal["linux", "windows"], BeforeValidator(_lower)] = "linux"
    allow_internet: bool | None = None
    env: Mapping[str, str] = Field(default_factory=dict)
    workdir: Text | None = None
    skills_dir: str | None = None
    mcp_servers: tuple[McpServerPart, ...] = ()
    healthcheck: HealthcheckPart | None = None

    @model_validator(mode="after")
    def _one_size(self) -> "EnvironmentPart":
        for old, new in (("memory", "memory_mb"), ("storage", "storage_mb")):
            was, now = getattr(self, old), getattr(self, new)
            if None not in (was, now) and was != now:
                raise ValueError(f'"{old}" ({was} MB) and "{new}" ({now}) say different things')
        return self


class AgentPart(NetworkPart):
    """`[agent]`, of the task or of a step."""

    timeout_sec: Seconds | None = None
    user: User | None = None


class CollectPart(Part):
    """An entry of `[[verifier.collect]]`."""

    command: Text
    service: Text = "main"
    timeout_sec: Seconds = 60.0
    user: User | None = None


class VerifierPart(NetworkPart):
    """`[verifier]`, of the task or of a step."""

    timeout_sec: Seconds = 600.0
    env: Mapping[str, str] = Field(default_factory=dict)
    user: User | None = None
    environment_mode: Literal["shared", "separate"] | None = None
    environment: EnvironmentPart | None = None
    collect: tuple[CollectPart, ...] = ()

    @model_validator(mode="after")
    def _one_place(self) -> "VerifierPart":
        if self.environment_mode == "shared" and self.environment is not None:
            raise ValueError('has an "environment", which needs environment_mode = "separate"')
        return self


class StepPart(Part):
    """An entry of `[[steps]]`; `min_reward` as a number gates on the key `reward`."""

    name: Annotated[Text, BeforeValidator(_step_name)]
    agent: AgentPart = AgentPart()
    verifier: VerifierPart = VerifierPart()
    healthcheck: HealthcheckPart | None = None
    artifacts: tuple[Annotated[ArtifactPart, BeforeValidator(_artifact)], ...] = ()
    min_reward: Annotated[
        Mapping[str, Annotated[float, Number, Field(allow_inf_nan=False)]] | None,
        BeforeValidator(_reward),
    ] = None


class AuthorPart(Part):
    """An entry of `task.authors`."""

    name: str
    email: str | None = None


class PackagePart(Part):
    """`[task]`: how the task is called where tasks are published."""

    name: Annotated[str, BeforeValidator(_task_name)]
    version: Text | None = None
    description: str = ""
    authors: tuple[AuthorPart, ...] = ()
    keywords: tuple[str, ...] = ()


class SolutionPart(Part):
    """`[solution]`, for the oracle only."""

    env: Mapping[str, str] = Field(default_factory=dict)


class TaskFile(Part):
    """The whole file. `version` is the old key of `schema_version`."""

    schema_version: Annotated[str, BeforeValidator(_version)] = "1.4"
    version: Annotated[str | None, BeforeValidator(_version)] = Field(default=None, exclude=True)
    task: PackagePart | None = None
    metadata: Mapping[str, Json] = Field(default_factory=dict)
    agent: AgentPart = AgentPart()
    verifier: VerifierPart = VerifierPart()
    environment: EnvironmentPart = EnvironmentPart()
    solution: SolutionPart = SolutionPart()
    source: str | None = None
    multi_step_reward_strategy: Literal["mean", "final"] | None = None
    steps: tuple[StepPart, ...] | None = None
    artifacts: tuple[Annotated[ArtifactPart, BeforeValidator(_artifact)], ...] = ()

    @model_validator(mode="after")
    def _steps_differ(self) -> "TaskFile":
        names = [step.name.casefold() for step in self.steps or ()]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f'has two steps named "{twice[0]}"')
        return self

    @property
    def schema_numbers(self) -> tuple[int, ...]:
        """The schema version for comparing; the old key counts where the new one is absent."""
        return tuple(int(n) for n in self.schema_name.split("."))

    @property
    def schema_name(self) -> str:
        """The schema version as written."""
        said = "schema_version" in self.model_fields_set
        return self.schema_version if said or self.version is None else self.version
