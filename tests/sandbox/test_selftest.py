"""The self-test finds what leaks: a box that does what it must not is caught."""

import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import MappingProxyType

import pytest

from mechagym.sandbox.base import (
    Box,
    BoxSpec,
    ExecOptions,
    ExecResult,
    NetworkPolicy,
    RegistryImage,
)
from mechagym.sandbox.selftest import escape_table, prove_network
from mechagym.testing.memory import MemoryBox, MemorySandbox
from tests.actors import sandbox_of

IMAGE = RegistryImage(reference="x")


class LeakyBox(MemoryBox):
    """Lets the commands of one attempt through to the host."""

    leak = ""

    async def exec(self, argv: Sequence[str], options: ExecOptions = ExecOptions()) -> ExecResult:
        if self.leak and re.search(self.leak, argv[-1]):
            done = subprocess.run(argv, capture_output=True, check=False, timeout=20)
            return ExecResult(exit_code=done.returncode, stdout=done.stdout)
        return await super().exec(argv, options)


class LeakySandbox(MemorySandbox):
    def __init__(self, leak: str) -> None:
        super().__init__()
        self._leak = leak

    @asynccontextmanager
    async def open(self, spec: BoxSpec) -> AsyncIterator[Box]:
        async with super().open(spec) as box:
            assert isinstance(box, MemoryBox)
            leaky = LeakyBox(box.info, box._alive())
            leaky.leak = self._leak
            yield leaky


def end(command: str) -> None:
    """Kill the one process that was left on purpose."""
    wanted = command.replace(" ", "\0").encode() + b"\0"
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if path.read_bytes() == wanted:
                os.kill(int(path.parent.name), signal.SIGKILL)


@pytest.mark.parametrize(
    ("leak", "attempt"),
    [
        ("^for p in .*written", "write outside"),
        ("^cat .*/secret", "read a secret of the host"),
        ("cmdline", "see processes of the host"),
        (r"^kill -9 \d\d+$", "signal processes of the host"),
        ("dev/tcp", "reach a port of the host"),
        ("^setsid", "keep a process after close"),
    ],
)
async def test_a_leak_is_found(leak: str, attempt: str):
    lines = {line.attempt: line for line in await escape_table(LeakySandbox(leak), IMAGE)}
    if attempt == "keep a process after close":
        end(lines[attempt].detail.removesuffix(" still runs"))
    assert lines[attempt].result == "failed"
    assert [line.attempt for line in lines.values() if line.result == "failed"] == [attempt]


async def test_what_cannot_be_tried_is_not_called_held():
    lines = {line.attempt: line for line in await escape_table(MemorySandbox(), IMAGE)}
    assert lines["ptrace a process of the host"].result == "not tested"
    assert lines["ptrace a process of the host"].detail
    assert lines["past the limit memory_mb"].result == "not tested"


class Answering(MemoryBox):
    """Says what the probes shall hear."""

    answers: Mapping[str, str] = MappingProxyType({})

    async def exec(self, argv: Sequence[str], options: ExecOptions = ExecOptions()) -> ExecResult:
        lines = [f"{target} {self.answers.get(target, 'closed')}" for target in argv[4:]]
        return ExecResult(exit_code=0, stdout="\n".join([*lines, "dns closed"]).encode())


async def answering(policy: NetworkPolicy, **answers: str) -> dict[str, bool]:
    async with MemorySandbox().open(BoxSpec(image=IMAGE)) as box:
        assert isinstance(box, MemoryBox)
        one = Answering(box.info, box._alive())
        one.answers = answers
        return {proof.probe: proof.held for proof in await prove_network(one, policy)}


async def test_an_open_metadata_address_is_found():
    proofs = await answering(NetworkPolicy(mode="no-network"), **{"169.254.169.254:80": "open"})
    assert proofs["metadata address (169.254.169.254:80)"] is False
    assert [probe for probe, held in proofs.items() if not held] == [
        "metadata address (169.254.169.254:80)"
    ]


@pytest.mark.parametrize(
    ("listed", "other", "broken"),
    [
        ("HTTP/1.1 200 Connection established", "HTTP/1.1 403 Forbidden", set()),
        ("HTTP/1.1 502 Bad Gateway", "HTTP/1.1 403 Forbidden", set()),
        ("HTTP/1.1 403 Forbidden", "HTTP/1.1 403 Forbidden", {"pypi.org:443"}),
        ("HTTP/1.1 200 OK", "HTTP/1.1 200 OK", {"not-listed.invalid:443"}),
    ],
)
async def test_the_proxy_is_asked_for_both(listed: str, other: str, broken: set[str]):
    policy = NetworkPolicy(mode="allowlist", allowed_hosts=("*.x.org", "pypi.org"))
    answers = {"pypi.org:443": listed, "not-listed.invalid:443": other}
    proofs = await answering(policy, **answers)
    assert {p.removeprefix("the proxy, for ") for p, held in proofs.items() if not held} == broken


async def test_an_open_network_is_not_proved():
    assert await answering(NetworkPolicy()) == {}


def test_the_scripts_are_sh(tmp_path: Path):
    from mechagym.sandbox import selftest

    for script in (selftest._REACH, selftest._ASK_PROXY):
        subprocess.run(["sh", "-n"], input=script.encode(), check=True)


NOT_THE_TOOLS = "rm -f /usr/bin/perl* /usr/bin/bash /usr/bin/rbash /bin/bash /usr/bin/nc"


@pytest.mark.must("sandbox-8")
@pytest.mark.live
@pytest.mark.parametrize("backend", ["docker", "local"])
async def test_without_a_tool_the_routes_prove_it_or_nothing_does(backend: str):
    sandbox, policy = sandbox_of(backend), NetworkPolicy(mode="no-network")
    if not (probe := await sandbox.probe()).usable:
        pytest.skip(f"{backend}: {probe.reason}; {probe.remedy}")
    image = RegistryImage(reference="debian:bookworm-slim")
    async with sandbox.open(BoxSpec(image=image, network=policy)) as box:
        assert (await box.exec(("sh", "-c", NOT_THE_TOOLS), ExecOptions(user="root"))).ok
        proofs = await prove_network(box, policy)
    assert all(proof.held for proof in proofs)
    assert "no route leads out of the box" in {proof.detail for proof in proofs}


class Toolless(MemoryBox):
    """Has a shell and nothing to probe with."""

    async def exec(self, argv: Sequence[str], options: ExecOptions = ExecOptions()) -> ExecResult:
        if "/proc/net" in argv[2]:
            return await super().exec(argv, options)
        return ExecResult(exit_code=0)


NO_ROUTE = "Iface\tDestination\tGateway\n"


@pytest.mark.parametrize(
    ("routes", "held"),
    [
        ({"route": NO_ROUTE}, True),
        ({"route": NO_ROUTE, "ipv6_route": "0 00 0 00 0 1 00 00200200 lo\n"}, True),
        ({"route": f"{NO_ROUTE}eth0\t00000000\t010011AC\n"}, False),
        ({"route": NO_ROUTE, "ipv6_route": "fe80 40 0 00 0 1 00 00000001 eth0\n"}, False),
        ({"route": ""}, False),
    ],
)
async def test_without_a_tool_a_route_leaves_it_unproved(routes: dict[str, str], held: bool):
    async with MemorySandbox().open(BoxSpec(image=IMAGE)) as box:
        assert isinstance(box, MemoryBox)
        for name, text in routes.items():
            await box.put(text.encode(), f"/proc/net/{name}")
        one = Toolless(box.info, box._alive())
        proofs = await prove_network(one, NetworkPolicy(mode="no-network"))
    assert {proof.held for proof in proofs} == {held}
    why = "no route leads out" if held else "not tested"
    assert all(proof.detail.startswith(why) for proof in proofs)


async def test_what_may_be_open_need_not_be_proved():
    policy = NetworkPolicy(mode="allowlist", allowed_hosts=("pypi.org",))
    async with MemorySandbox().open(BoxSpec(image=IMAGE)) as box:
        assert isinstance(box, MemoryBox)
        proofs = await prove_network(Toolless(box.info, box._alive()), policy)
    assert all(proof.held for proof in proofs)
    told = {proof.probe: proof.detail.partition(":")[0] for proof in proofs}
    assert told["the proxy, for pypi.org:443"] == "not tested"
    assert told["the proxy, for not-listed.invalid:443"] == "no route leads out of the box"
