"""What a job may be told, by a job file and by flags: one shape for both, read into a JobConfig.

A flag wins over the file; `--set` wins over both. The keys of the file are the long flags of `run`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from mechagym.budget import Budget
from mechagym.cli.sources import sources_of
from mechagym.cli.written import faults_of, read_written
from mechagym.config import Settings
from mechagym.errors import ConfigError
from mechagym.records import new_id, now
from mechagym.run.config import AgentChoice, JobConfig, Pace, Rules, Sources


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AgentEntry(_Strict):
    """An agent: `oracle`, `codex@1.2`, or a table of the three."""

    name: str
    version: str | None = None
    options: dict[str, str] = Field(default_factory=dict)


class BudgetEntry(_Strict):
    """A budget: a number of dollars, or a table of limits."""

    usd: float | None = Field(default=None, ge=0)
    tokens: int | None = Field(default=None, ge=0)
    seconds: float | None = Field(default=None, ge=0)
    turns: int | None = Field(default=None, ge=0)
    usd_basis: Literal["billed", "imputed"] = "billed"

    def budget(self) -> Budget:
        """The frozen value."""
        return Budget(**self.model_dump())


class JobEntry(_Strict):
    """All that can be said of a job; what is not said has the default of JobConfig."""

    name: str | None = None
    sources: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    agents: tuple[AgentEntry, ...] = ()
    models: tuple[str, ...] = ()
    role_models: dict[str, str] = Field(default_factory=dict)
    repeats: int = 1
    protocol: Literal["none", "testgen-v2"] | None = None
    sandbox: str | None = None
    engine: Literal["local", "ray"] = "local"
    budget: BudgetEntry = BudgetEntry()
    trial_budget: BudgetEntry = BudgetEntry()
    allow_unpriced: bool = False
    timeout_multiplier: float = 1.0
    agent_timeout: float | None = Field(default=None, gt=0)
    verify: Literal["task", "pristine"] = "task"
    on_tamper: Literal["flag", "fail"] = "flag"
    base: Literal["image", "host"] = "image"
    force_build: bool = False
    require_limits: bool = False
    min_isolation: Literal["none", "namespace", "container", "vm"] = "none"
    concurrent: int | None = None
    image_builds: int = Field(default=1, ge=1)
    box_starts: int = Field(default=0, ge=0)
    verifiers: int = Field(default=0, ge=0)
    retries: int = 2

    @field_validator("agents", mode="before")
    @classmethod
    def _short_agents(cls, value: Any) -> Any:
        return [_agent(v) if isinstance(v, str) else v for v in _listed(value)]

    @field_validator("sources", "include", "exclude", "models", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return _listed(value)

    @field_validator("budget", "trial_budget", mode="before")
    @classmethod
    def _dollars(cls, value: Any) -> Any:
        return value if isinstance(value, Mapping | BudgetEntry) else {"usd": value}


def job_entry(file: Path | None, flags: Mapping[str, object], sets: Sequence[str]) -> JobEntry:
    """Read the file and lay flags (None: not given) and `a.b=c` over it.

    Raises ConfigError with file and line, or the flag.
    """
    data: dict[str, Any] = {}
    if file is not None:
        data = read_written(file, JobEntry).model_dump(exclude_unset=True)
        data["sources"] = [_beside(file, source) for source in data.get("sources", ())]
    data |= {name: value for name, value in flags.items() if value not in (None, ())}
    agent_options: dict[str, str] = {}
    for text in sets:
        path, value = _assignment(text)
        if path[0] == "agent" and len(path) > 1:
            agent_options[".".join(path[1:])] = value
        else:
            _put(data, path, value, text)
    try:
        entry = JobEntry.model_validate(data)
    except ValidationError as error:
        faults = "\n".join(what for _, what in faults_of(error, JobEntry))
        raise ConfigError(faults, remedy="see `mechagym run --help`") from error
    return _with_options(entry, agent_options)


def job_config(entry: JobEntry, settings: Settings) -> JobConfig:
    """The frozen config: what the entry says, else the settings, else the defaults."""
    return JobConfig(
        name=entry.name or fresh_name(_first_agent(entry)),
        sources=Sources(
            sources=tuple(map(_settled, sources_of(settings, entry.sources))),
            include=entry.include,
            exclude=entry.exclude,
        ),
        agents=tuple(
            AgentChoice(name=a.name, version=a.version, options=a.options) for a in entry.agents
        ),
        out_dir=settings.jobs_dir,
        models=entry.models or (None,),
        role_models=entry.role_models,
        repeats=entry.repeats,
        protocol=_protocol(entry, settings),
        sandbox=entry.sandbox or settings.sandbox,
        engine=entry.engine,
        budget=entry.budget.budget(),
        allow_unpriced=entry.allow_unpriced,
        rules=Rules(
            timeout_multiplier=entry.timeout_multiplier,
            agent_timeout_s=entry.agent_timeout,
            trial_budget=entry.trial_budget.budget(),
            verify=entry.verify,
            on_tamper=entry.on_tamper,
            base=entry.base,
            force_build=entry.force_build,
            require_limits=entry.require_limits,
            min_isolation=entry.min_isolation,
        ),
        pace=Pace(
            trials=entry.concurrent or settings.concurrent,
            image_builds=entry.image_builds,
            box_starts=entry.box_starts,
            verifiers=entry.verifiers,
            retries=entry.retries,
        ),
    )


def _protocol(entry: JobEntry, settings: Settings) -> str | None:
    """What the entry says, `none` too; else the settings."""
    said = entry.protocol or settings.protocol
    return None if said == "none" else said


def _beside(file: Path, source: str) -> str:
    """A path that a file says by a dot is meant from where the file stands."""
    return str(file.parent / source) if source.startswith(".") else source


def _settled(source: str) -> str:
    """A folder as an absolute path: a job is resumed from wherever one stands."""
    path = Path(source).expanduser()
    return str(path.absolute()) if path.exists() else source


def fresh_name(who: str) -> str:
    """When it began, what it is, and a word that tells it from one of the same second."""
    return f"{now():%Y%m%d-%H%M%S}-{who}-{new_id(4).lower()}"


def _first_agent(entry: JobEntry) -> str:
    return entry.agents[0].name.rpartition(":")[2] if entry.agents else "job"


def _agent(text: str) -> dict[str, str]:
    name, _, version = text.partition("@")
    return {"name": name, "version": version} if version else {"name": name}


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str | Mapping) else value


def _assignment(text: str) -> tuple[list[str], str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip("."):
        raise ConfigError(f"--set {text}: KEY=VALUE is expected, for example agent.script=do.yaml")
    return key.split("."), value


def _put(data: dict[str, Any], path: list[str], value: str, text: str) -> None:
    inner = data
    if path[0] in ("budget", "trial_budget") and len(path) > 1:
        given = data.get(path[0], {})
        data[path[0]] = given if isinstance(given, dict) else {"usd": given}
    for part in path[:-1]:
        inner = inner.setdefault(part, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {text}: `{part}` is a single value and has no parts")
    inner[path[-1]] = value


def _with_options(entry: JobEntry, options: Mapping[str, str]) -> JobEntry:
    """Give every agent of the job the options of `--set agent.KEY=VALUE`."""
    agents = tuple(
        agent.model_copy(update={"options": {**agent.options, **options}}) for agent in entry.agents
    )
    return entry.model_copy(update={"agents": agents})
