"""Values that a task takes from the host: `${VAR}` and `${VAR:-default}` in the verifier's
environment.
"""

import re
from collections.abc import Iterable, Mapping

from mechagym.errors import TaskRefused
from mechagym.tasks.model import Task
from mechagym.trajectory.redact import can_hide

PUBLIC = frozenset({"HOME", "HOSTNAME", "LANG", "LOGNAME", "PATH", "PWD", "SHELL", "TERM", "USER"})
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def resolve(raw: Mapping[str, str], host: Mapping[str, str], *, whose: str) -> dict[str, str]:
    """Fill in the host's values. Raises TaskRefused naming each variable that is not set."""
    missing = sorted(name for name in variables(raw.values()) if name not in host)
    if missing:
        raise TaskRefused(
            f"{whose} needs {', '.join(missing)} from the environment",
            remedy="set it and run again: " + " ".join(f"export {name}=…" for name in missing),
            reason="host_variable",
        )
    return {key: _VARIABLE.sub(lambda m: _value(m, host), text) for key, text in raw.items()}


def variables(texts: Iterable[str]) -> set[str]:
    """The names that have no default."""
    found = (match for text in texts for match in _VARIABLE.finditer(text))
    return {match[1] for match in found if match[2] is None}


def injected(tasks: Iterable[Task], host: Mapping[str, str]) -> dict[str, str]:
    """Every host value that a task asks for: taken for a secret wherever something is written.

    But for variables that everybody knows, and values that cannot be told from honest text.
    """
    texts = [
        text
        for task in tasks
        for env in (task.solution_env, *(step.verifier.env for step in task.steps))
        for text in env.values()
    ]
    names = {match[1] for text in texts for match in _VARIABLE.finditer(text)} - PUBLIC
    found = {name: host.get(name, "").strip() for name in sorted(names)}
    return {name: value for name, value in found.items() if can_hide(value)}


def _value(match: re.Match[str], host: Mapping[str, str]) -> str:
    default: str | None = match[2]
    if default is None:
        return host[match[1]]
    return host.get(match[1]) or default
