"""Names become objects here: agents and sandboxes, ours and those of others, by the same way.

A name is an entry point of `mechagym.agents` or `mechagym.sandboxes`, or `package.module:Class`.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, cast

from anyio import CancelScope

from mechagym.agents.base import Agent, AgentFactory
from mechagym.cli.spelling import did_you_mean
from mechagym.config import DEFAULT, Settings
from mechagym.errors import ConfigError
from mechagym.run.config import AgentChoice, JobConfig
from mechagym.sandbox.base import Probe, Sandbox
from mechagym.sandbox.detect import choose
from mechagym.tasks.model import Task

AUTO = ("docker", "local")
"""The backends that `auto` tries, best first."""

UNISOLATED = "host"

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


def make_agent(name: str, task: Task, options: Mapping[str, str]) -> Agent:
    """Make one trial's agent. Raises ConfigError for an unknown name or option."""
    return agent_factory(name)(task=task, options=options)


def agent_version(choice: AgentChoice) -> str:
    """The version that trials of this choice have: the one asked for, else the agent's own."""
    return choice.version or str(getattr(agent_factory(choice.name), "version", "0"))


def check_agents(config: JobConfig, tasks: Sequence[Task]) -> None:
    """Make each agent once and drop it: a wrong name or option is told before anything starts.

    Raises ConfigError.
    """
    for choice in config.agents:
        own = agent_version(replace(choice, version=None))
        if choice.version not in (None, own):
            raise ConfigError(
                f"agent {choice.name} is {own} here, not {choice.version}",
                remedy=f"leave the version out, or ask for {choice.name}@{own}",
            )
        for task in tasks[:1]:
            make_agent(choice.name, task, choice.options)


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
