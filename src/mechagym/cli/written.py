"""Files that a person wrote (settings, jobs), in TOML or YAML.

Read strictly: what is not known is an error, and each fault is named by file, line and key.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from mechagym.cli.spelling import did_you_mean
from mechagym.errors import ConfigError
from mechagym.tasks.lines import line_of

M = TypeVar("M", bound=BaseModel)
Place = tuple[int | str, ...]
"""Where a value stands in a document, as pydantic writes it: `("budget", "usd")`."""


def read_written(path: Path, shape: type[M]) -> M:
    """Read a file into its model. Raises ConfigError with one line per fault: `file:line: what`."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    data = _parse(path, text)
    if not isinstance(data, Mapping):
        raise ConfigError(f"{path}: a table of `key: value` is expected, not {_kind(data)}")
    try:
        return shape.model_validate(data)
    except ValidationError as error:
        faults = [
            f"{path}:{_line_of(path, text, place) or 1}: {what}"
            for place, what in faults_of(error, shape)
        ]
        raise ConfigError("\n".join(faults)) from error


def faults_of(error: ValidationError, shape: type[BaseModel]) -> Iterator[tuple[Place, str]]:
    """Each fault's place and what is wrong with it, in words that name the key."""
    for fault in error.errors(include_url=False):
        place = fault["loc"]
        key = ".".join(str(part) for part in place)
        if fault["type"] == "extra_forbidden":
            known = _keys_at(shape, place[:-1])
            yield place, f"unknown key `{key}`{did_you_mean(str(place[-1]), known)}"
        else:
            what = fault["msg"].removeprefix("Value error, ")
            yield place, f"`{key}`: {what[:1].lower()}{what[1:]} (it is {fault['input']!r})"


def _parse(path: Path, text: str) -> Any:
    try:
        return tomllib.loads(text) if _is_toml(path) else yaml.safe_load(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        raise ConfigError(f"{path}:{line[1] if line else 1}: not TOML: {error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        raise ConfigError(f"{path}:{mark.line + 1 if mark else 1}: not YAML: {problem}") from error


def _is_toml(path: Path) -> bool:
    return path.suffix.lower() not in {".yaml", ".yml"}


def _kind(data: Any) -> str:
    return "an empty file" if data is None else f"a {type(data).__name__}"


def _keys_at(shape: Any, place: Place) -> list[str]:
    """The keys that the model knows at a place; lists, optionals and unions are looked through."""
    models = [shape]
    for part in place:
        fields = [m.model_fields[part] for m in models if part in getattr(m, "model_fields", {})]
        if isinstance(part, str) and fields:
            models = [m for field in fields for m in _models_in(field.annotation)]
    return [name for model in models for name in model.model_fields]


def _models_in(annotation: Any) -> list[Any]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]


def _line_of(path: Path, text: str, place: Place) -> int | None:
    """The line (from 1) where the value at `place` stands, or the nearest thing above it."""
    return line_of(text, place) if _is_toml(path) else _yaml_line(text, place)


def _yaml_line(text: str, place: Place) -> int | None:
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    line: int | None = None
    for part in place:
        if isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line
