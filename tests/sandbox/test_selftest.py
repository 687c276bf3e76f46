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
