"""What a task is to everybody else: frozen values, the same for every schema and form.

Numbers are in the units of their names; None means "not said" and binds nothing. Folders are only
named here: nobody but the oracle, the verifier and the image builder opens them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mechagym.records import Json

NetworkMode = Literal["public", "no-network", "allowlist"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A path in the box to keep. `destination` is relative to the trial's `artifacts/`."""

    source: str
    destination: str | None = None
    exclude: tuple[str, ...] = ()
    service: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthcheck:
    """A command that must succeed before the agent starts; times in seconds."""

    command: str
    interval_s: float = 5.0
    timeout_s: float = 30.0
    start_period_s: float = 0.0
    start_interval_s: float = 5.0
    retries: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class McpServer:
    """A tool server of the task's, offered to agents that speak MCP."""

    name: str
    transport: Literal["stdio", "sse", "streamable-http"] = "sse"
    url: str | None = None
    command: str | None = None
    args: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The machine that a task asks for. `allowed_hosts` binds in the mode `allowlist` only."""

    docker_image: str | None = None
    build_timeout_s: float = 600.0
    cpus: float | None = None
    memory_mb: int | None = None
    storage_mb: int | None = None
    gpus: int = 0
    gpu_types: tuple[str, ...] = ()
    tpu: Json = None
    os: str = "linux"
    network: NetworkMode = "public"
    allowed_hosts: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    workdir: str | None = None
    skills_dir: str | None = None
    mcp_servers: tuple[McpServer, ...] = ()
    healthcheck: Healthcheck | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSection:
    """What a task says of its agent; None: the environment's or the job's."""

    timeout_s: float | None = None
    user: str | None = None
    network: NetworkMode | None = None
    allowed_hosts: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Collect:
    """A command run in the box before the tests, whose output is evidence."""

    command: str
    service: str = "main"
    timeout_s: float = 60.0
    user: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierSection:
    """How a task is verified. `env` is raw: the runner resolves `${VAR}` and `${VAR:-default}`."""

    timeout_s: float = 600.0
    env: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    network: NetworkMode | None = None
    allowed_hosts: tuple[str, ...] | None = None
    mode: Literal["shared", "separate"] = "shared"
    environment: Environment | None = None
    collect: tuple[Collect, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing to do and its tests. A single-step task has one, named `main`.

    `tests_dir`, `solution_dir` and `workdir_files` are folders of the task that may be absent.
    `setup_script` (multi-step) is `workdir/setup.sh`, run in the box before the agent gets this
    step. `shared_tests` (multi-step) is the task's own `tests/`, put in before the step's;
    `verifier_dockerfile` is the step's, and wins over the task's.
    """

    name: str
    instruction: str
    tests_dir: Path
    solution_dir: Path
    agent: AgentSection = AgentSection()
    verifier: VerifierSection = VerifierSection()
    workdir_files: Path | None = None
    setup_script: Path | None = None
    healthcheck: Healthcheck | None = None
    artifacts: tuple[Artifact, ...] = ()
    min_reward: Mapping[str, float] = field(default_factory=dict)
    test_entry: str = "test.sh"
    solution_entry: str = "solve.sh"
    shared_tests: Path | None = None
    verifier_dockerfile: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task folder, read. `name` has no slash; `digest` is the sha256 over all its files (hex).

    `task_id` is `dataset/name`. `canary` keeps the lines that were stripped from the instruction.
    `unknown_keys` are dotted; `form` tells Harbor's folders from Terminal-Bench 1's.
    """

    name: str
    folder: Path
    digest: str
    schema_version: str
    steps: tuple[Step, ...]
    environment: Environment = Environment()
    dataset: str = ""
    full_name: str | None = None
    version: str | None = None
    description: str = ""
    authors: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    source: str | None = None
    metadata: Mapping[str, Json] = field(default_factory=dict)
    solution_env: Mapping[str, str] = field(default_factory=dict)
    artifacts: tuple[Artifact, ...] = ()
    reward_strategy: Literal["mean", "final"] = "mean"
    dockerfile: Path | None = None
    compose_file: Path | None = None
    environment_digest: str | None = None
    verifier_dockerfile: Path | None = None
    canary: tuple[str, ...] = ()
    unknown_keys: tuple[str, ...] = ()
    form: Literal["harbor", "terminal-bench-1", "suite"] = "harbor"

    @property
    def task_id(self) -> str:
        """`dataset/name`, or the bare name."""
        return f"{self.dataset}/{self.name}" if self.dataset else self.name

    @property
    def multi_step(self) -> bool:
        """Whether the task came with `[[steps]]`."""
        return len(self.steps) > 1 or self.steps[0].name != "main"
