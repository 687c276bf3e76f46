"""Names of models are read, and what is none is refused with the nearest ones."""

import pytest

from mechagym.errors import ConfigError
from mechagym.llm.names import ModelName, nearest, read_model

ALIASES = {"claude": "anthropic:claude-sonnet-5-5", "fm": "fm:local"}
PROVIDERS = ("anthropic", "openai", "ollama", "fm")
KNOWN = [
    "anthropic:claude-haiku-4-5",
    "anthropic:claude-sonnet-5-5",
    "openai:gpt-4o",
    "openai:gpt-4o-mini",
    "openai:gpt-5",
]


@pytest.mark.must("llm-4")
@pytest.mark.parametrize(
    ("text", "provider", "name"),
    [
        ("openai:gpt-4o", "openai", "gpt-4o"),
        ("ollama:qwen3:8b", "ollama", "qwen3:8b"),
        ("claude", "anthropic", "claude-sonnet-5-5"),
        ("fm", "fm", "local"),
        ("openai:not-yet-known", "openai", "not-yet-known"),
    ],
)
def test_a_name_is_read(text: str, provider: str, name: str):
    found = read_model(text, aliases=ALIASES, known=KNOWN, providers=PROVIDERS)
    assert found == ModelName(provider, name)
    if text not in ALIASES:
        assert str(found) == text


@pytest.mark.must("llm-4")
@pytest.mark.parametrize(
    ("text", "suggested"),
    [
        ("claud-haiku", ["anthropic:claude-haiku-4-5", "claude", "anthropic:claude-sonnet-5-5"]),
        ("gpt4o", ["openai:gpt-4o", "openai:gpt-4o-mini", "openai:gpt-5"]),
        ("opnai:gpt-4o", ["openai:gpt-4o", "openai:gpt-5", "openai:gpt-4o-mini"]),
        ("GPT-4O-MINI", ["openai:gpt-4o-mini", "openai:gpt-4o", "openai:gpt-5"]),
    ],
)
def test_what_is_no_model_is_refused_with_the_three_nearest(text: str, suggested: list[str]):
    with pytest.raises(ConfigError) as caught:
        read_model(text, aliases=ALIASES, known=KNOWN, providers=PROVIDERS)
    assert f"nearest: {', '.join(suggested)};" in (caught.value.remedy or "")


@pytest.mark.parametrize("text", ["", ":", "openai:", ":gpt-4o", "::"])
def test_half_a_name_is_none(text: str):
    with pytest.raises(ConfigError, match=r"no model|no provider"):
        read_model(text, aliases=ALIASES, known=KNOWN, providers=PROVIDERS)


def test_nothing_near_nothing():
    assert nearest("x", []) == []
