"""What is known of models: limits, dates, abilities, each with who said so. Unknown is None.

The first source that gives a field wins: the user's `catalogue.yaml`, the provider's cached list,
the shipped `catalogue.yaml`, the price library.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from mechagym.llm.names import ModelName


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """A model. `wire_name` is what the provider is told; `sources` says by field who gave it.

    `replacement` is the id to take instead once this one is retired. `abilities`: `tools`,
    `schema`, `images`, `thinking`, `cache`; None where nobody said.
    """

    id: ModelName
    wire_name: str
    context_window: int | None = None
    max_output: int | None = None
    released_at: date | None = None
    deprecated_at: date | None = None
    retires_at: date | None = None
    replacement: str | None = None
    abilities: frozenset[str] | None = None
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def provider(self) -> str:
        """The name of its provider."""
        return self.id.provider


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """All models that are known by name."""

    models: Mapping[ModelName, ModelInfo] = field(default_factory=dict)

    def find(self, name: ModelName) -> ModelInfo:
        """What is known of a model; of an unknown one only its name."""
        return self.models.get(name) or ModelInfo(id=name, wire_name=name.name)

    def ids(self) -> list[str]:
        """Every known id, sorted."""
        return sorted(str(name) for name in self.models)
