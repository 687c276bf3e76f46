"""The prices of a job: project and user `pricing.yaml`, our overrides, then the price library.

A table is frozen when it is loaded: what it answers for a model and a time never changes. What no
source names is unknown, and an unknown price refuses the call.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
)

from mechagym.errors import ConfigError
from mechagym.llm.names import ModelName
from mechagym.llm.prices import Price, Rate, free, price_of, unknown
from mechagym.llm.yaml_text import parse_yaml

Usd = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]


class Rates(BaseModel):
    """Rates as a person writes them; an absent one is as in the entry around, if there is one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input_per_mtok_usd: Usd | None = None
    output_per_mtok_usd: Usd | None = None
    cache_read_per_mtok_usd: Usd | None = None
    cache_write_5m_per_mtok_usd: Usd | None = None
    cache_write_1h_per_mtok_usd: Usd | None = None
    reasoning_per_mtok_usd: Usd | None = None
    web_search_per_1k_usd: Usd | None = None


class Period(Rates):
    """A price from a day on. `above`: by input tokens; `variants`: by words like `speed=fast`."""

    input_per_mtok_usd: Usd
    output_per_mtok_usd: Usd
    since: Annotated[date, Field(alias="from")] = date.min
    source: str | None = None
    above: dict[Annotated[int, Field(gt=0)], Rates] = {}
    variants: dict[str, Rates] = {}


class Compute(BaseModel):
    """What boxes cost; shown apart from what models cost."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    usd_per_box_hour: Usd = Decimal(0)


Entry = Annotated[
    Annotated[Literal["free"], Tag("free")] | Annotated[tuple[Period, ...], Tag("periods")],
    Discriminator(lambda value: "free" if value == "free" else "periods"),
    BeforeValidator(lambda value: [value] if isinstance(value, dict) else value),
]
"""What a file says of a model: `free`, one price, or a list of periods."""


class PriceFile(BaseModel):
    """One `pricing.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1]
    as_of: date
    models: dict[str, Entry] = {}
    compute: Compute = Compute()

    def entry(self, model: ModelName) -> Entry | None:
        """The entry of a model: by its id, else by the longest pattern that fits."""
        name = str(model)
        if (entry := self.models.get(name)) is not None:
            return entry
        fitting = [key for key in self.models if fnmatchcase(name, key)]
        return self.models[max(fitting, key=len)] if fitting else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceTable:
    """All sources, the first that names a model wins. `free`: providers that cost nothing."""

    sources: tuple[tuple[str, PriceFile], ...] = ()
    free: frozenset[str] = frozenset()

    @classmethod
    def load(cls, *paths: Path, free: Iterable[str] = ()) -> "PriceTable":
        """Read the files that exist, in this order, then our own overrides.

        Raises ConfigError, naming the file and the place in it.
        """
        texts = [(str(path), path.read_text(encoding="utf-8")) for path in paths if path.exists()]
        shipped = files("mechagym.llm").joinpath("pricing.yaml").read_text(encoding="utf-8")
        sources = tuple(_read(name, text) for name, text in [*texts, ("pricing.yaml", shipped)])
        return cls(sources=sources, free=frozenset(free))

    def find(self, model: ModelName, at: datetime, *, variant: str | None = None) -> Price:
        """The price of a call at a time, in a variant such as `speed=fast`.

        Raises PriceUnknown, naming the line to add.
        """
        for ref, file in self.sources:
            periods = file.entry(model)
            if periods == "free":
                return free(model, ref)
            if periods is not None:
                return _in_force(model, ref, periods=periods, at=at, variant=variant)
        if model.provider in self.free:
            return free(model)
        from mechagym.llm.price_library import listed_price

        if price := listed_price(model, at, variant=variant):
            return price
        raise unknown(model, f"no list names it{f' with {variant}' if variant else ''}")

    @property
    def usd_per_box_hour(self) -> Decimal:
        """What boxes cost by the first file that says so."""
        return next(
            (
                f.compute.usd_per_box_hour
                for _, f in self.sources
                if "compute" in f.model_fields_set
            ),
            Decimal(0),
        )


def _read(name: str, text: str) -> tuple[str, PriceFile]:
    try:
        file = PriceFile.model_validate(parse_yaml(text))
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: no YAML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigError(f"{name}: {place}: {first['msg']}") from error
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return f"{Path(name).name}@{digest}", file


def _in_force(
    model: ModelName,
    ref: str,
    *,
    periods: tuple[Period, ...],
    at: datetime,
    variant: str | None,
) -> Price:
    """The last period that has begun, in the variant that is asked for."""
    day = at.astimezone(UTC).date()
    begun = [period for period in periods if period.since <= day]
    if not begun:
        raise unknown(model, f"{ref} has none for {day}")
    period = begun[-1]
    if variant is not None and variant not in period.variants:
        raise unknown(model, f"{ref} has none with {variant}")
    over = period.variants[variant] if variant is not None else Rates()
    rates = {
        name: rate for name, key in _KEYS.items() if (rate := _rate(key, period, over)) is not None
    }
    searches = over.web_search_per_1k_usd or period.web_search_per_1k_usd
    return price_of(model, ref, rates=rates, per_1k_searches=searches)


_KEYS: Mapping[str, str] = {
    name: f"{name}_per_mtok_usd"
    for name in (
        "input",
        "output",
        "cache_read",
        "cache_write_5m",
        "cache_write_1h",
        "reasoning",
    )
}


def _rate(key: str, period: Period, over: Rates) -> Rate | None:
    """One rate of an entry. A variant that gives it has it for every size of input."""
    if (usd := getattr(over, key)) is not None:
        return Rate(usd=usd)
    if (usd := getattr(period, key)) is None:
        return None
    tiers = sorted(
        (start, more) for start, r in period.above.items() if (more := getattr(r, key)) is not None
    )
    return Rate(usd=usd, tiers=tuple(tiers))
