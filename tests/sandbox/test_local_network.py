"""Network policies of local boxes, proved from inside, with servers of the host listening next
door.
"""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest

from mechagym.sandbox.base import NetworkPolicy
from mechagym.sandbox.local import LocalSandbox, runtime
from tests.sandbox.local_parts import host_spec, text

if TYPE_CHECKING:
    from mechagym.events import EgressConnected

pytestmark = pytest.mark.live
NO_WAY_OUT = runtime.way_out()[0] is None
GET = (
    "python3 -c 'import sys,urllib.request as r;"
    "print(r.urlopen(sys.argv[1],timeout=4).read().decode())' http://{}/ 2>&1"
)
REACH = "python3 -c 'import socket; socket.create_connection((\"{}\",{}),timeout=2)'"


class Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello from the host")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
async def sandbox(sandbox: LocalSandbox) -> LocalSandbox:
    await sandbox.plant()
    return sandbox


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    server = HTTPServer(("0.0.0.0", 0), Hello)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


async def refused_all(box, server: HTTPServer) -> None:
    """No way to anything but the box's own loopback."""
    for host in ("127.0.0.1", own_address(), "10.0.2.2"):
        assert not (await box.exec(["sh", "-c", REACH.format(host, server.server_port)])).ok, host
    assert not (await box.exec(["sh", "-c", REACH.format("169.254.169.254", 80)])).ok
    assert not (await box.exec(["sh", "-c", REACH.format("192.0.2.1", 53)])).ok
    lookup = "python3 -c 'import socket; socket.getaddrinfo(\"deb.debian.org\", 80)'"
    assert not (await box.exec(["sh", "-c", lookup])).ok


@pytest.mark.must("sandbox-8")
async def test_no_network_reaches_nothing(sandbox, server):
    async with sandbox.open(host_spec()) as box:
        await refused_all(box, server)


@pytest.mark.must("sandbox-8")
async def test_an_allowlist_reaches_what_it_lists_by_the_proxy_alone(sandbox, server):
    address = f"{own_address()}:{server.server_port}"
    policy = NetworkPolicy(mode="allowlist", allowed_hosts=(address,))
    seen: list[EgressConnected] = []
    async with sandbox.open(host_spec(network=policy, on_egress=seen.append)) as box:
        assert "hello from the host" in await text(box, GET.format(address))
        other = await box.exec(["sh", "-c", GET.format("192.0.2.1")])
        assert not other.ok
        assert "403" in other.text
        await refused_all(box, server)
        assert [connection.verdict for connection in seen] == ["allowed", "refused"]
        async with box.fork() as fork:
            assert "hello from the host" in await text(fork, GET.format(address))


@pytest.mark.must("sandbox-8")
async def test_the_policy_changes_between_phases(sandbox, server):
    address = f"{own_address()}:{server.server_port}"
    async with sandbox.open(host_spec()) as box:
        assert not (await box.exec(["sh", "-c", GET.format(address)])).ok
        await box.use_network(NetworkPolicy(mode="allowlist", allowed_hosts=(address,)))
        assert box.info.network == "allowlist"
        assert "hello" in await text(box, GET.format(address))
        await box.use_network(NetworkPolicy(mode="no-network"))
        assert not (await box.exec(["sh", "-c", GET.format(address)])).ok
        await refused_all(box, server)


@pytest.mark.skipif(NO_WAY_OUT, reason=runtime.way_out()[1])
async def test_public_reaches_out_but_not_the_hosts_loopback(sandbox, server):
    loopback = HTTPServer(("127.0.0.1", 0), Hello)
    thread = threading.Thread(target=loopback.serve_forever, daemon=True)
    thread.start()
    try:
        async with sandbox.open(host_spec(network=NetworkPolicy(mode="public"))) as box:
            outside = f"{own_address()}:{server.server_port}"
            if not outside.startswith("127."):
                assert "hello" in await text(box, GET.format(outside))
            for host in ("127.0.0.1", "10.0.2.2"):
                reach = REACH.format(host, loopback.server_port)
                assert not (await box.exec(["sh", "-c", reach])).ok, host
            slirp = box.instance.network._slirp
            await box.use_network(NetworkPolicy(mode="no-network"))
            assert slirp.poll() is not None
            await refused_all(box, server)
    finally:
        loopback.shutdown()
        loopback.server_close()
        thread.join()


@pytest.mark.skipif(not NO_WAY_OUT, reason="there is a way out here")
async def test_what_has_no_way_out_says_so(sandbox):
    from mechagym.errors import LimitRefused

    with pytest.raises(LimitRefused, match="public") as caught:
        async with sandbox.open(host_spec(network=NetworkPolicy(mode="public"))):
            pass
    assert "tun" in str(caught.value) or "slirp4netns" in str(caught.value)


@pytest.mark.must("sandbox-8")
async def test_boxes_do_not_see_each_other(sandbox):
    async with sandbox.open(host_spec()) as one, sandbox.open(host_spec()) as other:
        serve = "python3 -m http.server 8000 >/dev/null 2>&1 & sleep 1"
        await one.exec(["sh", "-c", serve])
        assert (await one.exec(["sh", "-c", REACH.format("127.0.0.1", 8000)])).ok
        assert not (await other.exec(["sh", "-c", REACH.format("127.0.0.1", 8000)])).ok
