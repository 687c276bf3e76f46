"""Values that a task takes from the host: `${VAR}` and `${VAR:-default}` in the verifier's
environment.
"""

import re
from collections.abc import Iterable, Mapping

from mechagym.errors import TaskRefused
from mechagym.tasks.model import Task

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
    """Every host value that a task asks for: a secret to be redacted wherever something is
    written.
    """
    texts = [text for task in tasks for step in task.steps for text in step.verifier.env.values()]
    names = {match[1] for text in texts for match in _VARIABLE.finditer(text)}
    return {name: host[name] for name in sorted(names) if host.get(name)}


def _value(match: re.Match[str], host: Mapping[str, str]) -> str:
    default: str | None = match[2]
    if default is None:
        return host[match[1]]
    return host.get(match[1]) or default
