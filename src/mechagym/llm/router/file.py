"""`models.yaml`: aliases, and which models stand for which role, complexity, risk and category.

The first file that exists counts, whole; only the shipped aliases lie under its own. It is read
once and known by its hash.
"""

import hashlib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    model_validator,
)

from mechagym.errors import ConfigError
from mechagym.llm.yaml_text import parse_yaml

Role = Literal[
    "builder",
    "auditor",
    "auditor_2",
    "judge",
    "planner",
    "doctor",
    "decomposer",
    "actor",
    "evaluator",
    "testgen",
    "proposer",
]
Complexity = Literal["low", "medium", "high"]
Policy = Literal["best_first", "progressive", "cheap_first"]
Chain = tuple[str, ...]
RoleTable = dict[Role, Chain]

ROLES: tuple[Role, ...] = get_args(Role)
PLAIN = ("policy", "escalate_after", "never_fallback")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Category(_Strict):
    """A kind of work with its own models. `escalate_after`: so many attempts before the next."""

    policy: Policy | None = None
    escalate_after: PositiveInt = 1
    never_fallback: bool = False
    roles: RoleTable = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _roles_stand_beside(cls, value: Any) -> Any:
        """In the file the roles are keys like the others."""
        if not isinstance(value, Mapping):
            return value
        plain = {key: value[key] for key in PLAIN if key in value}
        return plain | {"roles": {k: v for k, v in value.items() if k not in PLAIN}}


class Fallback(_Strict):
    """What is taken when the chosen provider cannot be: by category, else the default."""

    default: Chain = ()
    categories: dict[str, Chain] = Field(default_factory=dict)


class Quota(_Strict):
    """What a provider may be used for. Over `soft_ratio` of a limit it is passed over."""

    weekly_tokens: PositiveInt | None = None
    daily_tokens: PositiveInt | None = None
    soft_ratio: float = Field(default=0.8, gt=0, le=1)
    enabled: bool = True


class Limits(_Strict):
    """Limits of a model that go before those of the catalogue."""

    context_tokens: PositiveInt | None = None
    max_output_tokens: PositiveInt | None = None


class ModelsFile(_Strict):
    """The file as it is written."""

    version: Literal[1]
    aliases: dict[str, str] = Field(default_factory=dict)
    complexity: dict[Complexity, RoleTable] = Field(default_factory=dict)
    high_risk: RoleTable = Field(default_factory=dict)
    categories: dict[str, Category] = Field(default_factory=dict)
    fallback: Fallback = Fallback()
    providers: dict[str, Quota] = Field(default_factory=dict)
    limits: dict[str, Limits] = Field(default_factory=dict)
    temperature: dict[Role, float] = Field(default_factory=dict)
    sha256: str = ""


def load_models(*paths: Path) -> ModelsFile:
    """Read the first file that exists, else the shipped one.

    Raises ConfigError naming the file and the place in it.
    """
    shipped = _parsed("models.yaml", _shipped())
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        return shipped
    try:
        own = _parsed(str(path), path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    return own.model_copy(update={"aliases": {**shipped.aliases, **own.aliases}})


def _shipped() -> str:
    return files("mechagym.llm.router").joinpath("models.yaml").read_text(encoding="utf-8")


def _parsed(name: str, text: str) -> ModelsFile:
    try:
        file = ModelsFile.model_validate(parse_yaml(text))
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: not YAML: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigError(f"{name}: {place}: {first['msg']}") from error
    return file.model_copy(update={"sha256": hashlib.sha256(text.encode()).hexdigest()})
