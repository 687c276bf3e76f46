"""What a job is told: one frozen value with a digest, the same from flags, a job file or a page.

The digest covers what can change a result and nothing else: a job may be resumed with another
number of concurrent trials, never with another agent.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from mechagym.budget import Budget
from mechagym.errors import ConfigError
from mechagym.sandbox.base import Isolation

_JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentChoice:
    """An agent by its entry-point name or `package.module:Class`, with its options as text."""

    name: str
    version: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where the tasks come from and which of them: globs on task names, `exclude` after
    `include`.
    """

    sources: tuple[str, ...]
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What every trial of the job is run under; all of it can change a result.

    `base`: `host` runs tasks on the host's own root where there is no image. `timeout_multiplier`
    acts on the agent's and the verifier's time alike.
    """

    timeout_multiplier: float = 1.0
    agent_timeout_s: float | None = None
    trial_budget: Budget = Budget()
    verify: Literal["task", "pristine"] = "task"
    on_tamper: Literal["flag", "fail"] = "flag"
    base: Literal["image", "host"] = "image"
    force_build: bool = False
    require_limits: bool = False
    min_isolation: Isolation = "none"

    def __post_init__(self) -> None:
        if not 0 < self.timeout_multiplier < float("inf"):
            raise ConfigError(f"timeout multiplier must be above 0, not {self.timeout_multiplier}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How many things may happen at once; none of it can change a result.

    `retries` counts further tries after an infrastructure fault. `box_starts` 0: as many as cores.
    """

    trials: int = 4
    image_builds: int = 1
    box_starts: int = 0
    verifiers: int = 0
    retries: int = 2

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise ConfigError(f"at least one trial at a time, not {self.trials}")
        if self.retries < 0:
            raise ConfigError(f"retries must be 0 or more, not {self.retries}")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobConfig:
    """One invocation of `run`.

    `allow_unpriced`: a model without a price may be called, under a limit in tokens. `protocol`:
    by what the task of every agent is wrapped; such trials are never mixed with plain ones.
    """

    name: str
    sources: Sources
    agents: tuple[AgentChoice, ...]
    out_dir: Path
    models: tuple[str | None, ...] = (None,)
    role_models: Mapping[str, str] = field(default_factory=dict)
    repeats: int = 1
    protocol: str | None = None
    sandbox: str = "auto"
    engine: str = "local"
    budget: Budget = Budget()
    allow_unpriced: bool = False
    rules: Rules = Rules()
    pace: Pace = Pace()

    def __post_init__(self) -> None:
        if not _JOB_NAME.fullmatch(self.name):
            raise ConfigError(
                f"job name {self.name!r}: use at most 80 letters, digits, dots, dashes, underscores"
            )
        if self.repeats < 1:
            raise ConfigError(f"repeats must be 1 or more, not {self.repeats}")
        if not self.agents:
            raise ConfigError(
                "a job needs an agent", remedy="name one with -a, for example -a oracle"
            )

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over what can change a result, as canonical JSON."""
        binding = {
            "agents": [asdict(agent) for agent in self.agents],
            "models": self.models,
            "sources": asdict(self.sources),
            "repeats": self.repeats,
            "sandbox": self.sandbox,
            "rules": asdict(self.rules),
        }
        if self.role_models:  # left out where there are none: digests of before stay what they are
            binding["role_models"] = dict(self.role_models)
        if self.protocol:
            binding["protocol"] = self.protocol
        text = json.dumps(binding, sort_keys=True, separators=(",", ":"), default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def folder(self) -> Path:
        """The job's folder."""
        return self.out_dir / self.name
