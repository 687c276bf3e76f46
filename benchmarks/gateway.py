"""What the gateway adds to a stream: provider double, gateway and callers in a process each.

The double stamps every piece with the system's clock when it sends it. How old a piece is when it
is read through the gateway is held against a direct loopback call, in turns of one run.

usage: python -m benchmarks.gateway [--streams 50] [--many 200] [--seconds 10]
    [--memory-minutes 1]
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean, median, quantiles

import anyio

from benchmarks.pairs import Figure, report
from mechagym.budget import Meter
from mechagym.llm.catalogue import Catalogue
from mechagym.llm.credentials import Credentials
from mechagym.llm.gateway import Grant, open_gateway
from mechagym.llm.names import ModelName
from mechagym.llm.pace import Pace
from mechagym.llm.price_table import PriceTable
from mechagym.llm.providers import SHIPPED
from mechagym.llm.settings import LlmSettings
from mechagym.llm.stack import Models

MODEL = ModelName("anthropic", "claude-haiku-4-5")
GAP_S = 0.1
ROUNDS = 3
MANY = 200
BODY = json.dumps(
    {
        "model": MODEL.name,
        "max_tokens": 1000,
        "stream": True,
        "messages": [{"role": "user", "content": "hello " * 4_000}],
    }
).encode()


@dataclass(slots=True)
class Seen:
    """What the callers of one round saw, in milliseconds."""

    first: list[float] = field(default_factory=list)
    chunks: list[float] = field(default_factory=list)
    errors: int = 0


@contextmanager
def process(argv: list[str], said: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A program of ours that reads its orders and tells where it is, in one line."""
    command = [sys.executable, "-m", *argv]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(said)
        child.stdin.close()
        yield child, child.stdout.readline().split()
        child.kill()


def brief_double() -> str:
    """The script of a provider that says one word, at once."""
    turn = {"kind": "turn", "text": "x", "trouble": {"stamps": True}}
    return json.dumps({"answers": [turn], "again": True})


def double(pieces: int) -> str:
    """The script of a provider that streams for ever so long, stamped."""
    trouble = {"gap_s": GAP_S, "stamps": True}
    turn = {"kind": "turn", "text": "x" * 12 * pieces, "trouble": trouble}
    return json.dumps({"answers": [turn], "again": True})


async def serve(provider_url: str) -> None:
    """Be the gateway process."""
    provider = SHIPPED["anthropic"]
    settings = LlmSettings(providers={"anthropic": replace(provider, base_url=provider_url)})
    parts = {"catalogue": Catalogue.load(), "prices": PriceTable.load()}
    keys = Credentials(environ={"ANTHROPIC_API_KEY": "key"})
    async with (
        Models(settings=settings, credentials=keys, **parts) as models,  # type: ignore[arg-type]
        open_gateway(models) as gateway,
        gateway.listen() as url,
    ):
        known = models.provider(MODEL)
        models.paces._paces[("anthropic", keys.get(known).secret)] = Pace(  # type: ignore[union-attr]
            name="anthropic", cap=10 * MANY, limit=10 * MANY
        )  # the pace is not what is measured
        ledger = models.ledger(Meter(), lambda _event: None, door="gateway")
        grant = Grant(trial="bench", models=(MODEL,), ledger=ledger, max_streams=10 * MANY)
        sys.stdout.write(f"{url} {gateway.grant(grant).value}\n")
        sys.stdout.flush()
        await anyio.sleep_forever()


async def stream(url: str, token: str, seen: Seen) -> None:
    """Be one caller: ask once and read to the end."""
    host, port = url.removeprefix("http://").split(":")
    head = (
        f"POST /v1/messages HTTP/1.1\r\nHost: {host}\r\nx-api-key: {token}\r\n"
        f"anthropic-version: 2023-06-01\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(BODY)}\r\nConnection: close\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(host, int(port))
    began = time.monotonic()
    writer.write(head.encode() + BODY)
    status, first, whole = await reader.readline(), True, False
    while line := await reader.readline():
        if line.startswith(b": "):
            age_ms = (time.monotonic_ns() - int(line[2:])) / 1e6
            if first:
                seen.first.append((time.monotonic() - began) * 1000)
                first = False
            else:
                seen.chunks.append(age_ms)
        whole = whole or b"message_stop" in line
    seen.errors += not (b" 200 " in status and whole)
    writer.close()


async def streams(url: str, token: str, count: int, begin_s: float = 3.0) -> Seen:
    """Several callers at once, begun one after the other within a few seconds, as agents do."""
    seen = Seen()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(count):
            tasks.create_task(stream(url, token, seen))
            await asyncio.sleep(begin_s / count)
    return seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a call costs, in milliseconds: CPU of the double that answers it and of the gateway that
    stands between (means), and the time to its first byte, direct and through the gateway, where
    nothing disturbed it (the quickest of all).
    """

    double_ms: float
    gateway_ms: float
    direct_ms: float
    through_ms: float

    @property
    def cpu_ratio(self) -> float:
        """How often the double's work the gateway's is: both are Python on the same machine."""
        return self.gateway_ms / self.double_ms


def work(rounds: int = 8, each: int = 25) -> Work:
    """Call one after the other, direct and through the gateway in turns."""
    with (
        process(["mechagym.testing.provider"], brief_double()) as (provider, [direct]),
        process(["benchmarks.gateway", "--serve", direct], "") as (gateway, (url, token)),
    ):

        def calls(at: str, key: str, pid: int) -> tuple[float, float]:
            before, firsts = cpu_s(pid), []
            for _ in range(each):
                seen = asyncio.run(streams(at, key, 1, begin_s=0))
                assert not seen.errors
                firsts += seen.first
            return (cpu_s(pid) - before) / each * 1000, min(firsts)

        calls(url, token, gateway.pid)
        bare, between = [], []
        for _ in range(rounds):
            bare.append(calls(direct, "key", provider.pid))
            between.append(calls(url, token, gateway.pid))
    return Work(
        double_ms=mean(cpu for cpu, _ in bare),
        gateway_ms=mean(cpu for cpu, _ in between),
        direct_ms=min(first for _, first in bare),
        through_ms=min(first for _, first in between),
    )


def p99(values: list[float]) -> float:
    """The value that one in a hundred is above."""
    return quantiles(values, n=100)[98]


def resident_mb(pid: int) -> float:
    """Memory that a process really has."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def added(
    name: str, direct: list[list[float]], through: list[list[float]], goals: tuple[float, float]
) -> list[Figure]:
    """How much later, at the median and for the slowest hundredth, by pairs of rounds."""
    figures = []
    for word, of, goal in (("p50", median, goals[0]), ("p99", p99, goals[1])):
        pairs = [(of(d), of(t)) for d, t in zip(direct, through, strict=True)]
        more = median(t - d for d, t in pairs)
        bare = median(d for d, _ in pairs)
        value = f"+{more:.2f} ms, direct {bare:.2f} ms"
        figures.append(
            Figure(what=f"{name}, {word}", value=value, goal=f"≤ {goal:g} ms", held=more <= goal)
        )
    return figures


def speed(provider: str, gateway: list[str], *, count: int, pid: int) -> list[Figure]:
    """Time to the first byte and of each chunk, in turns."""
    direct, through = [], []
    used_s, chunks = 0.0, 0
    asyncio.run(streams(gateway[0], gateway[1], 1))  # the price library is read by the first call
    for _ in range(ROUNDS):
        direct.append(asyncio.run(streams(provider, "key", count)))
        before = cpu_s(pid)
        through.append(asyncio.run(streams(gateway[0], gateway[1], count)))
        used_s += cpu_s(pid) - before
        chunks += len(through[-1].chunks)
    errors = sum(seen.errors for seen in (*direct, *through))
    at = f"at {count} streams"
    return [
        *added(f"first byte {at}", [s.first for s in direct], [s.first for s in through], (2, 10)),
        *added(f"chunk {at}", [s.chunks for s in direct], [s.chunks for s in through], (2, 10)),
        Figure(what=f"CPU of the gateway per chunk {at}", value=f"{used_s / chunks * 1e6:.0f} µs"),
        Figure(what=f"errors {at}", value=str(errors), goal="0", held=errors == 0),
    ]


def memory(gateway: list[str], *, count: int, minutes: float, pid: int) -> list[Figure]:
    """What the process grows by under many streams, after a first round that fills its pools."""
    asyncio.run(streams(gateway[0], gateway[1], count))
    before, until, rounds, errors = resident_mb(pid), time.monotonic() + minutes * 60, 0, 0
    while not rounds or time.monotonic() < until:
        errors += asyncio.run(streams(gateway[0], gateway[1], count)).errors
        rounds += 1
    grown = resident_mb(pid) - before
    what = f"memory after {rounds * count:,} streams, {count} at once, {minutes:g} min"
    value = f"{before:.1f} MB, {grown:+.1f} MB, {errors} errors"
    return [
        Figure(what=what, value=value, goal="≤ +20 MB, 0 errors", held=grown <= 20 and not errors)
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(usage=(__doc__ or "").split("usage: ")[1])
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--many", type=int, default=MANY)
    parser.add_argument("--memory-minutes", type=float, default=1)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.serve:
        anyio.run(serve, told.serve)
        return
    one = work()
    figures = [
        Figure(
            what="CPU of the gateway per call, one after the other",
            value=f"{one.gateway_ms:.2f} ms, the double's {one.double_ms:.2f} ms:"
            f" {one.cpu_ratio:.2f} ×",
        ),
        Figure(
            what="quickest first byte of them",
            value=f"+{one.through_ms - one.direct_ms:.2f} ms, direct {one.direct_ms:.2f} ms",
        ),
    ]
    script = double(int(told.seconds / GAP_S))
    with (
        process(["mechagym.testing.provider"], script) as (_, [provider]),
        process(["benchmarks.gateway", "--serve", provider], "") as (child, gateway),
    ):
        for count in (told.streams, told.many):
            figures += speed(provider, gateway, count=count, pid=child.pid)
        figures += memory(gateway, count=told.many, minutes=told.memory_minutes, pid=child.pid)
    report("What the gateway adds", figures)


if __name__ == "__main__":
    main()
