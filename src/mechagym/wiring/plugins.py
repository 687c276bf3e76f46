"""Finds what a name stands for: an entry point of its kind's group, or `package.module:Class`."""

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from mechagym.cli.spelling import did_you_mean
from mechagym.errors import ConfigError

Kind = Literal["agent", "sandbox"]


def names(kind: Kind) -> list[str]:
    """What is installed, sorted."""
    return sorted(_installed(kind))


def named(kind: Kind, name: str) -> Any:
    """Load what a name stands for. Raises ConfigError: what there is, or what to install."""
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


def _installed(kind: Kind) -> dict[str, EntryPoint]:
    group = {"agent": "mechagym.agents", "sandbox": "mechagym.sandboxes"}[kind]
    return {point.name: point for point in entry_points(group=group)}


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
