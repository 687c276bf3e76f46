"""Ways into boxes of a real Docker engine, each forced: our own socket, and a relay beside it."""

import hashlib
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import pytest
from anyio.abc import ByteStream, SocketAttribute

from mechagym.errors import BoxDied, LimitRefused
from mechagym.sandbox.base import (
    BoxSpec,
    BuildImage,
    Door,
    ExecOptions,
    Labels,
    NetworkPolicy,
    RegistryImage,
)
from mechagym.sandbox.docker import DockerSandbox, ways
from mechagym.sandbox.docker.box import DockerBox
from mechagym.sandbox.docker.doors import can_open
from mechagym.sandbox.docker.relay import Relay
from mechagym.sandbox.selftest import prove_network

BASE = "debian:bookworm-slim"
NO_NETWORK = NetworkPolicy(mode="no-network")
OK = b"HTTP/1.1 200 OK\r\n\r\n"
MIB = 1024 * 1024

pytestmark = pytest.mark.live

# asks the door: what the server sends is counted and hashed, what stdin holds is sent before
ASK = r"""
use IO::Socket::INET; binmode STDIN; binmode STDOUT;
my ($url, $path) = @ARGV; my ($at) = $url =~ m{//(.*)};
my $data; my $s = IO::Socket::INET->new(PeerAddr => $at) or die "closed\n"; binmode $s;
local $/; my $body = <STDIN>; print $s "POST $path HTTP/1.1\r\n\r\n$body"; shutdown $s, 1;
print $data while sysread $s, $data, 65536;
"""
COUNTED = """
perl -e "$@" >"/tmp/$$" || exit; echo $(wc -c <"/tmp/$$") $(md5sum <"/tmp/$$" | cut -c-32)
"""


LAZY = r'exec 3<>"/dev/tcp/$0"; printf "POST /stuck HTTP/1.1\r\n\r\n" >&3; sleep 20'
STAY = r'exec 3<>"/dev/tcp/$0"; printf "POST /stay HTTP/1.1\r\n\r\n" >&3; cat <&3'


def spec_with(door: Door) -> BoxSpec:
    return BoxSpec(image=RegistryImage(reference=BASE), network=NO_NETWORK, door=door)


async def sandbox_by(folder: Path, *allowed: ways.Way) -> DockerSandbox:
    if allowed == ("socket",) and not can_open():
        pytest.skip("needs root")
    sandbox = DockerSandbox(cache=folder, ways=allowed)
    probe = await sandbox.probe()
    if not probe.usable:
        pytest.skip(f"{probe.reason}: {probe.remedy}")
    if await sandbox._images.find(BASE) is None:
        pytest.skip(f"image {BASE} is missing: run scripts/install-parts")
    return sandbox


async def ask(box: DockerBox, path: str, body: bytes = b"") -> str:
    argv = ["sh", "-c", COUNTED, "sh", ASK, box.info.door or "", path]
    done = await box.exec(argv, ExecOptions(stdin=body, timeout_s=30))
    return (done.stdout or done.stderr).decode().strip()


async def till_the_end(stream: ByteStream) -> bytes:
    heard = bytearray()
    with anyio.move_on_after(30):
        try:
            while True:
                heard += await stream.receive()
        except anyio.EndOfStream:
            return bytes(heard)
    raise AssertionError("the end did not come")


def place(box: DockerBox) -> str:
    return (box.info.door or "").removeprefix("http://").replace(":", "/")


def counted(data: bytes) -> str:
    return f"{len(data)} {hashlib.md5(data, usedforsecurity=False).hexdigest()}"


async def relays(sandbox: DockerSandbox) -> list[str]:
    """The relays there are, also of others who run these tests."""
    rows = await sandbox._engine.call("GET", "/containers/json", params={"all": "1"})
    return [row["Names"][0] for row in rows if row["Names"][0].endswith("-way")]


@pytest.mark.parametrize("way", ["socket", "relay"])
async def test_bytes_pass_both_ways_whole(tmp_path: Path, way: ways.Way):
    heard: list[bytes] = []
    answer = OK + bytes(range(256)) * (5 * MIB // 256)

    async def door(stream: ByteStream) -> None:
        heard.append(await till_the_end(stream))  # a half-closed connection can be answered
        await stream.send(answer)

    sandbox = await sandbox_by(tmp_path, way)
    body = b"\x00\r\n\xff" * MIB
    async with sandbox.open(spec_with(door)) as box:
        assert f"way in: {way}" in box.info.notes
        assert await ask(box, "/a", body) == counted(answer)
        assert heard == [b"POST /a HTTP/1.1\r\n\r\n" + body]
        relay = f"/mechagym-{box.info.box_id}-way"
        assert (relay in await relays(sandbox)) is (way == "relay")
    assert relay not in await relays(sandbox)


async def test_a_relay_carries_many_and_one_that_does_not_read_holds_up_nobody(tmp_path: Path):
    stuck = anyio.Event()

    async def door(stream: ByteStream) -> None:
        head = await stream.receive()
        if b"/stuck" in head:
            with anyio.move_on_after(1) as waited:
                await stream.send(b"x" * 20 * MIB)
            assert waited.cancelled_caught  # its reader is waited for, not buffered
            stuck.set()
            return
        await stream.send(OK + head)

    sandbox = await sandbox_by(tmp_path, "relay")
    async with sandbox.open(spec_with(door)) as box:
        await box.exec(["bash", "-c", LAZY, place(box)], ExecOptions(background=True))
        answers: list[str] = []

        async def one(number: int) -> None:
            answers.append(await ask(box, f"/{number}"))

        began = time.monotonic()
        async with anyio.create_task_group() as tasks:
            for number in range(40):
                tasks.start_soon(one, number)
        took_s = time.monotonic() - began
        assert len(answers) == 40
        assert all(not answer.startswith("0 ") for answer in answers), answers
        with anyio.fail_after(10):
            await stuck.wait()
        assert took_s < 30


async def test_who_leaves_is_seen_to_leave_and_who_is_left_is_told(tmp_path: Path):
    left = anyio.Event()

    async def door(stream: ByteStream) -> None:
        head = await stream.receive()
        if b"/bye" in head:
            return  # closed without a word
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            while True:
                await stream.receive()
        left.set()

    sandbox = await sandbox_by(tmp_path, "relay")
    async with sandbox.open(spec_with(door)) as box:
        assert (await ask(box, "/bye")).startswith("0 ")
        with anyio.move_on_after(1):
            await box.exec(["bash", "-c", STAY, place(box)])
        with anyio.fail_after(5):
            await left.wait()


@pytest.mark.must("llm-33", "sandbox-8")
async def test_beside_a_relay_nothing_of_the_host_answers(tmp_path: Path):
    """With a server of the host on all its addresses, as the probe has one."""

    async def door(stream: ByteStream) -> None:
        await stream.receive()
        await stream.send(OK)

    sandbox = await sandbox_by(tmp_path, "relay")
    listed = NetworkPolicy(mode="allowlist", allowed_hosts=("example.org",))
    async with sandbox.open(spec_with(door)) as box:
        first = box.info.door
        for policy in (NO_NETWORK, listed):
            await box.use_network(policy)
            proofs = await prove_network(box, policy)
            assert len(proofs) >= 4
            assert all(proof.held for proof in proofs), proofs
            assert await ask(box, "/x") == counted(OK)
        assert box.info.door != first
        routes = (await box.exec(["cat", "/proc/net/route", "/proc/net/dev"])).text
        assert {line.split()[0] for line in routes.splitlines()[3:]} == {"lo:"}, routes
        async with box.fork() as fork:
            assert await ask(fork, "/x") == counted(OK)
        ids = (box.info.box_id, fork.info.box_id)
    left = await relays(sandbox)
    assert not [name for name in left if any(box_id in name for box_id in ids)]


async def test_without_perl_in_the_box_the_relay_is_run_from_another_image(tmp_path: Path):
    async def door(stream: ByteStream) -> None:
        await stream.receive()
        await stream.send(OK)

    sandbox = await sandbox_by(tmp_path, "relay")
    async with sandbox.open(BoxSpec(image=_without_perl(tmp_path), door=door)) as box:
        answer = await box.exec(["bash", "-c", STAY, place(box)], ExecOptions(timeout_s=10))
        assert answer.stdout == OK


async def test_where_no_way_works_the_box_is_refused_with_each_reason(tmp_path: Path, monkeypatch):
    async def door(stream: ByteStream) -> None:
        raise AssertionError(stream)

    monkeypatch.setattr(ways, "FALLBACK", "mechagym-no-such-image")
    monkeypatch.setattr(ways, "can_open", lambda: False)
    sandbox = await sandbox_by(tmp_path, "socket", "relay")
    mine = Labels(job_id=tmp_path.name)
    with pytest.raises(LimitRefused) as refused:
        async with sandbox.open(BoxSpec(image=_without_perl(tmp_path), door=door, labels=mine)):
            pass
    said = str(refused.value)
    for words in ("socket: it needs root", "perl", "No such image", "docker pull"):
        assert words in said, said
    filters = {"label": [f"mechagym.job={tmp_path.name}"]}
    params = {"all": "1", "filters": filters}
    assert await sandbox._engine.call("GET", "/containers/json", params=params) == []


def _without_perl(folder: Path) -> BuildImage:
    (folder / "context").mkdir()
    text = f"FROM {BASE}\nRUN rm -f /usr/bin/perl*\n"
    (folder / "context" / "Dockerfile").write_text(text)
    return BuildImage(context=folder / "context", digest="0123perlless0123")


HOLDER = """
import anyio, pathlib, sys
from mechagym.sandbox.base import BoxSpec, NetworkPolicy, RegistryImage
from mechagym.sandbox.docker import DockerSandbox
async def main():
    async def door(stream): pass
    sandbox = DockerSandbox(cache=pathlib.Path(sys.argv[1]), ways=("relay",))
    policy = NetworkPolicy(mode="no-network")
    image = RegistryImage(reference=sys.argv[2])
    async with sandbox.open(BoxSpec(image=image, network=policy, door=door)) as box:
        print(box.info.box_id, flush=True)
        await anyio.sleep(60)
anyio.run(main)
"""


@pytest.mark.must("sandbox-11")
async def test_a_relay_ends_with_the_process_that_it_served(tmp_path: Path):
    sandbox = await sandbox_by(tmp_path, "relay")
    argv = [sys.executable, "-c", HOLDER, str(tmp_path), BASE]
    async with await anyio.open_process(argv, stderr=None) as holder:
        assert holder.stdout is not None
        name = f"/mechagym-{(await holder.stdout.receive()).decode().strip()}-way"
        assert name in await relays(sandbox)
        holder.kill()
    with anyio.fail_after(10):
        while name in await relays(sandbox):
            await anyio.sleep(0.1)


async def test_a_box_whose_relay_died_is_dead(tmp_path: Path):
    async def door(stream: ByteStream) -> None:
        await stream.receive()

    sandbox = await sandbox_by(tmp_path, "relay")
    async with sandbox.open(spec_with(door)) as box:
        path = f"/containers/mechagym-{box.info.box_id}-way/kill"
        await sandbox._engine.call("POST", path)
        with anyio.fail_after(10):
            while await box.alive():
                await anyio.sleep(0.05)
        with pytest.raises(BoxDied):
            await box.exec(["true"])


@pytest.mark.parametrize(
    "said",
    [
        b"\x00\x00\x00\x01\x09\x00\x00\x00\x00",  # no such word
        b"\x00\x00\x00\x01\x02\xff\xff\xff\xff" + b"x" * 100,  # more than a frame holds
        b"".join(b"\x00\x00\x00\x01\x02\x00\x01\x00\x00" + b"x" * 65_536 for _ in range(5)),
        b"".join(n.to_bytes(4, "big") + b"\x01\x00\x00\x00\x00" for n in range(2, 515)),
    ],
    ids=["unknown", "too long", "not credited", "too many"],
)
async def test_what_does_not_keep_to_the_protocol_is_heard_no_more(said: bytes):
    """From an image that is not ours anything may come: the rest of it is never read."""
    endless = b"\x00\x00\x00\x00\x05\x00\x00\x00\x00"
    opening = b"\x00\x00\x00\x01\x01\x00\x00\x00\x00"
    relay = Relay(Endless(opening + said, endless))  # type: ignore[arg-type]

    async def handler(_stream: ByteStream) -> None:
        await anyio.sleep_forever()

    with anyio.fail_after(5):
        await relay.serve(handler)


class Endless:
    """A channel that says something, and then one thing for ever."""

    def __init__(self, first: bytes, then: bytes) -> None:
        self._next, self._then = first, then

    async def receive(self) -> tuple[str, bytes]:
        await anyio.lowlevel.checkpoint()
        said, self._next = self._next, self._then
        return "stdout", said

    async def send(self, data: bytes) -> None:
        pass


@asynccontextmanager
async def engine_by_tcp() -> AsyncIterator[str]:
    """The engine's socket as one has it of an engine in another machine: by its port alone."""

    async def copy(source: ByteStream, target: ByteStream) -> None:
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            while True:
                await target.send(await source.receive())
        with suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            await target.send_eof()

    async def handle(client: ByteStream) -> None:
        async with (
            client,
            await anyio.connect_unix("/var/run/docker.sock") as engine,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(copy, client, engine)
            tasks.start_soon(copy, engine, client)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handle)
        yield f"tcp://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"
        tasks.cancel_scope.cancel()


async def test_an_engine_that_is_reached_by_a_port_alone(tmp_path: Path):
    answer = OK + b"y" * MIB

    async def door(stream: ByteStream) -> None:
        await till_the_end(stream)
        await stream.send(answer)

    await sandbox_by(tmp_path, "relay")  # or it skips
    async with engine_by_tcp() as host:
        away = DockerSandbox(host, cache=tmp_path, ways=("relay",))
        assert (await away.probe()).usable
        async with away.open(spec_with(door)) as box:
            assert await ask(box, "/far", b"x" * MIB) == counted(answer)
            await box.put(b"in", "/file")
            assert (await box.exec(["cat", "/file"])).text == "in"
