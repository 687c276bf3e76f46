"""What leaves a box in a whole trial: the gateway, listed hosts by the proxy, and nothing else."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from mechagym.events import EgressConnected, MessageSaid, ModelAnswered, NetworkProved
from mechagym.testing.provider import Turn, always, provider_double
from tests.flow.conftest import BOXES, KEY, Host

pytestmark = [pytest.mark.live, pytest.mark.alone]  # they take a port of the host

TOML = """\
schema_version = "1.4"
agent.timeout_sec = 60
verifier.timeout_sec = 60
[environment]
docker_image = "python:3.13-slim-bookworm"
workdir = "/tmp"
network_mode = "{mode}"
allowed_hosts = {hosts}
"""
CALLER = """\
import json, os, socket, urllib.error, urllib.request
def tried(name, what):
    try: print(name, what(), flush=True)
    except urllib.error.HTTPError as error: print(name, error.code, flush=True)
    except OSError as error: print(name, "closed", flush=True)
def model():
    body = {"model": os.environ["MODEL"], "max_tokens": 64,
            "messages": [{"role": "user", "content": "x"}]}
    headers = {"x-api-key": os.environ["ANTHROPIC_API_KEY"], "content-type": "application/json"}
    request = urllib.request.Request(os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages",
                                     json.dumps(body).encode(), headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return json.load(opener.open(request, timeout=10))["content"][0]["text"]
def direct(host, port):
    return lambda: socket.create_connection((host, int(port)), timeout=2) and "open"
def proxied(url):
    return lambda: urllib.request.urlopen(url, timeout=10).read().decode()
tried("model", model)
host, port = os.environ["SERVICE"].split(":")
tried("service", direct(host, port))
tried("loopback", direct("127.0.0.1", port))
tried("metadata", direct("169.254.169.254", 80))
if os.environ.get("http_proxy"):
    tried("listed", proxied(f"http://{host}:{port}/"))
    tried("unlisted", proxied("http://192.0.2.1/"))
    tried("inward", proxied("http://169.254.169.254/"))
"""


class Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def service() -> Iterator[str]:
    """A service of the host on all its addresses, at a port that allow-lists may name."""
    try:
        server = HTTPServer(("0.0.0.0", 80), Hello)
    except OSError as error:
        pytest.skip(f"needs port 80 of this host: {error}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        address = probe.getsockname()[0]
    yield f"{address}:{server.server_port}"
    server.shutdown()
    server.server_close()


def write_task(folder: Path, mode: str, hosts: list[str]) -> Path:
    files = {
        "task.toml": TOML.format(mode=mode, hosts=hosts),
        "instruction.md": "Look for a way out.\n",
        "tests/test.sh": "echo 1 >/logs/verifier/reward.txt\n",
    }
    for name, text in files.items():
        path = folder / "out" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder / "out"


@pytest.mark.must("llm-32", "llm-33")
@pytest.mark.parametrize("mode", ["no-network", "allowlist"])
@pytest.mark.parametrize("box", BOXES)
async def test_the_gateway_and_the_list_and_nothing_else(
    host: Host, service: str, box: str, mode: str
):
    tool = host.home / "tool"
    tool.mkdir()
    (tool / "caller.py").write_text(CALLER, encoding="utf-8")
    address = service.partition(":")[0]
    task = write_task(host.home, mode, [address] if mode == "allowlist" else [])
    async with provider_double(always(Turn(text="yes")), key=KEY) as double:
        done = await host.run(
            *(str(task), "-a", "command", "-m", "anthropic:claude-haiku-4-5", *BOXES[box]),
            *("--set", f"agent.mount={tool}"),
            *("--set", f"agent.run=SERVICE={service} python3 /opt/mechagym/command/caller.py"),
            env={"ANTHROPIC_BASE_URL": double.url, "ANTHROPIC_API_KEY": KEY},
        )
    assert done.exit_code == 0, done.err + done.out
    (record,) = await done.records()
    bodies = await done.events(record.key.trial_id)
    said = dict(b.text.split(" ", 1) for b in bodies if isinstance(b, MessageSaid))
    closed = dict.fromkeys(("service", "loopback", "metadata"), "closed")
    by_proxy = {"listed": "hello", "unlisted": "403", "inward": "403"}
    assert said == {"model": "yes", **closed, **(by_proxy if mode == "allowlist" else {})}
    assert sum(isinstance(body, ModelAnswered) for body in bodies) == 1
    proofs = [body for body in bodies if isinstance(body, NetworkProved)]
    assert proofs
    assert all(proof.held for proof in proofs)
    went = [(e.host, e.verdict) for e in bodies if isinstance(e, EgressConnected)]
    listed = [(address, "allowed"), ("192.0.2.1", "refused")]
    asked = [pair for pair in went if pair in [*listed, ("169.254.169.254", "refused")]]
    assert (len(asked) >= 3) is (mode == "allowlist"), went
