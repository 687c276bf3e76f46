"""How soon Claude Code asks its model: from an open box to the first request, against the same
program started on this host, in turn; and what preparing it in a box takes.

usage: python -m benchmarks.agent_start [--rounds N] [--sandbox NAME]…
needs npm, or Claude Code on this host; the model is a double on loopback
"""

import argparse
import os
import subprocess
import tempfile
import time
from pathlib import Path

import anyio
import anyio.abc
import anyio.from_thread
import anyio.to_thread

from benchmarks.pairs import Figure, report, told_in_turn
from mechagym import config, wiring
from mechagym.agents.base import Context, Endpoint
from mechagym.agents.installed.claude_code import CLAUDE_CODE, ClaudeCodeAgent
from mechagym.agents.installed.tools import Toolbox
from mechagym.budget import Meter
from mechagym.sandbox.base import Box, BoxSpec, HostRoot, NetworkPolicy, RegistryImage, Sandbox
from mechagym.testing.provider import Listed, ProviderDouble, Turn, always, provider_double

MODEL = "claude-haiku-4-5"
FIRST_S, PREPARED_S = 1.5, 0.2
VERSION = "2.1.197"
IMAGES: dict[str, RegistryImage | HostRoot] = {
    "docker": RegistryImage(reference="debian:bookworm-slim"),
    "local": HostRoot(),
}


async def first_request_s(box: Box, agent: ClaudeCodeAgent, double: ProviderDouble) -> float:
    """Seconds from here to the first request that reaches the model."""
    assert box.info.door is not None
    endpoint = Endpoint(url=box.info.door, token="any", model=MODEL, dialect="anthropic")
    context = Context(
        instruction="Say hello.", box=box, meter=Meter(), emit=lambda _: None, endpoint=endpoint
    )
    before, began = len(double.asked), time.monotonic()
    await agent.run(context)
    return double.asked[before].began_s - began


async def in_box(
    sandbox: Sandbox, agent: ClaudeCodeAgent, double: ProviderDouble
) -> tuple[float, float]:
    """What preparing takes, and the first request from there on."""
    port = int(double.url.rpartition(":")[2])

    async def door(stream: anyio.abc.ByteStream) -> None:
        async with await anyio.connect_tcp("127.0.0.1", port) as provider:
            await _join(stream, provider)

    spec = BoxSpec(
        image=IMAGES[sandbox.name],
        workdir="/tmp",
        network=NetworkPolicy(mode="no-network"),
        mounts=agent.mounts,
        door=door,
    )
    async with sandbox.open(spec) as box:
        await box.exec(["mkdir", "-p", "/logs/agent"])
        began = time.monotonic()
        await agent.prepare(box)
        prepared_s = time.monotonic() - began
        return prepared_s, prepared_s + await first_request_s(box, agent, double)


async def _join(one: anyio.abc.ByteStream, other: anyio.abc.ByteStream) -> None:
    async def copy(source: anyio.abc.ByteStream, target: anyio.abc.ByteStream) -> None:
        try:
            async for data in source:
                await target.send(data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(copy, one, other)
        tasks.start_soon(copy, other, one)


def on_host(program: Path, double: ProviderDouble) -> float:
    """The same program, started by hand on this host."""
    with tempfile.TemporaryDirectory() as home:
        env = {
            "PATH": os.environ["PATH"],
            "HOME": home,
            "CLAUDE_CONFIG_DIR": home,
            "ANTHROPIC_BASE_URL": double.url,
            "ANTHROPIC_API_KEY": "any",
            "ANTHROPIC_MODEL": MODEL,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "IS_SANDBOX": "1",
        }
        argv = [str(program), "-p", "--verbose", "--output-format", "stream-json"]
        before, began = len(double.asked), time.monotonic()
        subprocess.run(
            argv, env=env, input=b"Say hello.", stdout=subprocess.DEVNULL, check=True, cwd=home
        )
        return double.asked[before].began_s - began


async def measured(sandbox: Sandbox, rounds: int) -> list[Figure]:
    """Boxes and the host in turn, each round a new box."""
    toolbox = Toolbox(
        Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "mechagym/tools"
    )
    folder = await toolbox.have(CLAUDE_CODE, VERSION)
    await sandbox.probe()
    await sandbox.prepare(IMAGES[sandbox.name], lambda _: None)
    prepared: list[float] = []
    async with provider_double(always(Turn(text="hello")), models=(Listed(id=MODEL),)) as double:

        def ours() -> float:
            agent = ClaudeCodeAgent(task=None, options={}, toolbox=toolbox, version=VERSION)
            setup_s, first_s = anyio.from_thread.run(in_box, sandbox, agent, double)
            prepared.append(setup_s)
            return first_s

        def bare() -> float:
            return on_host(folder / CLAUDE_CODE.path("glibc"), double)

        first_s, bare_s, ratio = await anyio.to_thread.run_sync(told_in_turn, ours, bare, rounds)
    setup_s = sorted(prepared)[len(prepared) // 2]
    return [
        Figure(
            what=f"{sandbox.name}: open box to the first model request",
            value=f"{first_s:.2f} s, on the bare host {bare_s:.2f} s: {ratio:.2f} ×",
            goal=f"≤ {FIRST_S:g} s",
            held=first_s <= FIRST_S,
        ),
        Figure(
            what=f"{sandbox.name}: set-up in the box",
            value=f"{setup_s * 1000:.0f} ms",
            goal=f"≤ {PREPARED_S * 1000:.0f} ms",
            held=setup_s <= PREPARED_S,
        ),
    ]


async def run(names: list[str], rounds: int) -> None:
    """Measure and print."""
    figures: list[Figure] = []
    for name in names:
        async with wiring.made_sandbox(name, config.load()) as sandbox:
            figures += await measured(sandbox, rounds)
    report("How soon an installed agent works", figures)


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(usage=(__doc__ or "").split("usage: ")[1])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sandbox", action="append", choices=list(IMAGES))
    args = parser.parse_args()
    anyio.run(run, args.sandbox or list(IMAGES), args.rounds)


if __name__ == "__main__":
    main()
