"""What is known of models: limits, dates, abilities, each with who said so. Unknown is None.

The first source that gives a field wins: the user's `catalogue.yaml`, the providers' kept lists,
the shipped `catalogue.yaml`, the price library.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from mechagym.errors import ConfigError
from mechagym.llm import price_library
from mechagym.llm.facts import Facts, Statement, read_facts, shipped_facts
from mechagym.llm.names import ModelName, did_you_mean
from mechagym.llm.providers import ALSO_AT, Provider

WARN_DAYS = 30
_DATE = re.compile(r"[-@](20\d{6}|20\d\d-\d\d-\d\d)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """A model. `wire_name` is what the provider is told; `sources` says by field who gave it.

    `replacement` is the id to take instead once this one is retired. `abilities`: `tools`,
    `schema`, `images`, `thinking`, `cache`; absent where nobody said.
    """

    id: ModelName
    wire_name: str
    context_window: int | None = None
    max_output: int | None = None
    released_at: date | None = None
    deprecated_at: date | None = None
    retires_at: date | None = None
    replacement: str | None = None
    abilities: Mapping[str, bool] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def provider(self) -> str:
        """The name of its provider."""
        return self.id.provider


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """All models that are known by name. A key `provider:*` is about all of a provider's."""

    models: Mapping[ModelName, ModelInfo] = field(default_factory=dict)

    @classmethod
    def load(cls, *paths: Path) -> "Catalogue":
        """Lay the files that exist over what we ship, the first one on top. Raises ConfigError."""
        said = [statement for path in paths for statement in read_facts(path)]
        return cls(models=_merged([*said, *shipped_facts()]))

    def find(self, name: ModelName) -> ModelInfo:
        """What is known of a model; of an unknown one only its name.

        A name with a date behind it is its model as of that day.
        """
        found = (
            self.models.get(name)
            or self._dated(name)
            or self._any_of(name.provider)
            or ModelInfo(id=name, wire_name=name.name)
        )
        if found.id != name:
            found = replace(found, id=name, wire_name=name.name)
        if found.context_window is None and (window := price_library.context_window(name)):
            sources = {**found.sources, "context_window": "genai-prices"}
            found = replace(found, context_window=window, sources=sources)
        return found

    def knows(self, name: ModelName) -> bool:
        """Whether any source names it."""
        if name in self.models or self._dated(name):
            return True
        listed = _priced(name.provider)
        return name.name in listed or undated(name.name) in listed

    def ids(self) -> list[str]:
        """Every known id, sorted."""
        listed = {ModelName(p, name) for p in price_library.LISTED for name in _priced(p)}
        return sorted(str(name) for name in listed | self.models.keys() if name.name != "*")

    def suggestions(self, today: date) -> list[str]:
        """The ids to suggest: none that is retired, and each service under one name alone."""
        twice = tuple(f"{provider}:" for provider in ALSO_AT.values())
        gone = {str(name) for name, info in self.models.items() if _is_retired(info, today)}
        return [name for name in self.ids() if name not in gone and not name.startswith(twice)]

    def admit(self, name: ModelName, provider: Provider, *, today: date) -> str | None:
        """Let a model be used today; gives a warning where it will soon be retired.

        Raises ConfigError for a retired one, naming what replaces it, and for an unknown one of a
        provider that has no others.
        """
        if provider.closed and not self.knows(name):
            raise ConfigError(
                f"{name}: no such model is known",
                remedy=f"{did_you_mean(str(name), self.suggestions(today))}; a new one is found by"
                f" `mechagym models --refresh --provider {name.provider}`",
                reason="model_unknown",
            )
        info = self.find(name)
        if info.retires_at is None:
            return None
        instead = self.replacement(info, today=today)
        take = f"take {instead}" if instead else "`mechagym models` lists the others"
        if _is_retired(info, today):
            raise ConfigError(
                f"{name} was retired on {info.retires_at}", remedy=take, reason="model_retired"
            )
        if (info.retires_at - today).days <= WARN_DAYS:
            return f"{name} will be retired on {info.retires_at}: {take}"
        return None

    def replacement(self, info: ModelInfo, *, today: date) -> str | None:
        """The id that replaces a model; one that is itself retired is passed over for its own."""
        seen = {str(info.id)}
        while (instead := info.replacement) and instead not in seen:
            seen.add(instead)
            provider, _, name = instead.partition(":")
            info = self.find(ModelName(provider, name))
            if not _is_retired(info, today):
                return instead
        return None

    def _dated(self, name: ModelName) -> ModelInfo | None:
        plain = undated(name.name)
        return self.models.get(replace(name, name=plain)) if plain != name.name else None

    def _any_of(self, provider: str) -> ModelInfo | None:
        return self.models.get(ModelName(provider, "*"))


def _is_retired(info: ModelInfo, today: date) -> bool:
    return info.retires_at is not None and info.retires_at <= today


def undated(name: str) -> str:
    """The name without the date behind it, if there is one."""
    return _DATE.sub("", name)


def _priced(provider: str) -> list[str]:
    """What the price library lists; other makers' models at Google answer at another address."""
    names = price_library.listed_ids(provider)
    return [name for name in names if provider != "google" or not name.startswith("claude")]


def _merged(statements: Iterable[Statement]) -> dict[ModelName, ModelInfo]:
    """Field by field, the first statement that gives one counts."""
    fields: dict[ModelName, dict[str, Any]] = {}
    sources: dict[ModelName, dict[str, str]] = {}
    for statement in statements:
        for model, facts in statement.models.items():
            for name in _names(model):
                _lay(facts, fields.setdefault(name, {}), sources.setdefault(name, {}), statement)
    return {
        name: ModelInfo(**{"id": name, "wire_name": name.name, **said}, sources=sources[name])
        for name, said in fields.items()
    }


def _names(model: str) -> list[ModelName]:
    provider, _, name = model.partition(":")
    also = [ModelName(ALSO_AT[provider], name)] if provider in ALSO_AT else []
    return [ModelName(provider, name), *also]


def _lay(
    facts: Facts, fields: dict[str, Any], sources: dict[str, str], statement: Statement
) -> None:
    for key, value in facts.model_dump(exclude_none=True).items():
        if key not in fields:
            fields[key] = value
            sources[key] = statement.source
