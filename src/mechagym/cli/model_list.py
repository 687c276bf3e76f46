"""What `mechagym models` lists: the catalogue beside prices and keys; and the lists asked anew."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from fnmatch import fnmatchcase
from functools import partial

import anyio
import httpx2

from mechagym import wiring
from mechagym.cli.spelling import did_you_mean
from mechagym.config import Settings
from mechagym.errors import ConfigError, PriceUnknown
from mechagym.llm.catalogue import ModelInfo
from mechagym.llm.credentials import Credentials, has_key
from mechagym.llm.kept import keep, keep_prices
from mechagym.llm.list_prices import openrouter_prices
from mechagym.llm.listing import entries_of, facts_of
from mechagym.llm.names import ModelName
from mechagym.llm.price_table import PriceTable
from mechagym.llm.prices import Price
from mechagym.llm.providers import ALSO_AT, Provider
from mechagym.records import now

LONG_LISTS = frozenset({"openrouter", *ALSO_AT.values()})
"""Providers listed when they are asked for: very many models, or those of another one again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which models to list."""

    pattern: str | None
    provider: str | None

    @classmethod
    def of(cls, settings: Settings, pattern: str | None, provider: str | None) -> "Wanted":
        """Check the provider's name. Raises ConfigError."""
        known = settings.llm.providers
        if provider is not None and provider not in known:
            raise ConfigError(
                f"no provider is called {provider!r}{did_you_mean(provider, known)}",
                remedy=f"there are: {', '.join(known)}",
            )
        return cls(pattern=pattern.lower() if pattern else None, provider=provider)

    def takes(self, name: ModelName, info: ModelInfo, today: date) -> bool:
        """Whether a model is to be listed."""
        if self.provider not in (None, name.provider):
            return False
        if self.pattern is not None:
            text = str(name).lower()
            return self.pattern in text or fnmatchcase(text, self.pattern)
        if info.retires_at is not None and info.retires_at <= today:
            return False
        return self.provider is not None or name.provider not in LONG_LISTS


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """A line of the list. `price` None: it is unknown. `has_key`: it can be called as it stands."""

    info: ModelInfo
    price: Price | None
    has_key: bool


def rows(settings: Settings, wanted: Wanted) -> list[ModelRow]:
    """The models wanted, by id; nothing is asked of the network."""
    catalogue, table = wiring.catalogue(settings), wiring.prices(settings)
    at = now()
    found: list[ModelRow] = []
    for text in catalogue.ids():
        name = _name(text)
        provider = settings.llm.providers.get(name.provider)
        info = catalogue.find(name)
        if provider is not None and wanted.takes(name, info, at.date()):
            ready = has_key(provider, settings.environ)
            found.append(ModelRow(info=info, price=_price(table, name, at), has_key=ready))
    return found


def refreshed(settings: Settings, wanted: Wanted) -> list[str]:
    """Ask the providers for their lists and keep them; gives what went wrong, a line each.

    Asked are the one that is named, else all that have an address and, if they need one, a key.
    Raises ConfigError where the one that is named cannot be asked.
    """
    providers = [
        provider
        for name, provider in settings.llm.providers.items()
        if provider.kind != "none" and provider.base_url and wanted.provider in (None, name)
    ]
    if wanted.provider and not providers:
        raise ConfigError(f"{wanted.provider} has no list of models that could be asked for")
    return anyio.run(_refresh_all, settings, providers, wanted.provider is not None)


async def _refresh_all(settings: Settings, providers: Sequence[Provider], named: bool) -> list[str]:
    credentials = wiring.credentials(settings)
    failures: list[str] = []

    async def one(provider: Provider) -> None:
        try:
            await _refresh(settings, provider, credentials)
        except (ConfigError, httpx2.HTTPError, ValueError) as error:
            failures.append(f"{provider.name}: {error or type(error).__name__}")

    async with anyio.create_task_group() as tasks:
        for provider in providers:
            if named or not provider.needs_key or has_key(provider, settings.environ):
                tasks.start_soon(one, provider)
    return sorted(failures)


async def _refresh(settings: Settings, provider: Provider, credentials: Credentials) -> None:
    credential = await anyio.to_thread.run_sync(partial(credentials.get, provider))
    entries = await entries_of(provider, credential, settings.llm.outgoing)
    folder, today = settings.cache_dir / "models", now().date()
    keep(folder, provider, facts_of(provider, entries), today=today)
    if provider.kind == "openrouter":
        prices = openrouter_prices(entries, source=f"{provider.name}'s list of {today}")
        keep_prices(folder, provider, prices, today=today)


def _name(text: str) -> ModelName:
    provider, _, name = text.partition(":")
    return ModelName(provider, name)


def _price(table: PriceTable, name: ModelName, at: datetime) -> Price | None:
    try:
        return table.find(name, at)
    except PriceUnknown:
        return None
