"""Makes agents from what a person chose, and tells a wrong choice before anything starts."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, cast

from mechagym.agents.base import Agent, AgentFactory, WorksInBox
from mechagym.agents.installed.tools import Tool, Toolbox
from mechagym.config import Settings
from mechagym.errors import ConfigError
from mechagym.llm.names import ModelName
from mechagym.run.config import AgentChoice, JobConfig
from mechagym.tasks.model import Task
from mechagym.wiring.plugins import named

if TYPE_CHECKING:
    from mechagym.agents.installed.mounted import MountedAgent
    from mechagym.agents.map.agent import MapAgent
    from mechagym.testgen.types import TestGenConfig

UNSETTLED = "0"
"""The version of a program that was not looked for yet: a dry run fetches nothing."""


def agent_factory(name: str) -> AgentFactory:
    """Find what makes an agent's trials. Raises ConfigError listing what there is."""
    return cast("AgentFactory", named("agent", name))


def needs_model(name: str) -> bool:
    """Whether an agent cannot work without a model. Raises ConfigError for an unknown name."""
    return bool(getattr(agent_factory(name), "needs_model", False))


def calls_models(name: str) -> bool:
    """Whether an agent calls models: from its box in a dialect, or from our process in roles."""
    factory = agent_factory(name)
    return bool(getattr(factory, "dialects", ()) or getattr(factory, "roles", ()))


def make_agent(choice: AgentChoice, task: Task, settings: Settings) -> Agent:
    """Make one trial's agent. Raises ConfigError for an unknown name or option."""
    factory = agent_factory(choice.name)
    if getattr(factory, "takes_checks", False):
        from mechagym.testgen.port import GeneratedChecks

        planner = cast("type[MapAgent]", factory)
        checks = GeneratedChecks(config_of=partial(_testgen_config, settings))
        return planner(task=task, options=choice.options, checks=checks)
    if getattr(factory, "tool", None) is None:
        return factory(task=task, options=choice.options)
    return cast("type[MountedAgent]", factory)(
        task=task,
        options=choice.options,
        toolbox=_toolbox(settings),
        version=choice.version or UNSETTLED,
    )


async def _testgen_config(settings: Settings, digest: str) -> "TestGenConfig":
    """The config of test generation that an agent's option names; none: as it is shipped."""
    from mechagym.store import Store
    from mechagym.testgen.config import config_of
    from mechagym.testgen.types import TestGenConfig

    if not digest:
        return TestGenConfig()
    async with Store.open(settings.store) as store:
        return config_of((await store.testgen.config(digest)).body)


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


def _toolbox(settings: Settings) -> Toolbox:
    return Toolbox(settings.cache_dir / "tools")


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
    providers = settings.llm.providers
    provider = providers[ModelName.of(model).provider]
    if provider.dialect_with(agent.dialects) is None:
        fitting = [p.name for p in providers.values() if p.dialect_with(agent.dialects)]
        raise ConfigError(
            f"agent {name} speaks {' or '.join(agent.dialects)},"
            f" and {model} is reached by {provider.wire}",
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
