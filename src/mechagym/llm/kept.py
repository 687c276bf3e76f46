"""Lists of providers, kept on this host with their day: one file each, read as facts."""

import json
import os
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from mechagym.llm.facts import FactFile, Facts, Statement
from mechagym.llm.providers import Provider


def keep(folder: Path, provider: Provider, models: Mapping[str, Facts], *, today: date) -> Path:
    """Write a list where `kept_lists` finds it, in one step; gives the file."""
    said = Statement(
        source=f"{provider.name}'s list of {today}",
        models={f"{provider.name}:{name}": facts for name, facts in models.items()},
    )
    file = FactFile(as_of=today, statements=(said,))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{provider.name}.json"
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.write_text(
        json.dumps(file.model_dump(mode="json", exclude_none=True), indent=1), encoding="utf-8"
    )
    return fresh.replace(path)


def kept_lists(folder: Path) -> list[Path]:
    """The lists kept on this host, in the order of their names."""
    return sorted(folder.glob("*.json"))
