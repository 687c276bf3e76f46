"""Lists asked of the double in each provider's shape, and what health makes of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import anyio
import httpx2
import pytest

from mechagym.errors import ConfigError, PriceUnknown
from mechagym.llm.catalogue import Catalogue
from mechagym.llm.credentials import Credential, Credentials
from mechagym.llm.facts import Facts
from mechagym.llm.health import Health, check
from mechagym.llm.kept import keep, keep_prices, kept_lists, kept_prices
from mechagym.llm.list_prices import openrouter_prices
from mechagym.llm.listing import fetch
from mechagym.llm.names import ModelName
from mechagym.llm.outgoing import Outgoing
from mechagym.llm.price_table import PriceTable
from mechagym.llm.providers import SHIPPED, Provider
from mechagym.llm.secret import Secret
from mechagym.testing.provider import Listed, ProviderDouble, provider_double

pytestmark = pytest.mark.anyio

KEY = "sk-test-of-the-listing-0123456789"
ENVIRON = {
    "ANTHROPIC_API_KEY": KEY,
    "OPENAI_API_KEY": KEY,
    "GOOGLE_API_KEY": KEY,
    "OPENROUTER_API_KEY": KEY,
}
PATHS = {"openai": "/v1", "openrouter": "/api/v1", "ollama": "/v1", "fm": "/v1", "vllm": "/v1"}
DIRECT = Outgoing()
TODAY = date(2026, 11, 20)
MODELS = (
    Listed(id="one-1", retires_at="2027-01-14T00:00:00Z", lifecycle="deprecated"),
    Listed(id="two-2-20260101", context_window=None, max_output=None, created=0),
)


def at(double: ProviderDouble, name: str) -> Provider:
    return replace(SHIPPED[name], base_url=double.url + PATHS.get(name, ""))


def key_of(provider: Provider) -> Credential | None:
    return Credentials(environ=ENVIRON).get(provider)


@asynccontextmanager
async def listing(**more: object) -> AsyncIterator[ProviderDouble]:
    async with provider_double([], models=MODELS, **more) as double:  # type: ignore[arg-type]
        yield double


@pytest.mark.parametrize(
    ("name", "one", "two"),
    [
        (
            "anthropic",
            Facts(
                context_window=200_000,
                max_output=64_000,
                released_at=date(2025, 10, 15),
                retires_at=date(2027, 1, 14),
            ),
            Facts(released_at=date(2025, 10, 15)),
        ),
        ("openai", Facts(released_at=date(2025, 10, 15)), Facts()),
        ("google", Facts(context_window=200_000, max_output=64_000), Facts()),
        (
            "openrouter",
            Facts(
                context_window=200_000,
                max_output=64_000,
                released_at=date(2025, 10, 15),
                retires_at=date(2027, 1, 14),
            ),
            Facts(),
        ),
        ("ollama", Facts(), Facts()),
        ("vllm", Facts(released_at=date(2025, 10, 15)), Facts()),
    ],
)
async def test_each_provider_is_read_as_it_speaks(name: str, one: Facts, two: Facts):
    async with listing() as double:
        provider = at(double, name)
        found = await fetch(provider, key_of(provider), DIRECT)
        assert found == {"one-1": one, "two-2-20260101": two}
        assert double.works == []


@pytest.mark.parametrize(
    ("name", "header", "value"),
    [
        ("anthropic", "x-api-key", KEY),
        ("openai", "authorization", f"Bearer {KEY}"),
        ("google", "x-goog-api-key", KEY),
        ("openrouter", "authorization", f"Bearer {KEY}"),
        ("ollama", "authorization", None),
    ],
)
async def test_the_key_goes_in_a_header_and_never_in_the_url(name: str, header: str, value):
    async with listing() as double:
        provider = at(double, name)
        await fetch(provider, key_of(provider), DIRECT)
        [asked] = double.asked
        assert asked.headers.get(header) == value
        assert KEY not in asked.path


async def test_a_login_goes_as_bearer_with_its_beta():
    login = Credential(
        secret=Secret("oauth", "x"), source="x", scheme="bearer", headers={"anthropic-beta": "b"}
    )
    async with listing() as double:
        await fetch(at(double, "anthropic"), login, DIRECT)
        assert double.asked[0].headers["authorization"] == "Bearer oauth"
        assert double.asked[0].headers["anthropic-beta"] == "b"


async def paged(stream: anyio.abc.SocketStream) -> None:
    """A provider whose list has two pages."""
    async with stream:
        request = (await stream.receive()).decode()
        second = "after_id=a" in request
        item, more = ("b", "false") if second else ("a", "true")
        body = f'{{"data": [{{"id": "{item}"}}], "has_more": {more}, "last_id": "{item}"}}'
        head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        await stream.send((head + body).encode())


@asynccontextmanager
async def server(handle) -> AsyncIterator[str]:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handle)
        yield f"http://127.0.0.1:{port}"
        tasks.cancel_scope.cancel()


async def test_all_pages_of_a_list_are_asked_for():
    async with server(paged) as url:
        provider = replace(SHIPPED["anthropic"], base_url=url)
        assert list(await fetch(provider, None, DIRECT)) == ["a", "b"]


def answering(body: str):
    async def handle(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
            await stream.send((head + body).encode())

    return handle


@pytest.mark.parametrize("body", ["no json", "[]", "{}", '{"data": 3}', '{"data": null}'])
async def test_what_is_no_list_is_an_error(body: str):
    async with server(answering(body)) as url:
        with pytest.raises(ValueError, match=r"list|Expecting"):
            await fetch(replace(SHIPPED["openai"], base_url=url), None, DIRECT)


async def test_odd_entries_of_a_list_give_what_they_say():
    body = """{"data": [{"id": "a", "created": "x", "max_model_len": 8192}, 3, {"no": "id"},
        {"id": "b", "max_model_len": 0}, {"id": "c", "max_model_len": "8k"}]}"""
    async with server(answering(body)) as url:
        found = await fetch(replace(SHIPPED["vllm"], base_url=url), None, DIRECT)
    assert found == {"a": Facts(context_window=8192), "b": Facts(), "c": Facts()}


async def test_a_kept_list_is_read_as_a_source_with_its_day(tmp_path: Path):
    facts = {"claude-haiku-4-5": Facts(max_output=1234), "claude-new": Facts()}
    path = keep(tmp_path / "models", SHIPPED["anthropic"], facts, today=TODAY)
    assert kept_lists(tmp_path / "models") == [path]
    assert [p.name for p in path.parent.iterdir()] == ["anthropic.json"]
    catalogue = Catalogue.load(*kept_lists(tmp_path / "models"))
    found = catalogue.find(ModelName("anthropic", "claude-haiku-4-5"))
    assert found.max_output == 1234
    assert found.sources["max_output"] == "anthropic's list of 2026-11-20"
    assert found.context_window == 200_000
    assert catalogue.knows(ModelName("anthropic", "claude-new"))
    assert kept_lists(tmp_path / "none") == []


def priced(**pricing: str | None) -> dict[str, object]:
    return {"id": "maker/model", "pricing": pricing}


@pytest.mark.parametrize(
    ("entry", "rates"),
    [
        (
            priced(prompt="0.00000125", completion="0.00001", web_search="0.01"),
            ("1.25", "10", "1.25", "1.25", "10", "10"),
        ),
        (
            priced(
                prompt="0.000001",
                completion="0.000005",
                input_cache_read="0.0000001",
                input_cache_write="0.00000125",
                internal_reasoning="0.000006",
            ),
            ("1", "5", "0.1", "1.25", "6", None),
        ),
        (
            priced(prompt="0.000001", completion="0.000005", internal_reasoning="0", request="0"),
            ("1", "5", "1", "1", "5", None),
        ),
        ({"id": "maker/model:free", "pricing": {"prompt": "0", "completion": "0"}}, ("0",) * 6),
        (priced(prompt="0", completion="0"), None),
        (priced(prompt="-1", completion="-1"), None),
        (priced(prompt="0.1", completion="0.1", request="0.01"), None),
        (priced(prompt="0.1"), None),
        (priced(prompt="soon", completion="0.1"), None),
        (priced(prompt="NaN", completion="0.1"), None),
        ({"id": "maker/model", "pricing": None}, None),
    ],
)
def test_prices_of_a_list_are_kept_exactly_or_not_at_all(tmp_path: Path, entry, rates):
    found = openrouter_prices([entry], source="its list")
    keep_prices(tmp_path, SHIPPED["openrouter"], found, today=TODAY)
    table = PriceTable.load(*kept_prices(tmp_path))
    at_noon = datetime(2026, 11, 20, 12, tzinfo=UTC)
    model = ModelName("openrouter", entry["id"])
    if rates is None:
        assert found == {}
        with pytest.raises(PriceUnknown):
            table.find(model, at_noon)
        return
    price = table.find(model, at_noon)
    names = ("input", "output", "cache_read", "cache_write_5m", "reasoning")
    shown = [*(getattr(price, name).usd for name in names), price.usd_per_1k_searches]
    assert shown == [Decimal(rate) if rate is not None else None for rate in rates]
    assert price.ref.startswith("openrouter.pricing.yaml@")


@asynccontextmanager
async def checked(
    provider: str = "anthropic", model: str = "one-1", *, credentials=None, **change: object
) -> AsyncIterator[tuple[Health, ProviderDouble]]:
    async with listing(key=KEY) as double:
        there = replace(at(double, provider), **change)  # type: ignore[arg-type]
        keys = credentials or Credentials(environ=ENVIRON)
        yield await check(ModelName(provider, model), there, keys, DIRECT), double
        assert double.works == []


@pytest.mark.must("llm-9")
@pytest.mark.parametrize("model", ["one-1", "two-2-20260101", "two-2"])
@pytest.mark.parametrize("provider", ["anthropic", "openai", "google", "openrouter"])
async def test_ok(provider: str, model: str):
    async with checked(provider, model) as (found, double):
        assert (found.state, found.model) == ("ok", f"{provider}:{model}")
        assert found.took_ms is not None
        assert len(double.asked) == 1


@pytest.mark.must("llm-9")
async def test_no_credential():
    async with checked(credentials=Credentials(environ={})) as (found, double):
        assert found.state == "no_credential"
        assert "ANTHROPIC_API_KEY" in found.says
        assert double.asked == []


@pytest.mark.must("llm-9")
async def test_unauthorised():
    wrong = Credentials(environ={"ANTHROPIC_API_KEY": "sk-a-wrong-key-0123456789"})
    async with checked(credentials=wrong) as (found, _):
        assert found.state == "unauthorised"
        assert "anthropic:env:…6789" in found.says
        assert "wrong-key" not in found.says


@pytest.mark.must("llm-9")
@pytest.mark.parametrize(
    ("url", "says"), [("http://127.0.0.1:1", "127.0.0.1:1"), (None, "no address")]
)
async def test_unreachable(url: str | None, says: str):
    async with checked(base_url=url) as (found, _):
        assert found.state == "unreachable"
        assert says in found.says


@pytest.mark.must("llm-9")
async def test_model_missing():
    async with checked(model="one-2") as (found, _):
        assert found.state == "model_missing"
        assert "nearest: one-1" in found.says


class Ended:
    """A login that is over."""

    def get(self) -> Credential:
        raise ConfigError("it expired", remedy="start `claude` once", reason="expired")

    def reread(self) -> bool:
        return False


@pytest.mark.must("llm-9")
async def test_expired():
    keys = Credentials(environ={}, login=Ended())
    async with checked(credentials=keys) as (found, double):
        assert (found.state, found.says) == ("expired", "it expired: start `claude` once")
        assert double.asked == []


async def test_what_lives_in_this_process_is_ok():
    found = await check(
        ModelName("replay", "x"), SHIPPED["replay"], Credentials(environ={}), DIRECT
    )
    assert found.state == "ok"


async def test_a_latest_of_ollama_is_named_without_its_tag():
    async with provider_double([], models=(Listed(id="qwen3:latest"),)) as double:
        found = await check(
            ModelName("ollama", "qwen3"), at(double, "ollama"), Credentials(environ={}), DIRECT
        )
    assert found.state == "ok"


@pytest.mark.parametrize(
    ("no_proxy", "url", "proxied"),
    [
        ("", "https://api.example.com/v1", True),
        ("example.com", "https://api.example.com/v1", False),
        (".example.com", "https://api.example.com/v1", False),
        ("*.example.com", "https://api.example.com/v1", False),
        ("ample.com", "https://api.example.com/v1", True),
        ("example.com:8443", "https://api.example.com/v1", True),
        ("example.com:8443", "https://api.example.com:8443/v1", False),
        ("*", "https://api.example.com/v1", False),
        ("127.0.0.1, localhost", "http://127.0.0.1:11434/v1", False),
        ("", "http://127.0.0.1:11434/v1", False),
    ],
)
def test_which_calls_go_by_the_proxy(no_proxy: str, url: str, proxied: bool):
    outgoing = Outgoing(
        proxies={"https": "http://proxy:3128"}, no_proxy=tuple(filter(None, no_proxy.split(",")))
    )
    assert outgoing.proxy_for(url) == ("http://proxy:3128" if proxied else None)


async def test_a_list_is_asked_by_the_proxy():
    async with listing() as double:
        provider = replace(SHIPPED["openai"], base_url="http://models.invalid/v1")
        by_proxy = Outgoing(proxies={"http": double.url})
        with pytest.raises(httpx2.HTTPStatusError):  # the double takes no absolute path
            await fetch(provider, key_of(provider), by_proxy)
        assert double.asked[0].path == "http://models.invalid/v1/models"
        with pytest.raises(httpx2.ConnectError):
            await fetch(provider, key_of(provider), DIRECT)
