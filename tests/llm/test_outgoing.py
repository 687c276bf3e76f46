"""How calls leave this host: through real proxies and real TLS, by both doors and for lists."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from mechagym.errors import ConfigError, MechagymError
from mechagym.llm import health
from mechagym.llm.credentials import Credentials
from mechagym.llm.gateway import open_gateway
from mechagym.llm.outgoing import Outgoing
from mechagym.llm.settings import RetryLimits
from mechagym.testing.provider import Turn, always
from tests.llm.gateway_stand import PATHS, Stand, asking
from tests.llm.parts import KEYS, WIRES, Bench, ask, ask_streamed, bench
from tests.llm.roads import Certificates, certificates, proxy_to, tls_before

HOST = "provider.test"
"""A name that nobody resolves: only a proxy gets there."""

USER, PASSWORD = "gym:p%40ss%3Aword", "gym:p@ss:word"
HAIKU = WIRES["anthropic"]
WORKS = always(Turn(text="it works"))


@pytest.fixture
def certs(tmp_path: Path) -> Certificates:
    return certificates(tmp_path, HOST, "localhost")


def once() -> Any:
    return bench(WORKS, retry=RetryLimits(tries=1))


def move(made: Bench, base: str, **outgoing: Any) -> Outgoing:
    """Put all providers of a stack behind `base`, reached in this way, before any call."""
    way = Outgoing(**outgoing)
    settings = made.models.settings
    providers = {
        name: replace(one, base_url=(one.base_url or "").replace(made.double.url, base))
        for name, one in settings.providers.items()
    }
    made.models.settings = replace(settings, providers=providers, outgoing=way)
    return way


@asynccontextmanager
async def gateway_of(made: Bench) -> AsyncIterator[Stand]:
    async with open_gateway(made.models) as gateway, gateway.listen() as url:
        yield Stand(bench=made, gateway=gateway, url=url)


async def answered(at: Stand, wire: Any = "anthropic") -> httpx2.Response:
    async with at.client() as client:
        return await client.post(PATHS[wire], json=asking(wire))


async def listed(made: Bench, way: Outgoing) -> health.Health:
    provider = made.models.provider(HAIKU)
    return await health.check(HAIKU, provider, Credentials(environ=KEYS), way)


async def works_by_all(made: Bench, way: Outgoing) -> None:
    """By the gateway, in this process plain and streamed on all wires, and for lists."""
    async with gateway_of(made) as at:
        for wire in PATHS:
            answer = await answered(at, wire)
            assert answer.status_code == 200, answer.text
            assert "it works" in answer.text
    for name in WIRES.values():
        model = made.open(name)
        assert (await ask(model)).text == "it works"
        assert (await ask_streamed(model)).text == "it works"
    assert (await listed(made, way)).state == "model_missing"  # the double lists another one
    assert made.is_even()


async def fails_by_all(made: Bench, way: Outgoing, says: str) -> None:
    """Each way fails before anything is sent, says why, and holds no money."""
    async with gateway_of(made) as at:
        answer = await answered(at)
    assert answer.status_code == 502
    assert "mechagym:" in answer.text
    assert says in answer.text
    with pytest.raises(MechagymError, match=says):
        await ask(made.open(HAIKU))
    state = await listed(made, way)
    assert state.state == "unreachable"
    assert says in state.says
    assert made.double.asked == []
    assert made.is_even()
    assert made.meter.settled.billed_nano == 0


async def test_a_certificate_of_ones_own_ca_is_trusted(certs: Certificates):
    async with once() as made, tls_before(made.double.url, certs.server) as url:
        await works_by_all(made, move(made, url, ca_file=certs.ca_file))


async def test_a_ca_that_is_not_ones_own_is_not_trusted(certs: Certificates, tmp_path: Path):
    (tmp_path / "other").mkdir()
    other = certificates(tmp_path / "other", "localhost")
    async with once() as made, tls_before(made.double.url, certs.server) as url:
        await fails_by_all(made, move(made, url), "CERTIFICATE_VERIFY_FAILED")
        way = move(made, url, ca_file=other.ca_file)
        await fails_by_all(made, way, "CERTIFICATE_VERIFY_FAILED")


async def test_a_certificate_for_another_name_is_refused(certs: Certificates):
    async with once() as made, tls_before(made.double.url, certs.server) as url:
        way = move(made, url.replace("localhost", "127.0.0.1"), ca_file=certs.ca_file)
        await fails_by_all(made, way, "CERTIFICATE_VERIFY_FAILED")


async def test_by_a_proxy_that_wants_a_password_and_through_it_by_tls(certs: Certificates):
    async with (
        once() as made,
        tls_before(made.double.url, certs.server) as url,
        proxy_to(url, password=PASSWORD) as proxy,
    ):
        proxies = {"https": proxy.with_user(USER)}
        way = move(made, f"https://{HOST}", proxies=proxies, ca_file=certs.ca_file)
        assert "p%40ss" not in repr(way)
        await works_by_all(made, way)
        assert set(proxy.asked) == {f"CONNECT {HOST}:443 HTTP/1.1"}
        assert len(made.double.works) == len(PATHS) + 2 * len(WIRES)


async def test_a_proxy_that_knows_us_not_is_told_without_the_password(certs: Certificates):
    async with (
        once() as made,
        tls_before(made.double.url, certs.server) as url,
        proxy_to(url, password="gym:another") as proxy,
    ):
        proxies = {"https": proxy.with_user(USER)}
        way = move(made, f"https://{HOST}", proxies=proxies, ca_file=certs.ca_file)
        await fails_by_all(made, way, "407")
        told = repr(made.events) + (await listed(made, way)).says
        assert "p%40ss" not in told
        assert "p@ss" not in told


async def test_a_proxy_that_is_not_there(certs: Certificates):
    async with once() as made:
        proxies = {"https": "http://127.0.0.1:9"}
        way = move(made, f"https://{HOST}", proxies=proxies, ca_file=certs.ca_file)
        await fails_by_all(made, way, "All connection attempts failed")


async def test_a_plain_provider_by_a_proxy_is_asked_for_by_its_whole_address():
    async with once() as made, proxy_to(made.double.url) as proxy:
        await works_by_all(made, move(made, f"http://{HOST}", proxies={"http": proxy.url}))
        assert {line.split()[1].split("?")[0] for line in proxy.asked} >= {
            f"http://{HOST}/v1/messages",
            f"http://{HOST}/v1/chat/completions",
            f"http://{HOST}/v1/responses",
        }


@pytest.mark.parametrize("no_proxy", ["localhost", "*", "127.0.0.0/8, ::1"])
async def test_what_no_proxy_names_and_this_host_are_reached_without(
    certs: Certificates, no_proxy: str
):
    async with (
        once() as made,
        tls_before(made.double.url, certs.server) as url,
        proxy_to("http://127.0.0.1:9") as proxy,
    ):
        names = tuple(no_proxy.split(", "))
        proxies = {"https": proxy.url}
        way = move(made, url, proxies=proxies, no_proxy=names, ca_file=certs.ca_file)
        await works_by_all(made, way)
        assert proxy.asked == []


@pytest.mark.parametrize(
    ("no_proxy", "url", "proxied"),
    [
        ("10.0.0.0/8", "https://10.1.2.3/v1", False),
        ("10.0.0.0/8", "https://11.1.2.3/v1", True),
        ("[fd00::1]:8443", "https://[fd00::1]:8443", False),
        ("[fd00::1]:8443", "https://[fd00::1]:8444", True),
        ("fd00::/8", "https://[fd12::1]", False),
        ("10.0.0.5:8443", "https://10.0.0.5", True),
        ("", "https://127.0.0.1:8000/v1", False),
        ("", "https://[::1]:8000/v1", False),
        ("", "https://ollama.localhost/v1", False),
    ],
)
def test_addresses_networks_and_this_host_in_no_proxy(no_proxy: str, url: str, proxied: bool):
    names = tuple(filter(None, [no_proxy]))
    way = Outgoing(proxies={"https": "proxy.test:3128"}, no_proxy=names)
    assert way.proxy_for(url) == ("http://proxy.test:3128" if proxied else None)


async def test_what_cannot_work_is_told_before_a_job_starts(tmp_path: Path):
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    ways = {
        "socks5h://": Outgoing(proxies={"https": "socks5h://127.0.0.1:1080"}),
        "absent.pem": Outgoing(ca_file=tmp_path / "absent.pem"),
        "empty.pem": Outgoing(ca_file=empty),
    }
    async with once() as made:
        move(made, f"https://{HOST}")
        for says, way in ways.items():
            made.models.settings = replace(made.models.settings, outgoing=way)
            with pytest.raises(ConfigError, match=says):
                made.models.check(HAIKU)
            assert says in (await listed(made, way)).says
        away = Outgoing(proxies={"https": "socks5h://127.0.0.1:1080"}, no_proxy=(HOST,))
        made.models.settings = replace(made.models.settings, outgoing=away)
        made.models.check(HAIKU)


async def test_a_gateway_behind_another_one_holds_no_key_and_the_first_ones_limit(
    certs: Certificates,
):
    """By TLS, as from one host to another: the second knows a token and a certificate."""
    async with (
        once() as far,
        open_gateway(far.models) as first,
        first.listen("127.0.0.1", tls=certs.server) as address,
        once() as near,
    ):
        assert address.startswith("https://127.0.0.1:")
        at = Stand(bench=far, gateway=first, url=address)
        far.meter.set_limit("usd", 0.01)
        token = at.grant()
        near.models.credentials = Credentials(environ=dict.fromkeys(KEYS, token.value))
        base = address.replace("127.0.0.1", "localhost")
        move(near, base.replace(near.double.url, base), ca_file=certs.ca_file)
        for name, one in near.models.settings.providers.items():
            assert (one.base_url or "").startswith(base), name
        async with gateway_of(near) as second:
            answer = await answered(second)
            assert answer.status_code == 200, answer.text
            assert "it works" in answer.text
            assert far.double.works[0].key == KEYS["ANTHROPIC_API_KEY"]
            assert near.double.asked == []
            far.meter.set_limit("usd", 0.000001)
            refused = await answered(second)
            assert refused.status_code == 402
            assert "mechagym:" in refused.text
            first.revoke(token)
            dead = await answered(second)
            assert dead.status_code == 401
        assert far.is_even()
        assert near.is_even()
        assert near.meter.settled == far.meter.settled
