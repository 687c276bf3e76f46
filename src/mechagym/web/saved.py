"""Settings that were saved from a page: below every other source, above the built-in defaults."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from mechagym.cli.spelling import did_you_mean
from mechagym.config import DEFAULT, Settings, Written
from mechagym.errors import ConfigError

SAVED = "saved setting"
CAN_BE_SAVED = ("sandbox", "tasks", "concurrent", "image_cache_gb")
SHOWN = ("store", "data_dir", "cache_dir", "jobs_dir", *CAN_BE_SAVED, "docker_host")


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """A setting as it holds. `hidden`: what was saved is covered by a higher source."""

    key: str
    value: str | None
    source: str
    saved: str | None
    hidden: bool
    can_be_saved: bool


def effective(settings: Settings, saved: Mapping[str, str]) -> list[Effective]:
    """Every setting that is shown, with what a job of a worker here would use."""
    holds = with_saved(settings, saved)
    return [
        Effective(
            key=key,
            value=_shown(key, getattr(holds, key)),
            source=holds.origins[key],
            saved=saved.get(key),
            hidden=key in saved and holds.origins[key] != SAVED,
            can_be_saved=key in CAN_BE_SAVED,
        )
        for key in SHOWN
    ]


def with_saved(settings: Settings, saved: Mapping[str, str]) -> Settings:
    """The settings with what was saved in place of defaults; what is no setting any more is
    passed over.
    """
    free = {
        key: value
        for key, value in saved.items()
        if key in CAN_BE_SAVED and settings.origins[key] in (DEFAULT, SAVED)
    }
    values: dict[str, Any] = {}
    for key, value in free.items():
        try:
            values[key] = checked(key, value)
        except ConfigError:
            continue
    origins = {**settings.origins, **dict.fromkeys(values, SAVED)}
    return replace(settings, **values, origins=origins)


def checked(key: str, value: str) -> object:
    """A value in its type. Raises ConfigError: what is wrong with it, or what can be saved."""
    if key not in CAN_BE_SAVED:
        raise ConfigError(
            f"{key[:80]!r} cannot be saved{did_you_mean(key, CAN_BE_SAVED)}",
            remedy=f"these can: {', '.join(CAN_BE_SAVED)}",
        )
    if not value.strip():
        raise ConfigError(f"{key}: nothing is no value; to go back to the default, forget it")
    try:
        return getattr(Written.model_validate({key: value}), key)
    except ValidationError as error:
        raise ConfigError(f"{key}: {error.errors()[0]['msg']}") from error


def _shown(key: str, value: object) -> str | None:
    if value is None:
        return None
    # a database's URL may hold a password
    return str(value).rpartition("@")[2] if key == "store" else str(value)
