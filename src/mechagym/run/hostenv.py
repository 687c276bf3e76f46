"""Values of the host: those that a task or an agent's option asks for as `${VAR}` or
`${VAR:-default}`, and those that are secret.

A reference is what is kept of a job; its value is filled in where it is used and nowhere else.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from mechagym.errors import ConfigError, TaskRefused
from mechagym.run.config import AgentChoice, JobConfig
from mechagym.tasks.model import Task
from mechagym.trajectory.redact import can_hide

PUBLIC = frozenset({"HOME", "HOSTNAME", "LANG", "LOGNAME", "PATH", "PWD", "SHELL", "TERM", "USER"})
_SECRET_NAME = re.compile(
    r"(?:^|_)(?:API_?)?(?:KEY|TOKEN|SECRET|PASS(?:WORD|WD|PHRASE)|PAT)$", re.IGNORECASE
)
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def resolve(raw: Mapping[str, str], host: Mapping[str, str], *, whose: str) -> dict[str, str]:
    """Fill in the host's values. Raises TaskRefused naming each variable that is not set."""
    if missing := _unset(raw, host):
        raise TaskRefused(
            f"{whose} needs {', '.join(missing)} from the environment",
            remedy="set it and run again: " + " ".join(f"export {name}=…" for name in missing),
            reason="host_variable",
        )
    return _filled(raw, host)


def fill(choice: AgentChoice, host: Mapping[str, str]) -> AgentChoice:
    """Fill in the host's values in an agent's options. Raises ConfigError naming the unset."""
    if missing := _unset(choice.options, host):
        raise ConfigError(
            f"agent {choice.name}: its options need {', '.join(missing)} from the environment",
            remedy="set it and run again: " + " ".join(f"export {name}=…" for name in missing),
        )
    return replace(choice, options=_filled(choice.options, host))


def variables(texts: Iterable[str]) -> set[str]:
    """The names that have no default."""
    found = (match for text in texts for match in _VARIABLE.finditer(text))
    return {match[1] for match in found if match[2] is None}


def asked_for(config: JobConfig, tasks: Iterable[Task], host: Mapping[str, str]) -> dict[str, str]:
    """Every host value that a task or an agent's option asks for.

    They are taken for secrets wherever something is written, but for variables that everybody
    knows, and values that cannot be told from honest text.
    """
    texts = [
        *(text for agent in config.agents for text in agent.options.values()),
        *(
            text
            for task in tasks
            for env in (task.solution_env, *(step.verifier.env for step in task.steps))
            for text in env.values()
        ),
    ]
    names = {match[1] for text in texts for match in _VARIABLE.finditer(text)} - PUBLIC
    found = {name: host.get(name, "").strip() for name in sorted(names)}
    return {name: value for name, value in found.items() if can_hide(value)}


def named_secrets(host: Mapping[str, str]) -> dict[str, str]:
    """The host's values whose names say that they are secret: `…_KEY`, `…_TOKEN` and the like."""
    return {
        name: value for name, value in host.items() if _SECRET_NAME.search(name) and can_hide(value)
    }


def _unset(raw: Mapping[str, str], host: Mapping[str, str]) -> list[str]:
    return sorted(name for name in variables(raw.values()) if name not in host)


def _filled(raw: Mapping[str, str], host: Mapping[str, str]) -> dict[str, str]:
    return {key: _VARIABLE.sub(lambda m: _value(m, host), text) for key, text in raw.items()}


def _value(match: re.Match[str], host: Mapping[str, str]) -> str:
    default: str | None = match[2]
    if default is None:
        return host[match[1]]
    return host.get(match[1]) or default
