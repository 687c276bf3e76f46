"""The way out: the listed hosts and nothing else, whatever names resolve to."""

import socket
from collections.abc import Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio.abc import ByteStream, SocketAttribute
from hypothesis import given
from hypothesis import strategies as st

from mechagym.errors import ConfigError
from mechagym.sandbox.allowlist import allows, is_public, reachable, read_entry
from mechagym.sandbox.base import NetworkPolicy
from mechagym.sandbox.egress import Front

if TYPE_CHECKING:
    from mechagym.events import EgressConnected


def policy(*hosts: str) -> NetworkPolicy:
    return NetworkPolicy(mode="allowlist", allowed_hosts=hosts)


@pytest.mark.parametrize(
    ("entry", "host", "port", "expected"),
    [
        ("pypi.org", "pypi.org", 443, True),
        ("pypi.org", "PyPI.org.", 80, True),
        ("pypi.org", "pypi.org", 8080, False),
        ("pypi.org:8080", "pypi.org", 8080, True),
        ("pypi.org:8080", "pypi.org", 443, False),
        ("pypi.org", "evilpypi.org", 443, False),
        ("pypi.org", "files.pypi.org", 443, False),
        ("*.pypi.org", "files.pypi.org", 443, True),
        ("*.pypi.org", "a.b.pypi.org", 443, True),
        ("*.pypi.org", "pypi.org", 443, False),
        ("*.pypi.org", "evilpypi.org", 443, False),
        ("10.0.0.0/8", "10.1.2.3", 80, True),
        ("10.0.0.0/8:5432", "10.1.2.3", 5432, True),
        ("10.0.0.0/8", "::ffff:10.1.2.3", 80, True),
        ("10.0.0.0/8", "11.1.2.3", 80, False),
        ("[fd00::1]:8000", "fd00::1", 8000, True),
        ("fd00::/8", "fd12::1", 443, True),
        ("93.184.216.34", "93.184.216.34", 443, True),
        ("pypi.org", "pypi.org\0.evil", 443, False),
        ("pypi.org", "", 443, False),
    ],
)
def test_what_is_allowed(entry: str, host: str, port: int, expected: bool):
    assert allows(policy(entry), host, port) is expected


@pytest.mark.parametrize("text", ["https://x.org", "x.org/path", "", "a b", "*.*.x", "x..y", "*"])
def test_what_is_no_entry_is_told(text: str):
    with pytest.raises(ConfigError, match="allowed host"):
        read_entry(text)


INWARD = [
    *("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0"),
    *("100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "fe80::1", "fd00::1", "ff02::1"),
    *("::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "::"),
]


@pytest.mark.parametrize("address", INWARD)
def test_a_name_never_leads_inward(address: str):
    assert not is_public(ip_address(address))
    assert not reachable(policy("x.org"), ip_address(address), 443)


def test_an_address_entry_does():
    assert reachable(policy("x.org", "10.0.0.0/8"), ip_address("10.0.0.1"), 443)
    assert not reachable(policy("x.org", "10.0.0.0/8:5432"), ip_address("10.0.0.1"), 443)


@given(st.text(max_size=40), st.integers(0, 70000))
def test_no_text_gets_through_an_empty_list(host: str, port: int):
    assert not allows(policy(), host, port)
    assert not allows(NetworkPolicy(mode="no-network"), host, port)


@asynccontextmanager
async def echo_server():
    """Answers HTTP with what it was asked; tells its port."""

    async def handle(stream: ByteStream) -> None:
        async with stream:
            data = await stream.receive()
            if data.startswith((b"GET", b"POST")):
                body = data
                await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
                await stream.send(body)
            else:
                await stream.send(b"echo:" + data)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handle)
        yield listener.extra(SocketAttribute.local_port)
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def proxy(*hosts: str):
    seen: list[EgressConnected] = []
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(Front(policy(*hosts), report=seen.append).serve, listener)
        yield listener.extra(SocketAttribute.local_port), seen
        tasks.cancel_scope.cancel()


async def ask(port: int, *parts: bytes) -> bytes:
    """Send parts, each after an answer to the one before; return all that came."""
    answer = b""
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        for part in parts:
            await stream.send(part)
            answer += await stream.receive()
        await stream.send_eof()
        with anyio.fail_after(10):
            async for data in stream:
                answer += data
    return answer


async def test_a_tunnel_to_a_listed_address():
    async with echo_server() as server, proxy(f"127.0.0.1:{server}") as (port, seen):
        answer = await ask(port, b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n\r\n" % server, b"hello")
    assert answer.endswith(b"echo:hello")
    (one,) = seen
    assert (one.verdict, one.host, one.port) == ("allowed", "127.0.0.1", server)
    assert (one.sent_bytes, one.received_bytes) == (5, 10)


async def test_a_plain_request_is_sent_on_for_the_checked_host_alone():
    async with echo_server() as server, proxy(f"127.0.0.1:{server}") as (port, _):
        answer = await ask(
            port,
            b"GET http://127.0.0.1:%d/a?b=c HTTP/1.1\r\nHost: evil.example\r\n"
            b"Proxy-Authorization: x\r\nAccept: */*\r\n\r\n" % server,
        )
    assert b"GET /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % server in answer
    assert b"evil" not in answer
    assert b"Proxy-" not in answer
    assert b"Connection: close" in answer


@pytest.mark.parametrize(
    "request_line",
    [
        "CONNECT example.com:443",
        "CONNECT 127.0.0.1:22",
        "CONNECT 169.254.169.254:80",
        "CONNECT [::1]:443",
        "GET http://169.254.169.254/latest/meta-data/",
        "GET http://localhost/",
    ],
)
async def test_what_is_not_listed_is_refused_and_told(request_line: str):
    async with proxy("pypi.org") as (port, seen):
        answer = await ask(port, f"{request_line} HTTP/1.1\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 403")
    assert [c.verdict for c in seen] == ["refused"]


async def test_a_listed_name_that_leads_inward_is_refused():
    """`localhost` is a name like any other: only its address, named, would open the way."""
    async with echo_server() as server, proxy(f"localhost:{server}") as (port, seen):
        answer = await ask(port, b"CONNECT localhost:%d HTTP/1.1\r\n\r\n" % server)
    assert answer.startswith(b"HTTP/1.1 403")
    assert "not public" in seen[0].reason


async def test_a_name_that_changes_its_mind_gains_nothing(monkeypatch):
    """DNS rebinding: asked again, the name would lead inward; it is not asked again."""
    answers = [["203.0.113.9"], ["127.0.0.1"]]
    asked: list[str] = []
    reached: list[str] = []

    async def getaddrinfo(host: str, port: int) -> Sequence[tuple[object, ...]]:
        asked.append(host)
        return [(socket.AF_INET, 1, 6, "", (a, port)) for a in answers[len(asked) - 1]]

    async def connect_tcp(address: str, port: int) -> ByteStream:
        reached.append(address)
        raise OSError("nobody there")

    async with (
        echo_server() as server,
        proxy(f"rebind.example:{server}", "203.0.113.9") as (
            port,
            seen,
        ),
        await anyio.connect_tcp("127.0.0.1", port) as stream,
    ):
        monkeypatch.setattr(anyio, "getaddrinfo", getaddrinfo)
        monkeypatch.setattr(anyio, "connect_tcp", connect_tcp)
        await stream.send(b"CONNECT rebind.example:%d HTTP/1.1\r\n\r\n" % server)
        answer = await stream.receive()
        monkeypatch.undo()
    assert answer.startswith((b"HTTP/1.1 502", b"HTTP/1.1 403"))
    assert len(asked) == 1
    assert "127.0.0.1" not in reached
    assert len(seen) == 1


@pytest.mark.parametrize(
    "junk", [b"\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"x\r\n\r\n", b"GET ftp://x/ HTTP/1.1\r\n\r\n"]
)
async def test_junk_is_answered_and_harms_nobody(junk: bytes):
    async with proxy("pypi.org") as (port, _):
        assert (await ask(port, junk)).startswith(b"HTTP/1.1 400")
        assert (await ask(port, b"CONNECT x.org:443 HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 403")
