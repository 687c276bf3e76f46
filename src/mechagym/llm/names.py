"""How a model is named: `provider:name`, or a bare word that is an alias of one.

A name that is read names a known provider; whether the model exists is the catalogue's to say.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Self

from mechagym.errors import ConfigError

SUGGESTED = 3


@dataclass(frozen=True, slots=True, order=True)
class ModelName:
    """A model of a provider. `name` may hold colons: `ollama:qwen3:8b` splits at the first."""

    provider: str
    name: str

    @classmethod
    def of(cls, full_id: str) -> Self:
        """Read what `str` gives; what a person wrote is read by `read_model`."""
        provider, _, name = full_id.partition(":")
        return cls(provider, name)

    def __str__(self) -> str:
        return f"{self.provider}:{self.name}"


def read_model(
    text: str,
    *,
    aliases: Mapping[str, str],
    known: Collection[str],
    providers: Collection[str],
) -> ModelName:
    """Read what a person wrote. `known` are ids to suggest from, as `provider:name`.

    Raises ConfigError naming the three nearest ids.
    """
    provider, colon, name = aliases.get(text, text).partition(":")
    if colon and name and provider in providers:
        return ModelName(provider, name)
    if colon and name:
        problem = f"{text!r}: no provider is called {provider!r}"
    else:
        problem = f"{text!r} is no model: it must be provider:name, or one of the aliases"
    raise ConfigError(problem, remedy=did_you_mean(text, [*known, *aliases]))


def did_you_mean(text: str, known: Iterable[str]) -> str:
    """Name the three ids that are nearest, and where all of them are listed."""
    listed = "`mechagym models` lists all"
    near = nearest(text, known)
    return f"nearest: {', '.join(near)}; {listed}" if near else listed


def nearest(text: str, known: Iterable[str]) -> list[str]:
    """The three ids most like a text, best first.

    An id counts by its whole or, for a text without provider, by its name alone.
    """
    matcher = SequenceMatcher(b=text.casefold(), autojunk=False)

    def likeness(candidate: str) -> float:
        name = candidate if ":" in text else candidate.partition(":")[2] or candidate
        matcher.set_seq1(name.casefold())
        return matcher.ratio()

    return sorted(dict.fromkeys(known), key=likeness, reverse=True)[:SUGGESTED]
