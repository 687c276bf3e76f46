"""A config is known by all its fields, and the guardrails clamp what is proposed, never drop it."""

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechagym.errors import ConfigError
from mechagym.records.testgen import CATEGORIES, Category
from mechagym.testgen.config import (
    MAX_PROMPT_CHARS,
    OF_KIND,
    PROMPTS,
    SPANS,
    WHOLE,
    ChangeKind,
    body_of,
    changed_fields,
    config_of,
    digest,
    guard,
    next_version,
    placeholders,
)
from mechagym.testgen.types import TestGenConfig

START = TestGenConfig()
EVERY_FIELD = [field.name for field in fields(TestGenConfig)]

jsons = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
kinds: st.SearchStrategy[ChangeKind] = st.sampled_from(sorted(OF_KIND))


def another(name: str) -> Any:
    """Another allowed value of a field."""
    value = getattr(START, name)
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case float():
            return value + 0.01
        case str():
            return value + " More."
        case tuple():
            return tuple(reversed(value))
        case dict():
            return {**value, "boundary": value["boundary"] + " More."}
        case _:
            return "anthropic:claude-haiku-4-5"


@pytest.mark.must("testgen-20")
@pytest.mark.parametrize("name", EVERY_FIELD)
def test_the_digest_covers_every_field(name: str):
    changed = replace(START, **{name: another(name)})
    assert digest(changed) != digest(START)
    assert digest(replace(changed, **{name: getattr(START, name)})) == digest(START)
    assert [path.partition(".")[0] for path in changed_fields(START, changed)] == [name]


@pytest.mark.must("testgen-20")
@pytest.mark.parametrize("category", CATEGORIES)
def test_the_digest_covers_the_prompt_of_every_category(category: Category):
    prompts = {**START.category_prompts, category: "Another."}
    assert digest(replace(START, category_prompts=prompts)) != digest(START)


def test_the_digest_does_not_see_how_a_letter_is_composed():
    one, other = (replace(START, assess_prompt=f"Rat{e}") for e in ("\u00e9", "e\u0301"))
    assert digest(one) == digest(other)


def test_a_config_comes_back_from_its_body():
    changed = replace(START, temperature=0.5, category_order=tuple(reversed(CATEGORIES)))
    assert config_of(body_of(changed)) == changed
    assert config_of({}) == START


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"temprature": 0.1}, "temprature"),
        ({"temperature": 1.5}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"min_tests": 5, "max_tests": 4}, "max_tests"),
        ({"category_order": ["boundary"]}, "category_order"),
        ({"category_prompts": {"boundary": "x"}}, "category_prompts"),
        ({"assess_prompt": "x" * (MAX_PROMPT_CHARS + 1)}, "assess_prompt"),
        ({"anti_cheat_prompt": "Write some."}, "anti_cheat_prompt"),
    ],
)
def test_a_person_hears_what_is_wrong_with_a_config(body: dict[str, Any], told: str):
    with pytest.raises(ConfigError, match=told):
        config_of(body)


@pytest.mark.must("testgen-21")
@given(kind=kinds, changes=st.dictionaries(st.sampled_from([*EVERY_FIELD, "color"]), jsons))
def test_whatever_is_proposed_a_sound_config_comes_out(kind: ChangeKind, changes: dict[str, Any]):
    guarded = guard(START, kind, changes)
    assert config_of(body_of(guarded.config)) == guarded.config
    for name, span in SPANS.items():
        assert abs(getattr(guarded.config, name) - getattr(START, name)) <= span.step + 1e-9
    for name, wanted in changes.items():
        taken = getattr(guarded.config, name, None) == wanted
        assert taken or any(clamp.startswith(name) for clamp in guarded.clamps), name


@pytest.mark.must("testgen-21")
@given(
    name=st.sampled_from(sorted(SPANS)),
    wanted=st.floats(allow_nan=False, allow_infinity=False, width=32),
)
def test_a_number_is_moved_to_the_nearest_allowed_one(name: str, wanted: float):
    span, now = SPANS[name], getattr(START, name)
    kind: ChangeKind = next(k for k, names in OF_KIND.items() if name in names)
    got = getattr(guard(START, kind, {name: wanted}).config, name)
    low, high = max(span.low, now - span.step), min(span.high, now + span.step)
    nearest = min(max(wanted, low), high)
    off = 0.5 if name in WHOLE else 1e-6
    assert abs(got - nearest) <= off or name == "max_tests"
    assert type(got) is type(now)


@pytest.mark.must("testgen-21")
def test_one_bad_value_does_not_take_the_others_with_it():
    changes = {"temperature": 0.7, "max_rounds": 4, "color": "red", "primary_model": "fm:local"}
    guarded = guard(START, "update_params", changes)
    assert (guarded.config.temperature, guarded.config.max_rounds) == (0.4, 4)
    assert guarded.config.primary_model is None
    assert [clamp.partition(":")[0] for clamp in guarded.clamps] == [
        "temperature",
        "color",
        "primary_model",
    ]


@pytest.mark.must("testgen-21")
def test_a_prompt_is_taken_where_its_places_are_kept_and_it_is_the_only_one():
    taken = guard(START, "update_prompts", {"reflection_prompt": "Of {category}: what is weak?"})
    assert taken.config.reflection_prompt == "Of {category}: what is weak?"
    assert not taken.clamps
    lost = guard(START, "update_prompts", {"reflection_prompt": "What is weak?"})
    assert lost.config == START
    assert "placeholders" in lost.clamps[0]
    two = guard(
        START,
        "update_prompts",
        {"category_prompts": {"boundary": "B.", "existence": "E."}, "assess_prompt": "A."},
    )
    assert two.config.category_prompts["boundary"] == "B."
    assert list(changed_fields(START, two.config)) == ["category_prompts.boundary"]
    assert len(two.clamps) == 2
    cut = guard(START, "update_prompts", {"assess_prompt": "x" * 5_000})
    assert len(cut.config.assess_prompt) == MAX_PROMPT_CHARS


def test_every_prompt_has_a_span_or_a_guard():
    told = {*SPANS, *PROMPTS, "category_order", "primary_model", "reflection_model", "cross_check"}
    assert told == set(EVERY_FIELD)
    assert placeholders("{a} {") is None
    assert next_version("1.2.9") == "1.2.10"
