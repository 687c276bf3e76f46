"""Names become objects here: agents and sandboxes, ours and those of others, by the same way.

A name is an entry point of `mechagym.agents` or `mechagym.sandboxes`, or `package.module:Class`.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from anyio import CancelScope

from mechagym.agents.base import Agent, AgentFactory, WorksInBox
from mechagym.agents.installed.tools import Tool, Toolbox
from mechagym.cli.spelling import did_you_mean
from mechagym.config import DEFAULT, Settings
from mechagym.errors import ConfigError
from mechagym.llm.admission import Admission
from mechagym.llm.catalogue import Catalogue
from mechagym.llm.claude_login import ClaudeLogin
from mechagym.llm.credentials import Credentials
from mechagym.llm.kept import kept_lists, kept_prices
from mechagym.llm.names import ModelName
from mechagym.llm.price_table import PriceTable
from mechagym.llm.router.file import load_models
from mechagym.llm.tape import TapeWriter
from mechagym.records import now
from mechagym.run.access import Access
from mechagym.run.config import AgentChoice, JobConfig
from mechagym.sandbox.base import Probe, Sandbox
from mechagym.sandbox.detect import choose
from mechagym.tasks.model import Task

if TYPE_CHECKING:
    from mechagym.agents.installed.mounted import MountedAgent

AUTO = ("docker", "local")
"""The backends that `auto` tries, best first."""

UNISOLATED = "host"

UNSETTLED = "0"
"""The version of a program that was not looked for yet: a dry run fetches nothing."""

Kind = Literal["agent", "sandbox"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """An open backend, what its probe saw, and the better ones that are not usable here."""

    sandbox: Sandbox
    probe: Probe
    passed_over: tuple[Probe, ...] = ()


def names(kind: Kind) -> list[str]:
    """What is installed, sorted."""
    return sorted(_installed(kind))


def agent_factory(name: str) -> AgentFactory:
    """Find what makes an agent's trials. Raises ConfigError listing what there is."""
    return cast("AgentFactory", _named("agent", name))


def needs_model(name: str) -> bool:
    """Whether an agent cannot work without a model. Raises ConfigError for an unknown name."""
    return bool(getattr(agent_factory(name), "needs_model", False))


def make_agent(choice: AgentChoice, task: Task, settings: Settings) -> Agent:
    """Make one trial's agent. Raises ConfigError for an unknown name or option."""
    factory = agent_factory(choice.name)
    if getattr(factory, "tool", None) is None:
        return factory(task=task, options=choice.options)
    return cast("type[MountedAgent]", factory)(
        task=task,
        options=choice.options,
        toolbox=_toolbox(settings),
        version=choice.version or UNSETTLED,
    )


def agent_version(choice: AgentChoice) -> str:
    """The version that trials of this choice have: the one asked for, else the agent's own."""
    return choice.version or str(getattr(agent_factory(choice.name), "version", "0"))


async def with_tools(
    config: JobConfig, settings: Settings, tell: Callable[[str], None]
) -> JobConfig:
    """The config with the version of each installed program settled, and the programs at hand.

    `tell` hears of what takes long. Raises AgentSetupError.
    """
    box = _toolbox(settings)
    settled = []
    for choice in config.agents:
        tool: Tool | None = getattr(agent_factory(choice.name), "tool", None)
        version = await box.version(tool, choice.version) if tool else choice.version
        if tool and version:
            if not box.holds(tool, version):
                tell(f"fetching {tool.name} {version}, once for this machine")
            await box.have(tool, version)
        settled.append(replace(choice, version=version))
    return replace(config, agents=tuple(settled))


def _toolbox(settings: Settings) -> Toolbox:
    return Toolbox(settings.cache_dir / "tools")


def check_agents(config: JobConfig, tasks: Sequence[Task], settings: Settings) -> None:
    """Make each agent once and drop it: a wrong name or option is told before anything starts.

    Raises ConfigError.
    """
    _check_roles(config)
    for choice in config.agents:
        _check_version(choice)
        for task in tasks[:1]:
            agent = make_agent(choice, task, settings)
            for model in config.models:
                _check_dialect(choice.name, agent, model, settings)


def _check_version(choice: AgentChoice) -> None:
    if getattr(agent_factory(choice.name), "tool", None) is not None:
        return  # its program is fetched in the version that is asked for
    own = agent_version(replace(choice, version=None))
    if choice.version not in (None, own):
        raise ConfigError(
            f"agent {choice.name} is {own} here, not {choice.version}",
            remedy=f"leave the version out, or ask for {choice.name}@{own}",
        )


def _check_dialect(name: str, agent: Agent, model: str | None, settings: Settings) -> None:
    """An agent in a box speaks to its model as the model's provider does: nothing translates."""
    if model is None and getattr(agent, "needs_model", False):
        raise ConfigError(
            f"agent {name} works with a model, and none is named",
            remedy="name one with -m; `mechagym models` lists them",
        )
    if not isinstance(agent, WorksInBox) or model is None:
        return
    wire = settings.llm.providers[model.partition(":")[0]].wire
    if wire not in (*agent.dialects, "none"):
        fitting = [p.name for p in settings.llm.providers.values() if p.wire in agent.dialects]
        raise ConfigError(
            f"agent {name} speaks {' or '.join(agent.dialects)}, and {model} is reached by {wire}",
            remedy=f"take a model of {', '.join(fitting)}, or another agent",
        )


def _check_roles(config: JobConfig) -> None:
    """A model for a role that no agent of the job has would have no effect: refused."""
    known = {
        role
        for choice in config.agents
        for role in getattr(agent_factory(choice.name), "roles", ())
    }
    if unknown := sorted(config.role_models.keys() - known):
        who = ", ".join(choice.name for choice in config.agents)
        raise ConfigError(
            f"no agent of this job ({who}) has the role {', '.join(unknown)}",
            remedy=f"their roles: {', '.join(sorted(known)) or 'none'}; or give --model MODEL",
        )


def catalogue(settings: Settings) -> Catalogue:
    """What is known of models on this host: the user's file, kept lists, what we ship."""
    lists = kept_lists(settings.cache_dir / "models")
    return Catalogue.load(settings.config_dir / "catalogue.yaml", *lists)


def admission(settings: Settings) -> Admission:
    """What models there are to name today."""
    return Admission(
        catalogue=catalogue(settings),
        providers=settings.llm.providers,
        aliases=load_models(settings.config_dir / "models.yaml").aliases,
        today=now().date(),
    )


def prices(settings: Settings) -> PriceTable:
    """What models cost on this host: the project's file, the user's, kept lists, what we ship."""
    return PriceTable.load(
        Path("pricing.yaml"),
        settings.config_dir / "pricing.yaml",
        *kept_prices(settings.cache_dir / "models"),
        free=[name for name, p in settings.llm.providers.items() if p.price == "free"],
    )


def models_of(config: JobConfig) -> list[ModelName]:
    """The models that trials of the job have."""
    return [ModelName.of(model) for model in config.models if model]


def credentials(settings: Settings) -> Credentials:
    """The keys of this host, and the login of Claude Code where the settings allow it."""
    allowed = settings.llm.credential == "claude-code"
    login = ClaudeLogin(environ=settings.environ, home=Path.home()) if allowed else None
    return Credentials(environ=settings.environ, login=login)


@asynccontextmanager
async def open_access(
    config: JobConfig, settings: Settings, *, keys: Credentials, tape: TapeWriter | None = None
) -> AsyncIterator[Access | None]:
    """The gateway of a job and all behind it; None where no agent of it calls a model from a box.

    Raises ConfigError (no key, an unreadable file of prices), PriceUnknown.
    """
    callers = [a.name for a in config.agents if getattr(agent_factory(a.name), "dialects", ())]
    names = models_of(config)
    if not callers or not names:
        yield None
        return
    from mechagym.llm.gateway import open_gateway
    from mechagym.llm.stack import Models
    from mechagym.run.lending import GatewayAccess

    models = Models(
        settings=settings.llm,
        catalogue=catalogue(settings),
        prices=prices(settings),
        credentials=keys,
        allow_unpriced=config.allow_unpriced,
        tape=tape,
    )
    logins = [
        models.credentials.logs_in(models.provider(name), caller)
        for name, caller in product(names, callers)
    ]
    _check_limits(config, by_login=any(logins))
    if any(logins) and settings.llm.delivery == "mount":
        raise ConfigError(
            "a login cannot be mounted into boxes yet",
            remedy='leave `delivery` at "gateway": the login then stays outside of the box',
        )
    models.billed = not all(logins)
    for name, caller in product(names, callers):
        models.check(name, agent=caller)
    async with models, open_gateway(models) as gateway:
        yield GatewayAccess(models, gateway)


def _check_limits(config: JobConfig, *, by_login: bool) -> None:
    """Where no dollar is billed, a limit in dollars never acts: another one must be there."""
    limits = (config.budget, config.rules.trial_budget)
    if config.allow_unpriced and not any(b.tokens is not None for b in limits):
        raise ConfigError(
            "--allow-unpriced needs a limit in tokens beside it",
            remedy="add --set budget.tokens=N, for the whole job",
        )
    bound = any(limit is not None for b in limits for limit in (b.tokens, b.seconds, b.turns))
    in_dollars = any(b.usd is not None and b.usd_basis == "imputed" for b in limits)
    if by_login and not bound and not in_dollars:
        raise ConfigError(
            "a login of Claude Code bills no dollars, so no limit would ever stop this job",
            remedy="add --set budget.tokens=N, or count list prices: --set budget.usd=N"
            " --set budget.usd_basis=imputed",
            reason="no_limit",
        )


@asynccontextmanager
async def open_sandbox(
    name: str, settings: Settings, *, trusts_host: bool = False
) -> AsyncIterator[Chosen]:
    """A backend that is usable now: the one named, or with `auto` the first that is.

    `trusts_host`: the person allowed the backend that isolates nothing. Raises ConfigError,
    SandboxUnusable with each refusal's reason and remedy.
    """
    if name == UNISOLATED and not trusts_host:
        raise ConfigError(
            "the backend `host` isolates nothing: agents and tests run as you, on your files",
            remedy="if that is what you want, add --i-trust-this",
        )
    async with AsyncExitStack() as stack:
        candidates = [
            await stack.enter_async_context(made_sandbox(candidate, settings))
            for candidate in (AUTO if name == "auto" else (name,))
        ]
        sandbox, (*passed_over, probe) = await choose(candidates)
        yield Chosen(sandbox=sandbox, probe=probe, passed_over=tuple(passed_over))


@asynccontextmanager
async def made_sandbox(name: str, settings: Settings) -> AsyncIterator[Sandbox]:
    """A backend by name with this host's settings, not probed; closed at the end.

    Raises ConfigError for an unknown name.
    """
    make = _named("sandbox", name)
    sandbox: Sandbox = make(**_sandbox_settings(name, settings))
    try:
        yield sandbox
    finally:
        if close := getattr(sandbox, "aclose", None):
            with CancelScope(shield=True):
                await close()


def _sandbox_settings(name: str, settings: Settings) -> dict[str, object]:
    """What the built-in backends are told; those of others find their own way."""
    keep_bytes = int(settings.image_cache_gb * 1e9)
    match name:
        case "docker":
            cache = settings.cache_dir / "docker"
            return {"host": settings.docker_host, "cache": cache, "keep_bytes": keep_bytes}
        case "local" if settings.origins["cache_dir"] != DEFAULT:
            return {"cache": settings.cache_dir / "local", "keep_bytes": keep_bytes}
        case "local":
            return {"keep_bytes": keep_bytes}
        case _:
            return {}


def _installed(kind: Kind) -> dict[str, EntryPoint]:
    group = {"agent": "mechagym.agents", "sandbox": "mechagym.sandboxes"}[kind]
    return {point.name: point for point in entry_points(group=group)}


def _named(kind: Kind, name: str) -> Any:
    if ":" in name:
        return _imported(kind, name)
    installed = _installed(kind)
    if name not in installed:
        raise ConfigError(
            f"no {kind} is called {name!r}{did_you_mean(name, installed)}",
            remedy=f"there are: {', '.join(sorted(installed))}; or give package.module:Class",
        )
    point = installed[name]
    try:
        return point.load()
    except ImportError as error:
        raise ConfigError(
            f"{kind} {name}: {error}", remedy=_how_to_install(point, error)
        ) from error
    except AttributeError as error:
        raise ConfigError(f"{kind} {name}: {point.value} does not exist ({error})") from error


def _imported(kind: Kind, path: str) -> Any:
    module, _, attribute = path.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except ImportError as error:
        raise ConfigError(
            f"{kind} {path}: {error}",
            remedy="the module must be installed beside mechagym, or its folder be in PYTHONPATH",
        ) from error
    except AttributeError as error:
        there = [name for name in vars(import_module(module)) if not name.startswith("_")]
        raise ConfigError(
            f"{kind} {path}: {module} has no {attribute!r}{did_you_mean(attribute, there)}"
        ) from error


def _how_to_install(point: EntryPoint, error: ImportError) -> str:
    owner = point.dist.name if point.dist else "mechagym"
    if point.extras:
        return f"install its extra: pip install '{owner}[{','.join(point.extras)}]'"
    return f"{owner}, which brings it, lacks {error.name or 'a part'}: install it again"
