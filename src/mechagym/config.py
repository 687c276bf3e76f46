"""What holds on this machine: the only place where the environment is read.

A setting comes from the first of: a flag, `MECHAGYM_<NAME>`, `./mechagym.toml`, the user's
`~/.config/mechagym/settings.toml`, its default. Where it came from is kept beside it.
"""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
)

from mechagym.cli import llm_settings
from mechagym.cli.llm_settings import LlmTable
from mechagym.cli.spelling import did_you_mean
from mechagym.cli.written import faults_of, read_written
from mechagym.errors import ConfigError
from mechagym.llm.settings import LlmSettings
from mechagym.sandbox.eviction import IMAGE_CACHE_BYTES

PREFIX = "MECHAGYM_"
PROJECT_FILE = "mechagym.toml"
WELL_KNOWN_TASKS = "~/code/terminal-bench-2"
DEFAULT = "default"


class Written(BaseModel):
    """What a settings file, the variables or the flags may say; every key is optional.

    `tasks` is a dataset: folder, `git+URL` or name; `registries` are files that names are looked
    up in. `concurrent` is the number of trials at once. `image_cache_gb`: what the images of each
    backend may take on disk, in gigabytes; the least recently used of those that we made go first.
    `protocol`: by what the tasks of every job are wrapped.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    data_dir: Path | None = None
    cache_dir: Path | None = None
    jobs_dir: Path | None = None
    store: str | None = None
    sandbox: str | None = None
    tasks: str | None = None
    registries: tuple[Path, ...] | None = None
    docker_host: str | None = None
    concurrent: PositiveInt | None = None
    image_cache_gb: PositiveFloat | None = None
    protocol: Literal["none", "testgen-v2"] | None = None
    llm: LlmTable | None = None

    @field_validator("registries", mode="before")
    @classmethod
    def _as_in_path(cls, value: object) -> object:
        return value.split(os.pathsep) if isinstance(value, str) else value


PATHS = frozenset({"data_dir", "cache_dir", "jobs_dir"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """How to write for a person: `width` in columns; `live`: stderr can be redrawn.

    `color` says that colours are not unwanted; a stream must still be a terminal to get them.
    """

    width: int = 80
    live: bool = False
    color: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings with their values found. `origins` says by name where each came from.

    `environ` is the host's environment, for what a task asks of it by name (`${VAR}`); never shown.
    """

    data_dir: Path
    cache_dir: Path
    jobs_dir: Path
    store: str
    sandbox: str
    tasks: str | None
    registries: tuple[Path, ...]
    docker_host: str | None
    concurrent: int
    image_cache_gb: float
    protocol: str | None
    llm: LlmSettings
    config_dir: Path
    terminal: Terminal
    origins: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)


def load(flags: Mapping[str, object] | None = None) -> Settings:
    """Find every setting. `flags` are those of the command line, None where not given.

    Raises ConfigError naming the file and line, the variable or the flag.
    """
    environ = dict(os.environ)
    found: dict[str, Any] = {}
    origins: dict[str, str] = {}
    tables: list[LlmTable] = []
    for origin, values in _layers(flags or {}, environ):
        if table := values.pop("llm"):
            tables.append(table)
        for name, value in values.items():
            if value is not None and name not in found:
                found[name], origins[name] = value, origin
    for name, (origin, value) in _defaults(found, environ).items():
        if name not in found:
            found[name], origins[name] = value, origin
    return Settings(
        **found,
        origins=origins,
        environ=environ,
        llm=llm_settings.llm_settings(tables, environ),
        config_dir=user_file(environ).parent,
        terminal=_terminal(environ),
        warnings=tuple(_unknown_variables(environ)),
    )


def data_dir() -> Path:
    """Where records and crash reports go when the settings themselves cannot be read."""
    told = os.environ.get(f"{PREFIX}DATA_DIR")
    return Path(told).expanduser() if told else _xdg(os.environ, "DATA", ".local/share")


def terminal() -> Terminal:
    """How to write when the settings themselves cannot be read."""
    return _terminal(os.environ)


def user_file(environ: Mapping[str, str]) -> Path:
    """The user's settings file."""
    return _xdg(environ, "CONFIG", ".config") / "settings.toml"


def _layers(
    flags: Mapping[str, object], environ: Mapping[str, str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each source with its name, strongest first."""
    variables: dict[str, object] = {
        name: value
        for name in Written.model_fields.keys() - {"llm"}
        if (value := environ.get(f"{PREFIX}{name.upper()}"))
    }
    variables |= {"llm": llm_settings.variables_of(environ)}
    yield "flag", _checked(flags, lambda name: f"--{name.replace('_', '-')}")
    yield "environment", _checked(variables, lambda name: f"{PREFIX}{name.upper()}")
    for path in (Path(PROJECT_FILE), user_file(environ)):
        if path.is_file():
            yield str(path), _rooted(dict(read_written(path, Written)), path.parent)


def _checked(values: Mapping[str, object], called: Any) -> dict[str, Any]:
    """Values that came as text, in their types. `called` gives the name that the person used."""
    try:
        return _rooted(dict(Written.model_validate(values)), Path())
    except ValidationError as error:
        faults = [
            f"{called('__'.join(map(str, place)))}: {what}"
            for place, what in faults_of(error, Written)
        ]
        raise ConfigError("\n".join(faults)) from error


def _rooted(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Make paths absolute: `~` is the home, the relative stands beside the file that says it."""
    for name in PATHS:
        if values[name] is not None:
            values[name] = _rooted_path(values[name], folder)
    if values["registries"] is not None:
        values["registries"] = tuple(_rooted_path(p, folder) for p in values["registries"])
    if values["llm"] is not None:
        values["llm"] = llm_settings.rooted(values["llm"], folder)
    tasks = values["tasks"]
    if tasks and tasks.startswith((".", "~")):
        values["tasks"] = str(_rooted_path(Path(tasks), folder))
    return values


def _rooted_path(path: Path, folder: Path) -> Path:
    return (folder / path.expanduser()).absolute()


def _defaults(found: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, tuple[str, Any]]:
    """What holds where nobody said anything; some of it depends on what was said."""
    data = found.get("data_dir") or _xdg(environ, "DATA", ".local/share")
    tasks = Path(WELL_KNOWN_TASKS).expanduser()
    engine = environ.get("DOCKER_HOST") or None
    return {
        "data_dir": (DEFAULT, data),
        "cache_dir": (DEFAULT, _xdg(environ, "CACHE", ".cache")),
        "jobs_dir": (DEFAULT, Path("jobs").absolute()),
        "store": (DEFAULT, f"sqlite:///{data / 'mechagym.db'}"),
        "sandbox": (DEFAULT, "auto"),
        "tasks": (WELL_KNOWN_TASKS, str(tasks)) if tasks.is_dir() else (DEFAULT, None),
        "registries": (DEFAULT, ()),
        "docker_host": ("DOCKER_HOST" if engine else DEFAULT, engine),
        "concurrent": (DEFAULT, 4),
        "image_cache_gb": (DEFAULT, IMAGE_CACHE_BYTES / 1e9),
        "protocol": (DEFAULT, None),
    }


def _xdg(environ: Mapping[str, str], kind: str, below_home: str) -> Path:
    told = environ.get(f"XDG_{kind}_HOME", "")
    base = Path(told) if Path(told).is_absolute() else Path.home() / below_home
    return base / "mechagym"


def _terminal(environ: Mapping[str, str]) -> Terminal:
    dumb = environ.get("TERM") == "dumb"
    return Terminal(
        width=shutil.get_terminal_size((80, 24)).columns,
        live=sys.stderr.isatty() and not dumb,
        color=not dumb and not environ.get("NO_COLOR"),
    )


def _unknown_variables(environ: Mapping[str, str]) -> Iterator[str]:
    names = Written.model_fields.keys() - {"llm"}
    known = {f"{PREFIX}{name.upper()}" for name in names} | llm_settings.VARIABLES.keys()
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known:
            yield f"{name} is not a setting and has no effect{did_you_mean(name, known)}"
