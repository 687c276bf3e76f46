"""What is known of models: field by field, the first source counts, and each names itself."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from mechagym.errors import ConfigError
from mechagym.llm.catalogue import Catalogue
from mechagym.llm.names import ModelName
from mechagym.llm.providers import SHIPPED

TODAY = date(2026, 11, 20)
HAIKU = ModelName("anthropic", "claude-haiku-4-5")
OWN = """\
version: 1
models:
  "anthropic:claude-haiku-4-5": {context_window: 150000, abilities: {schema: true}}
  "anthropic:mine": {wire_name: claude-internal-7, max_output: 9}
  "anthropic:gone": {retires_at: 2026-11-20, replacement: "anthropic:newer"}
  "anthropic:newer": {retires_at: 2026-11-01, replacement: "anthropic:newest"}
  "anthropic:newest": {}
  "anthropic:round": {retires_at: 2026-01-01, replacement: "anthropic:round"}
  "anthropic:soon": {retires_at: 2026-12-20, replacement: "anthropic:newest"}
  "anthropic:later": {retires_at: 2026-12-21}
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    path = tmp_path_factory.mktemp("own") / "catalogue.yaml"
    path.write_text(OWN)
    return Catalogue.load(path)


@pytest.fixture(scope="module")
def shipped() -> Catalogue:
    return Catalogue.load()


def test_the_first_source_of_a_field_wins_and_is_named(own: Catalogue):
    found = own.find(HAIKU)
    assert found.context_window == 150_000
    assert found.sources["context_window"].endswith("catalogue.yaml")
    assert found.max_output == 64_000
    assert found.sources["max_output"].startswith("https://platform.claude.com/")
    assert found.released_at == date(2025, 10, 15)
    assert found.abilities == {"schema": True}
    assert "retires_at" not in found.sources


@pytest.mark.must("llm-8")
def test_what_nobody_said_is_none_and_never_zero(own: Catalogue):
    found = own.find(ModelName("vllm", "whatever"))
    assert (found.context_window, found.max_output, found.retires_at) == (None, None, None)
    assert found.wire_name == "whatever"
    assert found.abilities == {}
    assert own.find(ModelName("anthropic", "mine")).wire_name == "claude-internal-7"


def test_every_known_field_has_its_source(shipped: Catalogue):
    fields = ("context_window", "max_output", "released_at", "deprecated_at", "retires_at")
    for name in shipped.models:
        info = shipped.find(name)
        for key in fields:
            assert (getattr(info, key) is None) == (key not in info.sources), (name, key)
        assert all(info.sources.values())
        assert 0 not in (info.context_window, info.max_output)


def test_the_price_library_gives_windows_that_nobody_else_gave(shipped: Catalogue):
    found = shipped.find(ModelName("anthropic", "claude-opus-4-7"))
    assert found.context_window == 1_000_000
    assert found.sources["context_window"] == "genai-prices"
    assert found.max_output == 128_000


@pytest.mark.parametrize(
    "text",
    ["claude-haiku-4-5-20251001", "claude-haiku-4-5@20251001", "claude-haiku-4-5-2025-10-01"],
)
def test_a_dated_name_is_its_model(shipped: Catalogue, text: str):
    name = ModelName("anthropic", text)
    found = shipped.find(name)
    assert shipped.knows(name)
    assert (found.id, found.wire_name) == (name, text)
    assert found.max_output == 64_000


def test_a_dated_name_with_an_end_of_its_own_keeps_it(shipped: Catalogue):
    first = shipped.find(ModelName("openai", "gpt-4o-2024-05-13"))
    later = shipped.find(ModelName("openai", "gpt-4o-2024-11-20"))
    assert first.retires_at == date(2026, 10, 23)
    assert later.retires_at == date(2027, 1, 14)


def test_one_service_behind_two_wires_has_one_catalogue(shipped: Catalogue):
    over_chat = shipped.find(ModelName("openai-chat", "gpt-4o"))
    assert over_chat.max_output == shipped.find(ModelName("openai", "gpt-4o")).max_output == 16_384


def test_all_models_of_a_provider_can_be_told_of_at_once(shipped: Catalogue):
    assert shipped.find(ModelName("fm", "local")).context_window == 4096
    assert "fm:*" not in shipped.ids()


@pytest.mark.must("llm-8")
@pytest.mark.parametrize(
    ("name", "instead"),
    [("gone", "anthropic:newest"), ("newer", "anthropic:newest"), ("round", None)],
)
def test_a_retired_model_is_refused_with_what_replaces_it(own: Catalogue, name, instead):
    with pytest.raises(ConfigError, match="was retired on") as caught:
        own.admit(ModelName("anthropic", name), SHIPPED["anthropic"], today=TODAY)
    assert caught.value.reason == "model_retired"
    if instead:
        assert caught.value.remedy == f"take {instead}"


@pytest.mark.parametrize(
    ("name", "warns"), [("soon", True), ("later", False), ("newest", False), ("mine", False)]
)
def test_the_last_thirty_days_are_warned_of(own: Catalogue, name: str, warns: bool):
    model = ModelName("anthropic", name)
    said = own.admit(model, SHIPPED["anthropic"], today=TODAY)
    assert (said is not None) == warns
    if said:
        assert "2026-12-20: take anthropic:newest" in said
        with pytest.raises(ConfigError, match="was retired"):
            own.admit(model, SHIPPED["anthropic"], today=TODAY + timedelta(days=30))


@pytest.mark.must("llm-8")
def test_an_unknown_model_is_refused_where_all_are_known(own: Catalogue):
    with pytest.raises(ConfigError, match="no such model") as caught:
        own.admit(ModelName("anthropic", "claude-haiku-45"), SHIPPED["anthropic"], today=TODAY)
    assert "nearest: anthropic:claude-haiku-4-5" in (caught.value.remedy or "")
    assert own.admit(ModelName("ollama", "qwen3:8b"), SHIPPED["ollama"], today=TODAY) is None


def test_nothing_retired_is_suggested(shipped: Catalogue):
    current = shipped.suggestions(TODAY)
    assert "openai:gpt-4-turbo" not in current
    assert "openai:gpt-4-turbo" in shipped.ids()


def test_models_of_another_maker_at_google_are_not_its_own(shipped: Catalogue):
    assert not [name for name in shipped.ids() if name.startswith("google:claude")]
    assert not shipped.knows(ModelName("google", "claude-opus-4-6"))


def test_what_we_ship_replaces_by_models_that_are_there(shipped: Catalogue):
    for info in shipped.models.values():
        if info.replacement:
            provider, _, name = info.replacement.partition(":")
            assert shipped.knows(ModelName(provider, name)), info


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("version: 2", "version"),
        ('models: {"a:b": {context: 1}}', "models.a:b.context"),
        ('models: {"a:b": {max_output: 0}}', "models.a:b.max_output"),
        ("a: [", "not YAML"),
    ],
)
def test_a_fault_in_ones_own_file_is_named(tmp_path: Path, text: str, place: str):
    path = tmp_path / "catalogue.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        Catalogue.load(path)
    assert str(path) in str(caught.value)
    assert place in str(caught.value)
