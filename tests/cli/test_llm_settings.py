"""`[llm]` of the settings: which source wins, and what providers it makes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal
from pydantic_ai.messages import ModelRequest
from pydantic_ai.models import ModelRequestParameters, override_allow_model_requests

from mechagym import config, wiring
from mechagym.budget import Budget, Meter
from mechagym.errors import ConfigError
from mechagym.llm.names import ModelName
from mechagym.llm.settings import RetryLimits
from mechagym.llm.stack import Models
from mechagym.testing.provider import (
    Listed,
    ProviderDouble,
    Turn,
    always,
    provider_double,
)
from tests.cli.conftest import Cli

USER = ".config/mechagym/settings.toml"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_what_holds_where_nobody_said_anything(home: Path):
    llm = config.load().llm
    assert (llm.default_model, llm.credential, llm.delivery) == (None, "key", "gateway")
    assert llm.retry == RetryLimits()
    assert llm.providers["fm"].first_output_s == 120
    assert llm.providers["ollama"].first_output_s == 300
    assert llm.providers["anthropic"].base_url == "https://api.anthropic.com"
    assert llm.outgoing.proxies == {}


def test_each_key_comes_from_the_strongest_source_that_gives_it(home: Path, monkeypatch):
    write(home / USER, '[llm]\ndefault_model = "u"\ncredential = "claude-code"\ntimeout_s = 50\n')
    write(home / "here/mechagym.toml", '[llm]\ndefault_model = "p"\ndelivery = "mount"\n')
    monkeypatch.setenv("MECHAGYM_LLM__DEFAULT_MODEL", "v")
    llm = config.load().llm
    assert (llm.default_model, llm.credential, llm.delivery) == ("v", "claude-code", "mount")
    assert {p.timeout_s for p in llm.providers.values()} == {50}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[llm]\ntimeout_s = 0", "mechagym.toml:2: `llm.timeout_s`"),
        ("[llm]\ntimeouts = 3", "unknown key `llm.timeouts`, did you mean `timeout_s`?"),
        ("[llm.providers.x]\nwire = 'telepathy'", "`llm.providers.x.wire`"),
        ("[llm.providers.x]\nbase_url = 'x.example'", "`llm.providers.x.base_url`: a URL with"),
        ("[llm.providers.replay]\nbase_url = 'http://x'", "never touches a network"),
        ("[llm.providers.'a:b']\nbase_url = 'http://x'", "has no colon"),
        ("[llm.retry]\ntries = 0", "`llm.retry.tries`"),
        ("[llm]\ncredential = 'mine'", "`llm.credential`"),
    ],
)
def test_a_fault_in_the_file_is_named(home: Path, text: str, says: str):
    write(home / "here/mechagym.toml", text)
    with pytest.raises(ConfigError) as caught:
        config.load()
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("MECHAGYM_LLM__TIMEOUT_S", "soon", "MECHAGYM_LLM__TIMEOUT_S"),
        ("MECHAGYM_LLM__CREDENTIAL", "mine", "MECHAGYM_LLM__CREDENTIAL"),
        ("OPENAI_BASE_URL", "x.example", "OPENAI_BASE_URL"),
    ],
)
def test_a_fault_in_a_variable_is_named(home: Path, monkeypatch, variable, value, says):
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=says):
        config.load()


def test_a_variable_that_is_no_setting_is_told(home: Path, monkeypatch):
    monkeypatch.setenv("MECHAGYM_LLM__TIMEOUTS", "3")
    monkeypatch.setenv("MECHAGYM_LLM", "3")
    warnings = config.load().warnings
    assert "did you mean `MECHAGYM_LLM__TIMEOUT_S`" in "\n".join(warnings)
    assert [w.split()[0] for w in warnings] == ["MECHAGYM_LLM", "MECHAGYM_LLM__TIMEOUTS"]


def test_the_usual_variables(home: Path, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:1")
    monkeypatch.setenv("no_proxy", "localhost, .example")
    llm = config.load().llm
    assert llm.providers["anthropic"].base_url == "http://127.0.0.1:9"
    assert llm.providers["openai"].headers == {"OpenAI-Organization": "org-1"}
    assert llm.providers["openrouter"].headers == {}
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:8/v1")
    both = [config.load().llm.providers[name].base_url for name in ("openai", "openai-chat")]
    assert both == ["http://127.0.0.1:8/v1"] * 2
    assert llm.outgoing.proxies == {"https": "http://proxy:1"}
    assert llm.outgoing.no_proxy == ("localhost", ".example")


def test_a_provider_of_ones_own_is_made_by_its_table(home: Path, monkeypatch):
    write(
        home / USER,
        """
[llm]
first_output_s = 7
ca_file = "certs.pem"
[llm.providers.my-box]
base_url = "http://10.0.0.5:8000/v1/"
api_key_env = "BOX_KEY"
api_key_file = "box.key"
price = "free"
headers = {x-team = "a"}
[llm.providers.other]
wire = "anthropic"
base_url = "http://10.0.0.6"
[llm.providers.anthropic]
api_key_file = "~/keys/anthropic"
""",
    )
    llm = config.load().llm
    box = llm.providers["my-box"]
    assert (box.wire, box.kind, box.base_url) == (
        "openai-chat",
        "openai",
        "http://10.0.0.5:8000/v1",
    )
    assert (box.key_env, box.key_file) == (("BOX_KEY",), home / ".config/mechagym/box.key")
    assert (box.needs_key, box.closed, box.price, box.first_output_s) == (True, False, "free", 7)
    assert box.headers == {"x-team": "a"}
    assert llm.outgoing.ca_file == home / ".config/mechagym/certs.pem"
    other = llm.providers["other"]
    assert (other.wire, other.kind, other.needs_key) == ("anthropic", "anthropic", False)
    anthropic = llm.providers["anthropic"]
    assert anthropic.key_file == home / "keys/anthropic"
    assert (anthropic.key_env, anthropic.closed) == (("ANTHROPIC_API_KEY",), True)
    monkeypatch.setenv("MY_BOX_BASE_URL", "http://10.0.0.7/v1")
    assert config.load().llm.providers["my-box"].base_url == "http://10.0.0.7/v1"


@pytest.fixture
def double() -> Iterator[ProviderDouble]:
    """A provider on a port of its own, with the one model `local`."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(
            provider_double(always(Turn(text="it works")), models=(Listed(id="local"),))
        ) as started,
    ):
        yield started


async def said(model: str) -> str:
    """What a model says through the whole stack, made of this host's settings alone."""
    settings = config.load()
    provider, _, name = model.partition(":")
    async with Models(
        settings=settings.llm,
        catalogue=wiring.catalogue(settings),
        prices=wiring.prices(settings),
        credentials=wiring.credentials(settings),
    ) as models:
        opened = models.open_model(
            ModelName(provider, name), meter=Meter(budget=Budget()), emit=lambda _: None
        )
        with override_allow_model_requests(True):
            answer = await opened.request(
                [ModelRequest.user_text_prompt("hello")], None, ModelRequestParameters()
            )
    return answer.text or ""


@pytest.mark.must("llm-7")
@pytest.mark.anyio
@pytest.mark.parametrize("provider", ["fm", "vllm", "my-box", "my-claude", "ollama"])
async def test_a_local_provider_works_by_configuration_alone(
    home: Path, double: ProviderDouble, monkeypatch, provider: str
):
    if provider.startswith("my-"):
        wire = "anthropic" if provider == "my-claude" else "openai-chat"
        base = double.url if provider == "my-claude" else f"{double.url}/v1"
        write(
            home / "here/mechagym.toml",
            f'[llm.providers.{provider}]\nwire = "{wire}"\nbase_url = "{base}"\nprice = "free"\n'
            'api_key_env = "MY_KEY"\n',
        )
        monkeypatch.setenv("MY_KEY", "sk-my-own-key-0123456789")
    else:
        monkeypatch.setenv(f"{provider.upper()}_BASE_URL", f"{double.url}/v1")
    assert await said(f"{provider}:local") == "it works"
    [asked] = double.works
    assert asked.model == "local"
    if provider.startswith("my-"):
        assert asked.key == "sk-my-own-key-0123456789"


@pytest.mark.anyio
async def test_the_organisation_goes_with_the_key(home: Path, double: ProviderDouble, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", f"{double.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-this-test-0123456789")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    assert await said("openai-chat:gpt-4o") == "it works"
    assert double.works[0].headers["openai-organization"] == "org-1"


@pytest.mark.must("llm-7")
@pytest.mark.parametrize("provider", ["fm", "vllm", "ollama"])
def test_a_local_provider_is_checked_and_named(
    cli: Cli, double: ProviderDouble, monkeypatch, provider: str
):
    monkeypatch.setenv(f"{provider.upper()}_BASE_URL", f"{double.url}/v1")
    result = cli("models", "check", f"{provider}:local")
    assert (result.exit_code, double.works) == (0, [])
