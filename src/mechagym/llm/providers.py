"""The services that models are reached at. A provider is data: a new one needs no code."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

Wire = Literal["anthropic", "openai-chat", "openai-responses", "google", "none"]
"""What is spoken with a provider. `none`: nothing is, the model lives in this process."""

Dialect = Literal["anthropic", "openai-chat", "openai-responses"]
"""What a program in a box can speak with a model: what the gateway passes on."""

Kind = Literal["anthropic", "openai", "google", "openrouter", "ollama", "none"]
"""Whose list of models a provider has; `none`: no list, any name may be asked for."""


REPLAY, SCRIPTED = "replay", "scripted"
"""The providers whose models say what a tape or a script has them say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One service. `base_url` None: it must be given before a model of it can be called.

    `key_env`, `key_file` and `key_command` say where its key is found; `needs_key` False: it may
    be called without. `closed`: only models that the catalogue knows exist. `max_concurrency`
    None: as the pace finds. `price` `free`: its calls cost nothing.
    """

    name: str
    wire: Wire
    kind: Kind = "none"
    base_url: str | None = None
    key_env: tuple[str, ...] = ()
    key_file: Path | None = None
    key_command: tuple[str, ...] = ()
    needs_key: bool = True
    closed: bool = False
    streaming: bool = True
    max_concurrency: int | None = None
    price: Literal["free", "table"] = "table"
    headers: Mapping[str, str] = field(default_factory=dict)
    first_output_s: float = 120.0
    timeout_s: float = 600.0

    def answers(self, dialect: Dialect) -> bool:
        """Whether a program may speak it with this provider: nothing is translated.

        Who speaks responses speaks chat too, as OpenAI does; a tape or a script answers as asked.
        """
        also = self.wire == "openai-responses" and dialect == "openai-chat"
        return self.wire in (dialect, "none") or also

    def dialect_with(self, spoken: Sequence[Dialect]) -> Dialect | None:
        """What a program that speaks these, best first, shall speak: the provider's own wire where
        it can. None: they have no dialect in common.
        """
        shared = [dialect for dialect in spoken if self.answers(dialect)]
        return min(shared, key=lambda dialect: dialect != self.wire, default=None)


_ALL = (
    Provider(
        name="anthropic",
        wire="anthropic",
        kind="anthropic",
        base_url="https://api.anthropic.com",
        key_env=("ANTHROPIC_API_KEY",),
        closed=True,
    ),
    Provider(
        name="openai",
        wire="openai-responses",
        kind="openai",
        base_url="https://api.openai.com/v1",
        key_env=("OPENAI_API_KEY",),
        closed=True,
    ),
    Provider(
        name="openai-chat",
        wire="openai-chat",
        kind="openai",
        base_url="https://api.openai.com/v1",
        key_env=("OPENAI_API_KEY",),
        closed=True,
    ),
    Provider(
        name="google",
        wire="google",
        kind="google",
        base_url="https://generativelanguage.googleapis.com",
        key_env=("GOOGLE_API_KEY", "GEMINI_API_KEY"),
        closed=True,
    ),
    Provider(
        name="openrouter",
        wire="openai-chat",
        kind="openrouter",
        base_url="https://openrouter.ai/api/v1",
        key_env=("OPENROUTER_API_KEY",),
        closed=True,
    ),
    Provider(
        name="ollama",
        wire="openai-chat",
        kind="ollama",
        base_url="http://127.0.0.1:11434/v1",
        needs_key=False,
        max_concurrency=4,
        price="free",
        first_output_s=300.0,
    ),
    Provider(
        name="vllm",
        wire="openai-chat",
        kind="openai",
        key_env=("VLLM_API_KEY",),
        needs_key=False,
        price="free",
    ),
    Provider(
        name="fm",
        wire="openai-chat",
        kind="openai",
        base_url="http://127.0.0.1:11435/v1",
        needs_key=False,
        streaming=False,
        max_concurrency=1,
        price="free",
        first_output_s=120.0,
        timeout_s=120.0,
    ),
    Provider(name=REPLAY, wire="none", needs_key=False, price="free"),
    Provider(name=SCRIPTED, wire="none", needs_key=False, price="free"),
)

SHIPPED: Mapping[str, Provider] = MappingProxyType({provider.name: provider for provider in _ALL})
"""The providers that every installation has, by name."""

ALSO_AT: Mapping[str, str] = MappingProxyType({"openai": "openai-chat"})
"""Services that are reached over two wires: what is said of the one holds for the other."""
