"""Lists of providers, kept on this host with their day: a file of facts each, and of prices."""

import json
import os
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from mechagym.llm.facts import FactFile, Facts, Statement
from mechagym.llm.list_prices import Entry
from mechagym.llm.price_table import PriceFile
from mechagym.llm.providers import Provider
from mechagym.records import Json


def keep(folder: Path, provider: Provider, models: Mapping[str, Facts], *, today: date) -> Path:
    """Write a list where `kept_lists` finds it, in one step; gives the file."""
    said = Statement(
        source=f"{provider.name}'s list of {today}",
        models={f"{provider.name}:{name}": facts for name, facts in models.items()},
    )
    file = FactFile(as_of=today, statements=(said,))
    return _write(folder / f"{provider.name}.json", file.model_dump(mode="json", exclude_none=True))


def keep_prices(
    folder: Path, provider: Provider, prices: Mapping[str, Entry], *, today: date
) -> Path:
    """Write prices where `kept_prices` finds them, in one step; gives the file."""
    models = {f"{provider.name}:{name}": price for name, price in prices.items()}
    file = PriceFile(version=1, as_of=today, models=models)
    shown = file.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return _write(folder / f"{provider.name}.pricing.yaml", shown)


def kept_lists(folder: Path) -> list[Path]:
    """The lists kept on this host, in the order of their names."""
    return sorted(folder.glob("*.json"))


def kept_prices(folder: Path) -> list[Path]:
    """The prices kept on this host, as files of prices."""
    return sorted(folder.glob("*.pricing.yaml"))


def _write(path: Path, value: Mapping[str, Json]) -> Path:
    """Write JSON, which is YAML as well, so that a reader sees the whole of it or the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.write_text(json.dumps(value, indent=1), encoding="utf-8")
    return fresh.replace(path)
