"""What a proposal may change of a config, by how much, and what a config is known by.

A value past its step or its range is moved to the nearest allowed one and that is noted; the rest
of a proposal stands: to drop a whole proposal for one bad value would freeze the search.
"""

import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from mechagym.errors import ConfigError
from mechagym.records import Json, adapter, to_dict
from mechagym.records.testgen import CATEGORIES
from mechagym.testgen.types import TestGenConfig, digest_of

ChangeKind = Literal["keep", "update_params", "update_prompts", "update_weights"]

FIRST_VERSION = "1.0.0"
MAX_PROMPT_CHARS = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A number that may evolve: by at most `step` at once, within `low` and `high`."""

    step: float
    low: float
    high: float


SPANS: Mapping[str, Span] = {
    "temperature": Span(step=0.1, low=0.0, high=1.0),
    "max_tokens": Span(step=1024, low=512, high=16_384),
    "min_tests": Span(step=1, low=2, high=10),
    "max_tests": Span(step=1, low=2, high=12),
    "max_rounds": Span(step=1, low=1, high=6),
    "environment_weight": Span(step=0.1, low=0.0, high=1.0),
    "anti_cheat_weight": Span(step=0.1, low=0.0, high=1.0),
    "precision_weight": Span(step=0.1, low=0.0, high=1.0),
    "min_comprehensiveness": Span(step=0.5, low=1.0, high=10.0),
    "target_comprehensiveness": Span(step=0.5, low=1.0, high=10.0),
}
PROMPTS = ("category_prompts", "anti_cheat_prompt", "reflection_prompt", "assess_prompt")
ONLY_A_PERSON = ("primary_model", "reflection_model", "cross_check")
WHOLE = frozenset({"max_tokens", "min_tests", "max_tests", "max_rounds"})
OF_KIND: Mapping[ChangeKind, frozenset[str]] = {
    "keep": frozenset(),
    "update_params": frozenset({*SPANS, "category_order"} - {n for n in SPANS if "weight" in n}),
    "update_weights": frozenset(name for name in SPANS if "weight" in name),
    "update_prompts": frozenset(PROMPTS),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """A config as the guardrails let it through, and a sentence for each thing they moved."""

    config: TestGenConfig
    clamps: tuple[str, ...] = ()


def digest(config: TestGenConfig) -> str:
    """What a config is known by: over all its fields, prompts, order and models included."""
    return digest_of(config)


def body_of(config: TestGenConfig) -> dict[str, Json]:
    """All fields as JSON, to be stored."""
    return to_dict(config)


def config_of(body: Mapping[str, Json]) -> TestGenConfig:
    """A config from what was stored or written by a person. Raises ConfigError, naming the field.

    A field that is left out has its default.
    """
    from pydantic import ValidationError

    unknown = sorted(body.keys() - {field.name for field in fields(TestGenConfig)})
    if unknown:
        raise ConfigError(f"testgen config: there is no field {', '.join(unknown)}")
    try:
        config: TestGenConfig = adapter(TestGenConfig).validate_python(dict(body))
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, f['loc']))}: {f['msg']}" for f in error.errors()]
        raise ConfigError(f"testgen config: {'; '.join(faults)}") from error
    if faults := _faults(config):
        raise ConfigError(f"testgen config: {'; '.join(faults)}")
    return config


def next_version(version: str) -> str:
    """The version of an accepted change: the patch number grows."""
    major, minor, patch = version.split(".")
    return f"{major}.{minor}.{int(patch) + 1}"


def changed_fields(before: TestGenConfig, after: TestGenConfig) -> dict[str, tuple[Json, Json]]:
    """Field by field what differs; a prompt of a category stands under `category_prompts.NAME`."""
    old, new = _flat(before), _flat(after)
    return {name: (old[name], new[name]) for name in old if old[name] != new[name]}


def guard(current: TestGenConfig, kind: ChangeKind, changes: Mapping[str, Json]) -> Guarded:
    """Apply a proposal as far as the guardrails allow; nothing that is proposed makes it fail."""
    clamps: list[str] = []
    values: dict[str, Any] = {}
    for name, wanted in changes.items():
        if name not in OF_KIND[kind]:
            why = "only a person may change it" if name in ONLY_A_PERSON else f"not part of {kind}"
            known = name in {field.name for field in fields(TestGenConfig)}
            clamps.append(f"{name}: {why if known else 'no such field'}, dropped")
            continue
        value = _guarded(current, name, wanted, clamps.append)
        if value is not None:
            values[name] = value
    return Guarded(config=_consistent(current, values, clamps.append), clamps=tuple(clamps))


Note = Callable[[str], None]


def _guarded(current: TestGenConfig, name: str, wanted: Json, note: Note) -> Any:
    """The allowed value nearest to the wanted one; None: nothing of it can be used."""
    match name:
        case "category_order":
            return _order(current, wanted, note)
        case "category_prompts":
            return _category_prompts(current, wanted, note)
        case _ if name in PROMPTS:
            return _prompt(name, getattr(current, name), wanted, note)
        case _:
            return _number(name, getattr(current, name), wanted, note)


def _number(name: str, now: float, wanted: Json, note: Note) -> float | None:
    if isinstance(wanted, bool) or not isinstance(wanted, int | float) or wanted != wanted:
        note(f"{name}: {_told(wanted)} is no number, dropped")
        return None
    span = SPANS[name]
    low, high = max(span.low, now - span.step), min(span.high, now + span.step)
    moved = min(max(wanted, low), high)
    value = round(moved) if name in WHOLE else round(moved, 6)
    if value != wanted:
        note(f"{name}: {_told(wanted)} moved to {value:g}")
    return value


def _told(wanted: Json) -> str:
    text = repr(wanted)
    return text if len(text) <= 40 else f"{text[:39]}…"


def _order(current: TestGenConfig, wanted: Json, note: Note) -> tuple[str, ...] | None:
    """What is no category or stands twice is left out; what is missing keeps its place behind."""
    if not isinstance(wanted, list | tuple):
        note(f"category_order: {_told(wanted)} is no list, dropped")
        return None
    order: tuple[str, ...] = tuple(dict.fromkeys(name for name in wanted if name in CATEGORIES))
    order += tuple(name for name in current.category_order if name not in order)
    if order != tuple(wanted):
        note(f"category_order: completed to {', '.join(order)}")
    return order


def _category_prompts(current: TestGenConfig, wanted: Json, note: Note) -> dict[str, str] | None:
    if not isinstance(wanted, Mapping):
        note("category_prompts: no table of category and prompt, dropped")
        return None
    before = {str(name): text for name, text in current.category_prompts.items()}
    prompts = dict(before)
    for category, text in wanted.items():
        if category not in prompts:
            note(f"category_prompts.{category}: no such category, dropped")
        elif one := _prompt(f"category_prompts.{category}", before[category], text, note):
            if prompts != before:
                note(f"category_prompts.{category}: one prompt per proposal, dropped")
            else:
                prompts[category] = one
    return prompts


def _prompt(name: str, now: str, wanted: Json, note: Note) -> str | None:
    if not isinstance(wanted, str) or not wanted.strip():
        note(f"{name}: no text, dropped")
        return None
    text = wanted
    if len(text) > MAX_PROMPT_CHARS:
        text = text[:MAX_PROMPT_CHARS]
        note(f"{name}: cut to {MAX_PROMPT_CHARS} characters")
    if placeholders(text) != placeholders(now):
        note(f"{name}: its placeholders must be {sorted(placeholders(now) or ())}, dropped")
        return None
    return text


def placeholders(text: str) -> frozenset[str] | None:
    """The places in braces that a prompt has; None: its braces do not fit together."""
    try:
        return frozenset(
            name for _, name, _, _ in string.Formatter().parse(text) if name is not None
        )
    except ValueError:
        return None


def _consistent(current: TestGenConfig, values: dict[str, Any], note: Note) -> TestGenConfig:
    """The new config: one prompt at most is other, and what must not be below another is not."""
    prompts = [
        name for name in PROMPTS if name in values and values[name] != getattr(current, name)
    ]
    for name in prompts[1:]:
        note(f"{name}: one prompt per proposal, dropped")
        del values[name]
    config = replace(current, **values)
    if config.max_tests < config.min_tests:
        note(f"max_tests: raised to min_tests, {config.min_tests}")
        config = replace(config, max_tests=config.min_tests)
    return config


def _faults(config: TestGenConfig) -> list[str]:
    """What a config of a person may not be: the ranges hold for it, the steps do not."""
    faults = [
        f"{name}: {getattr(config, name):g} is not within {span.low:g} and {span.high:g}"
        for name, span in SPANS.items()
        if not span.low <= getattr(config, name) <= span.high
    ]
    if config.max_tests < config.min_tests:
        faults.append("max_tests: it is below min_tests")
    if sorted(config.category_order) != sorted(CATEGORIES):
        faults.append("category_order: every category once")
    if config.category_prompts.keys() != set(CATEGORIES):
        faults.append("category_prompts: one for every category")
    for name, text in _flat(config).items():
        if name.partition(".")[0] in PROMPTS and len(text) > MAX_PROMPT_CHARS:
            faults.append(f"{name}: longer than {MAX_PROMPT_CHARS} characters")
    default = _flat(TestGenConfig())
    for name, text in _flat(config).items():
        if name.partition(".")[0] in PROMPTS and placeholders(text) != placeholders(default[name]):
            faults.append(f"{name}: its places in braces must be those of the shipped one")
    return faults


def _flat(config: TestGenConfig) -> dict[str, Json]:
    body = body_of(config)
    prompts = body.pop("category_prompts")
    return {**body, **{f"category_prompts.{name}": text for name, text in prompts.items()}}
