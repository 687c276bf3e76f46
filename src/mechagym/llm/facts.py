"""What sources say of models, as it is written: in a `catalogue.yaml` or a kept list of a provider.

One shape for all of them: statements, each with who said it, strongest first.
"""

from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from mechagym.errors import ConfigError
from mechagym.llm.yaml_text import parse_yaml

Ability = Literal["tools", "schema", "images", "thinking", "cache"]


class Facts(BaseModel):
    """What one source says of one model; what it does not say is absent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    wire_name: str | None = None
    context_window: PositiveInt | None = None
    max_output: PositiveInt | None = None
    released_at: date | None = None
    deprecated_at: date | None = None
    retires_at: date | None = None
    replacement: str | None = None
    abilities: dict[Ability, bool] | None = None


class Statement(BaseModel):
    """One source, and what it says by id; `provider:*` is said of all models of a provider."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    models: dict[str, Facts] = Field(default_factory=dict)


class FactFile(BaseModel):
    """A whole file. `models` is a short way to write one statement whose source is the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    as_of: date | None = None
    models: dict[str, Facts] = Field(default_factory=dict)
    statements: tuple[Statement, ...] = ()


def read_facts(path: Path) -> tuple[Statement, ...]:
    """The statements of a file, none where it does not exist.

    Raises ConfigError naming the file and the place in it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    return _statements(str(path), text)


def shipped_facts() -> tuple[Statement, ...]:
    """What we ship."""
    text = files("mechagym.llm").joinpath("catalogue.yaml").read_text(encoding="utf-8")
    return _statements("catalogue.yaml", text)


def _statements(name: str, text: str) -> tuple[Statement, ...]:
    try:
        file = FactFile.model_validate(parse_yaml(text) or {})
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: not YAML: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigError(f"{name}: {place}: {first['msg']}") from error
    own = (Statement(source=name, models=file.models),) if file.models else ()
    return own + file.statements
