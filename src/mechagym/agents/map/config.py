"""What the planner is told: one frozen value read from `--set agent.KEY=VALUE`, every field of
which acts.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, get_args, get_type_hints

from mechagym.agents.map.switches import SWITCHES, Switches
from mechagym.agents.options import check_options
from mechagym.errors import ConfigError

HINT_CHARS = 600
SKILLS_CHARS = 8_000
PROMPT_CHARS = 8_000

PRESETS: Mapping[str, int] = {"quick": 3, "standard": 10, "full": 25}
"""Turns by the name of a preset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    """Texts that may be put in the place of ours; an empty one leaves ours."""

    system_prompt: str = ""
    completion_checklist: str = ""
    rethink_prompt: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapConfig:
    """How one trial's planner works. `testgen` is the digest of a config of test generation."""

    hint: str = ""
    use_skills: bool = False
    skills: tuple[str, ...] = ()
    max_turns: int = 30
    temperature: float = 0.3
    switches: Switches = field(default_factory=Switches)
    prompts: Prompts = field(default_factory=Prompts)
    sampler_n: int = 3
    temperatures: tuple[float, ...] = (0.3, 0.5, 0.7)
    flat_limit: int = 5
    suite_timeout_s: float = 120.0
    testgen: str = ""

    def __post_init__(self) -> None:
        _within("max_turns", self.max_turns, 1, 300)
        _within("temperature", self.temperature, 0, 2)
        _within("sampler_n", self.sampler_n, 1, 5)
        _within("flat_limit", self.flat_limit, 2, 10)
        _within("suite_timeout_s", self.suite_timeout_s, 1, 3_600)
        _within("temperatures", len(self.temperatures), 1, 5)
        for temperature in self.temperatures:
            _within("temperatures", temperature, 0, 2)
        _at_most("hint", self.hint, HINT_CHARS)
        _at_most("skills", "".join(self.skills), SKILLS_CHARS)
        for name, text in asdict(self.prompts).items():
            _at_most(name, text, PROMPT_CHARS)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over every field, as canonical JSON."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


_PLAIN = tuple(f.name for f in fields(MapConfig) if f.name not in ("switches", "prompts"))
_PROMPTS = tuple(f.name for f in fields(Prompts))
OPTIONS: tuple[str, ...] = (
    "preset", *_PLAIN, *_PROMPTS, "switches", *SWITCHES, *(f"switches.{name}" for name in SWITCHES)
)  # fmt: skip
"""All keys of `--set agent.KEY`. A switch may be named with or without `switches.` before it."""


def read_config(options: Mapping[str, str]) -> MapConfig:
    """Read the options of the agent. Raises ConfigError naming the option and what it takes."""
    check_options("map", options, OPTIONS)
    config = MapConfig(switches=_switches(options))
    if (preset := options.get("preset")) is not None:
        if preset not in PRESETS:
            raise _wrong("preset", preset, " or ".join(PRESETS))
        config = replace(config, max_turns=PRESETS[preset])
    hints = get_type_hints(MapConfig)
    given: dict[str, Any] = {
        name: _value(name, options[name], hints[name]) for name in _PLAIN if name in options
    }
    prompts = {name: options[name] for name in _PROMPTS if name in options}
    return replace(config, **given, prompts=Prompts(**prompts))


def _switches(options: Mapping[str, str]) -> Switches:
    """`switches=off` puts all off; each named one is then as it is said."""
    whole = options.get("switches", "on")
    if whole not in ("on", "off"):
        raise _wrong("switches", whole, "on or off")
    said: dict[str, Any] = {}
    for name, choices in SWITCHES.items():
        value = options.get(name, options.get(f"switches.{name}", "off" if whole == "off" else ""))
        if value == "on":
            value = choices[0]
        if value and value not in choices:
            raise _wrong(name, value, " or ".join(choices))
        if value:
            said[name] = value
    return Switches(**said)


def _value(name: str, text: str, kind: Any) -> object:
    """An option's text as its field's type. Lists are divided by commas, skills by blank lines."""
    try:
        if kind is bool:
            return {"on": True, "true": True, "off": False, "false": False}[text.lower()]
        if kind in (int, float):
            return kind(text)
        if kind is str:
            return text
        (item, _) = get_args(kind)
        parts = text.split("\n\n") if item is str else text.split(",")
        return tuple(item(part.strip()) for part in parts if part.strip())
    except (KeyError, ValueError):
        expected = {bool: "on or off", int: "a whole number", float: "a number"}
        raise _wrong(name, text, expected.get(kind, "numbers with commas between")) from None


def _within(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise _wrong(name, f"{value:g}", f"{least:g} to {most:g}")


def _at_most(name: str, text: str, most: int) -> None:
    if len(text) > most:
        raise _wrong(name, f"{len(text)} characters", f"at most {most}")


def _wrong(name: str, value: str, takes: str) -> ConfigError:
    return ConfigError(
        f"agent map: option {name}: {value!r} is not what it takes",
        remedy=f"it takes {takes}",
        reason="bad_option",
    )
