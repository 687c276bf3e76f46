"""Options become one frozen config; a wrong one is told, and every field is in the digest."""

from dataclasses import fields, replace
from typing import Any

import pytest

from mechagym.agents.map.agent import MapAgent
from mechagym.agents.map.config import OPTIONS, MapConfig, Prompts, read_config
from mechagym.agents.map.switches import SWITCHES, Switches
from mechagym.errors import ConfigError

OTHER: dict[str, Any] = {
    "hint": "be quick",
    "use_skills": True,
    "skills": ("one",),
    "max_turns": 7,
    "temperature": 0.9,
    "switches": Switches(monitor="off"),
    "prompts": Prompts(rethink_prompt="think"),
    "sampler_n": 2,
    "temperatures": (0.1,),
    "flat_limit": 3,
    "suite_timeout_s": 5.0,
    "testgen": "abc",
}


ALL_OFF: dict[str, Any] = dict.fromkeys(SWITCHES, "off")


@pytest.mark.must("map-2")
def test_every_field_is_in_the_digest():
    assert OTHER.keys() == {field.name for field in fields(MapConfig)}
    changed = [replace(MapConfig(), **{name: value}).digest for name, value in OTHER.items()]
    switched = [
        read_config({name: choice}).digest
        for name, choices in SWITCHES.items()
        for choice in choices[1:]
    ]
    prompts = [
        replace(MapConfig(), prompts=replace(Prompts(), **{field.name: "other"})).digest
        for field in fields(Prompts)
    ]
    digests = {MapConfig().digest, *changed, *switched, *prompts}
    twice = len({MapConfig(switches=Switches(monitor="off")).digest})
    assert len(digests) == 1 + len(changed) + len(switched) + len(prompts) - twice


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        ({"max_turns": "12"}, "max_turns", 12),
        ({"preset": "quick"}, "max_turns", 3),
        ({"preset": "standard"}, "max_turns", 10),
        ({"preset": "full", "max_turns": "26"}, "max_turns", 26),
        ({"temperatures": "0.1, 0.2"}, "temperatures", (0.1, 0.2)),
        ({"use_skills": "on"}, "use_skills", True),
        ({"skills": "first\n\nsecond"}, "skills", ("first", "second")),
        ({"system_prompt": "you"}, "prompts", Prompts(system_prompt="you")),
        ({"sampler": "off"}, "switches", Switches(sampler="off")),
        ({"switches.sampler": "always"}, "switches", Switches(sampler="always")),
        ({"switches.handover": "on"}, "switches", Switches()),
        (
            {"switches": "off", "monitor": "on"},
            "switches",
            Switches(**ALL_OFF | {"monitor": "rules"}),
        ),
    ],
)
def test_options_are_read(options: dict[str, str], field: str, value: object):
    assert getattr(read_config(options), field) == value


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"max_turn": "3"}, "max_turns"),
        ({"max_turns": "many"}, "whole number"),
        ({"max_turns": "0"}, "1 to 300"),
        ({"preset": "slow"}, "quick"),
        ({"sampler": "sometimes"}, "stall or initial or always or off"),
        ({"snapshot": "rules"}, "on or off"),
        ({"temperatures": "warm"}, "numbers"),
        ({"use_skills": "perhaps"}, "on or off"),
        ({"hint": "x" * 601}, "at most 600"),
    ],
)
def test_a_wrong_option_says_what_it_takes(options: dict[str, str], told: str):
    with pytest.raises(ConfigError) as caught:
        MapAgent(options=options)
    assert told in str(caught.value)


def test_every_option_is_one_that_is_read():
    for name in OPTIONS:
        with (
            pytest.raises(ConfigError, match=r"is not what it takes|no option")
            if name
            not in {
                *("hint", "skills", "testgen", "system_prompt", "completion_checklist"),
                "rethink_prompt",
            }
            else _nothing()
        ):
            read_config({name: "¿"})


def _nothing() -> Any:
    from contextlib import nullcontext

    return nullcontext()
