"""Which model is chosen: the order of decision, rule by rule, and what always comes after it."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechagym.errors import ConfigError, ModelError
from mechagym.llm.admission import Admission
from mechagym.llm.catalogue import Catalogue
from mechagym.llm.names import ModelName
from mechagym.llm.price_table import PriceTable
from mechagym.llm.providers import SHIPPED
from mechagym.llm.router.file import ROLES, load_models
from mechagym.llm.router.outages import Outages
from mechagym.llm.router.select import ModelSelector
from mechagym.llm.router.selection import ModelSelection, SelectionRequest, TokensUsed

pytestmark = pytest.mark.must("llm-24")

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
FILE = """
version: 1
aliases:
  small: "openai:gpt-4o-mini"
  best: "openai:gpt-5.6-sol"
  haiku: "anthropic:claude-haiku-4-5"
complexity:
  low: {builder: [small, "openai:gpt-4o"], auditor: [small]}
  medium: {builder: ["openai:gpt-4o", haiku], auditor: ["openai:gpt-4o"]}
  high: {builder: [best], auditor: [best]}
high_risk: {builder: [best, "openai:gpt-6-astra"], auditor: [best], auditor_2: [haiku]}
categories:
  docs: {policy: cheap_first, builder: [small, haiku], auditor: [small]}
  scaffolding:
    {policy: progressive, escalate_after: 2, builder: ["openai:gpt-4o", best], never_fallback: true}
  design: {policy: best_first, builder: [best, small]}
  payments: {builder: ["openai:gpt-6-astra"]}
fallback: {default: [haiku], categories: {docs: ["google:gemini-3.8-flash"]}}
providers: {openai: {weekly_tokens: 1000, daily_tokens: 100, soft_ratio: 0.8}}
limits: {"openai:gpt-4o": {context_tokens: 1000, max_output_tokens: 77}}
temperature: {builder: 0.2}
"""
SMALL, BEST, HAIKU = "openai:gpt-4o-mini", "openai:gpt-5.6-sol", "anthropic:claude-haiku-4-5"
GPT_4O, ASTRA, FLASH = "openai:gpt-4o", "openai:gpt-6-astra", "google:gemini-3.8-flash"


@pytest.fixture(scope="module")
def selector(tmp_path_factory: pytest.TempPathFactory) -> ModelSelector:
    path = tmp_path_factory.mktemp("router") / "models.yaml"
    path.write_text(FILE)
    file = load_models(path)
    admission = Admission(
        catalogue=Catalogue.load(), providers=SHIPPED, aliases=file.aliases, today=AT.date()
    )
    return ModelSelector(file=file, admission=admission, prices=PriceTable.load(), at=AT)


def chosen(selector: ModelSelector, **request: Any) -> ModelSelection:
    return selector.select(SelectionRequest(**({"role": "builder"} | request)))


@pytest.mark.parametrize(
    ("request_", "model", "rule"),
    [
        # 4: the complexity's chain, then those above, clamped at the end
        ({}, SMALL, "complexity"),
        ({"attempt": 1}, GPT_4O, "complexity"),
        ({"attempt": 2}, HAIKU, "complexity"),
        ({"attempt": 3}, BEST, "complexity"),
        ({"attempt": 99}, BEST, "complexity"),
        ({"complexity": "medium"}, GPT_4O, "complexity"),
        ({"complexity": "medium", "attempt": 1}, HAIKU, "complexity"),
        ({"complexity": "high"}, BEST, "complexity"),
        ({"role": "planner", "complexity": "medium"}, GPT_4O, "complexity"),
        ({"category": "unheard of"}, SMALL, "complexity"),
        # 3: the category's policy
        ({"category": "docs"}, SMALL, "category:cheap_first"),
        ({"category": "docs", "attempt": 1}, HAIKU, "category:cheap_first"),
        ({"category": "docs", "attempt": 9}, HAIKU, "category:cheap_first"),
        ({"category": "docs", "complexity": "high"}, SMALL, "category:cheap_first"),
        ({"category": "docs", "role": "planner"}, SMALL, "complexity"),
        ({"category": "scaffolding", "attempt": 0}, GPT_4O, "category:progressive"),
        ({"category": "scaffolding", "attempt": 1}, GPT_4O, "category:progressive"),
        ({"category": "scaffolding", "attempt": 2}, BEST, "category:progressive"),
        ({"category": "design", "attempt": 5}, BEST, "category:best_first"),
        ({"category": "payments"}, SMALL, "complexity"),
        # 2: a high risk's fixed model, whatever the attempt
        ({"high_risk": True}, BEST, "high_risk"),
        ({"high_risk": True, "attempt": 7}, BEST, "high_risk"),
        ({"high_risk": True, "role": "auditor_2"}, HAIKU, "high_risk"),
        ({"high_risk": True, "role": "judge"}, BEST, "high_risk"),
        ({"high_risk": True, "category": "payments"}, ASTRA, "high_risk"),
        ({"high_risk": True, "category": "payments", "role": "auditor"}, BEST, "high_risk"),
    ],
)
def test_the_order_of_decision(selector: ModelSelector, request_: dict[str, Any], model, rule):
    found = chosen(selector, **request_)
    assert (str(found.model), found.rule) == (model, rule)
    assert found.rationale.endswith(".")
    assert found.skipped == ()


@pytest.mark.parametrize("high_risk", [True, False])
def test_an_override_goes_before_all(selector: ModelSelector, high_risk: bool):
    told = replace(selector, overrides={"builder": ModelName("openai", "gpt-4o")})
    found = chosen(told, category="docs", high_risk=high_risk)
    assert (str(found.model), found.rule) == (GPT_4O, "override")
    assert chosen(told, role="auditor", category="docs").rule == "category:cheap_first"
    everywhere = replace(selector, overrides={"*": ModelName("openai", "gpt-4o")})
    assert {str(chosen(everywhere, role=role).model) for role in ROLES} == {GPT_4O}


def test_the_selection_says_all_that_it_came_from(selector: ModelSelector):
    found = chosen(selector, attempt=1)
    assert found.chain == ("small", "openai:gpt-4o", "haiku", "best")
    assert (found.index, found.attempt, found.high_risk) == (1, 1, False)
    assert (found.max_output_tokens, found.temperature) == (77, 0.2)
    assert found.price.ref.startswith("genai-prices")
    assert len(found.models_sha256) == 64
    event = found.event()
    assert (event.role, event.model, event.rule) == ("builder", GPT_4O, "complexity")
    assert chosen(selector, role="auditor", complexity="medium").temperature is None


# 5: providers


def test_a_disabled_provider_gives_way_for_every_role(selector: ModelSelector):
    without = replace(selector, disabled=frozenset({"openai"}))
    for role in ROLES:
        found = chosen(without, role=role)
        assert str(found.model) == HAIKU
        assert [skipped.why for skipped in found.skipped] == ["openai is disabled"]
    assert str(chosen(without, category="docs").model) == FLASH
    assert str(chosen(without, category="docs", attempt=1).model) == HAIKU


@pytest.mark.parametrize(
    ("used", "why"),
    [
        (TokensUsed(weekly=801), "openai is over 80% of its weekly tokens"),
        (TokensUsed(daily=81), "openai is over 80% of its daily tokens"),
        (TokensUsed(weekly=800, daily=80), None),
    ],
)
def test_a_quota_switches_all_roles(selector: ModelSelector, used: TokensUsed, why: str | None):
    busy = replace(selector, used={"openai": used})
    for role in ROLES:
        found = chosen(busy, role=role)
        assert str(found.model) == (HAIKU if why else SMALL)
        assert [skipped.why for skipped in found.skipped] == ([why] if why else [])
        assert (f"{SMALL}: {why}" in found.event().skipped) == bool(why)


def test_where_only_equals_may_stand_in_the_quota_warns(selector: ModelSelector):
    busy = replace(selector, used={"openai": TokensUsed(weekly=999)})
    for request in ({"high_risk": True}, {"category": "scaffolding"}):
        found = chosen(busy, **request)
        assert found.model.provider == "openai"
        assert "over 80%" in found.warnings[0]
    assert chosen(selector, high_risk=True).warnings == ()


@pytest.mark.parametrize("request_", [{"high_risk": True}, {"category": "scaffolding"}])
def test_where_only_equals_may_stand_in_it_waits_instead_of_falling(
    selector: ModelSelector, request_: dict[str, Any]
):
    without = replace(selector, disabled=frozenset({"openai"}))
    with pytest.raises(ModelError, match="openai is disabled") as caught:
        chosen(without, **request_)
    assert caught.value.reason == "provider_down"


def test_an_equal_stands_in_for_a_high_risk_model(selector: ModelSelector):
    found = chosen(selector, high_risk=True, excluded_models=frozenset({BEST}))
    assert str(found.model) == ASTRA


def test_nothing_left_is_refused(selector: ModelSelector):
    without = replace(selector, disabled=frozenset({"openai", "anthropic"}))
    with pytest.raises(ModelError, match="no model can be used") as caught:
        chosen(without)
    assert caught.value.reason == "no_model"
    assert str(chosen(without, category="docs").model) == FLASH


# 6: what it must have


@pytest.mark.parametrize(
    ("request_", "model", "why"),
    [
        ({"attempt": 1, "context_tokens": 1001}, HAIKU, "too small for 1001"),
        ({"context_tokens": 150_000}, HAIKU, "too small for 150000"),
        ({"complexity": "medium", "context_tokens": 500_000}, BEST, "too small for 500000"),
        ({"excluded_models": frozenset({SMALL})}, GPT_4O, "excluded"),
        ({"excluded_providers": frozenset({"openai"})}, HAIKU, "excluded"),
    ],
)
def test_what_lacks_something_gives_way_to_the_next(
    selector: ModelSelector, request_: dict[str, Any], model: str, why: str
):
    found = chosen(selector, **request_)
    assert str(found.model) == model
    assert all(why in skipped.why for skipped in found.skipped)
    assert found.skipped


@pytest.mark.parametrize(("able", "model"), [(True, SMALL), (None, SMALL), (False, GPT_4O)])
def test_only_a_known_inability_counts(selector: ModelSelector, able: bool | None, model: str):
    catalogue = selector.admission.catalogue
    name = ModelName("openai", "gpt-4o-mini")
    abilities = {} if able is None else {"schema": able}
    changed = {**catalogue.models, name: replace(catalogue.find(name), abilities=abilities)}
    admission = replace(selector.admission, catalogue=Catalogue(models=changed))
    found = chosen(replace(selector, admission=admission), abilities=frozenset({"schema"}))
    assert str(found.model) == model


def test_a_price_must_be_known(selector: ModelSelector):
    told = replace(selector, overrides={"*": ModelName("vllm", "unpriced")})
    found = chosen(told)
    assert (str(found.model), found.skipped[0].why) == (HAIKU, "its price is unknown")


def test_a_retired_model_is_passed_over(selector: ModelSelector):
    told = replace(selector, overrides={"*": ModelName("openai", "gpt-4-turbo")})
    assert chosen(told).skipped[0].why == "retired on 2026-10-23"


REQUESTS = st.builds(
    SelectionRequest,
    role=st.sampled_from(ROLES),
    category=st.sampled_from(["docs", "scaffolding", "design", "payments", "general"]),
    complexity=st.sampled_from(["low", "medium", "high"]),
    attempt=st.integers(0, 12),
    high_risk=st.booleans(),
    excluded_models=st.frozensets(st.sampled_from([SMALL, BEST, HAIKU, GPT_4O])),
    context_tokens=st.sampled_from([0, 900, 1_001, 150_000, 500_000, 2_000_000]),
)


@given(
    request=REQUESTS,
    disabled=st.frozensets(st.sampled_from(["openai", "anthropic", "google"])),
    weekly=st.integers(0, 1000),
)
def test_same_request_same_answer_and_no_risk_is_downgraded(
    selector: ModelSelector, request: SelectionRequest, disabled: frozenset[str], weekly: int
):
    world = replace(selector, disabled=disabled, used={"openai": TokensUsed(weekly=weekly)})

    def answer() -> ModelSelection | str:
        try:
            return world.select(request)
        except ModelError as error:
            return str(error)

    found = answer()
    assert answer() == found
    if isinstance(found, str):
        return
    assert found.model.provider not in disabled
    assert str(found.model) not in request.excluded_models
    if request.high_risk:
        calm = selector.select(replace(request, excluded_models=frozenset(), context_tokens=0))
        assert found.chain == calm.chain
        assert found.model in {selector.admission.read(text) for text in found.chain}


def test_the_file_is_read_strictly(tmp_path: Path):
    path = tmp_path / "models.yaml"
    for text, place in (
        ("version: 1\ncomplexity: {low: {bulider: [x]}}", "complexity.low.bulider"),
        ("version: 1\ncategories: {docs: {policy: worst_first}}", "categories.docs.policy"),
        ("version: 1\ncategories: {docs: {reader: [x]}}", "categories.docs.roles.reader"),
        ("version: 1\nproviders: {openai: {soft_ratio: 2}}", "providers.openai.soft_ratio"),
        ("aliases: {}", "version"),
        ("a: [", "not YAML"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError) as caught:
            load_models(path)
        assert place in str(caught.value)
        assert str(path) in str(caught.value)


def test_the_first_file_counts_with_the_shipped_aliases_below_it(tmp_path: Path):
    shipped = load_models(tmp_path / "none")
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text('version: 1\naliases: {small: "fm:tiny"}\n')
    two.write_text("version: 1\n")
    file = load_models(tmp_path / "none", one, two)
    assert file.aliases == {**shipped.aliases, "small": "fm:tiny"}
    assert file.complexity == {}
    assert file.sha256 not in (shipped.sha256, "")


def test_what_we_ship_chooses_models_that_are_there_and_priced():
    file = load_models()
    assert {"claude", "gpt-4o", "fm"} <= file.aliases.keys()
    admission = Admission(
        catalogue=Catalogue.load(), providers=SHIPPED, aliases=file.aliases, today=AT.date()
    )
    for alias in file.aliases:
        assert admission.admit(alias)[1] is None
    selector = ModelSelector(file=file, admission=admission, prices=PriceTable.load(), at=AT)
    for role in ROLES:
        for level in ("low", "medium", "high"):
            for risk in (True, False):
                found = chosen(selector, role=role, complexity=level, high_risk=risk)
                assert found.skipped == ()


def test_a_provider_is_out_at_once_without_credit_and_after_two_faults():
    outages = Outages()
    outages.gave_up("openai")
    outages.went_well("openai")
    outages.gave_up("openai")
    assert outages.disabled == frozenset()
    outages.gave_up("openai")
    assert outages.disabled == {"openai"}
    outages.credit_exhausted("google")
    assert outages.disabled == {"openai", "google"}
    assert "credit" in outages.reasons["google"]
