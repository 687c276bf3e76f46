"""What a trial costs beyond its work: whole trials of ours against the bare Engine API, in turn.

The work is the same on both sides: a trivial solution, a trivial test. Ours does it as a job of
`run` does, with journal, store, folder and verdict; the bare one creates, starts, executes twice
and removes.

usage: python -m benchmarks.trial_overhead [--sandbox NAME] [--rounds N]
needs Docker with the image debian:bookworm-slim
"""

import argparse
import tempfile
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from tests.run.conftest import live_sandbox
from tests.run.gym import Gym, make_task

from benchmarks.pairs import Figure, cpu_s, in_turn, report
from benchmarks.raw_docker import RawDocker
from mechagym.run.config import Pace
from mechagym.sandbox.base import Box, BoxSpec, ExecOptions, ExecResult, Sandbox
from mechagym.testing.memory import MemoryBox, MemorySandbox

IMAGE = "debian:bookworm-slim"
SOLVE = "echo solved > /app/done.txt"
TEST = "mkdir -p /logs/verifier; test -f /app/done.txt && echo 1 > /logs/verifier/reward.txt"


def raw_trial() -> None:
    """One trial's worth of work by the bare API."""
    engine = RawDocker()
    box = engine.open(IMAGE, network="bridge")
    engine.exec(box, "sh", "-c", f"mkdir -p /app; {SOLVE}")
    engine.exec(box, "sh", "-c", TEST)
    engine.close(box)


class SilentBox(MemoryBox):
    """A memory box without its shell: each command has done nothing, well; the tests do pass."""

    async def exec(self, argv: Sequence[str], _: ExecOptions = ExecOptions()) -> ExecResult:
        """Run nothing."""
        if argv[-1] == "/tests/test.sh":
            await self.put(b"1\n", "/logs/verifier/reward.txt")
        return ExecResult(exit_code=0)


class SilentSandbox(MemorySandbox):
    """Opens silent boxes: what is left of a trial is the controller's own."""

    @asynccontextmanager
    async def open(self, spec: BoxSpec) -> AsyncIterator[Box]:
        """Open one."""
        async with super().open(spec) as box:
            assert isinstance(box, MemoryBox)
            yield SilentBox(box.info, box._alive())


class Ours:
    """Jobs of the oracle on a trivial task, each with a name of its own."""

    def __init__(self, sandbox: Sandbox, root: Path) -> None:
        self._sandbox, self._root, self._count = sandbox, root, 0
        self._task = make_task(root / "tasks")
        self.cpu_ms: list[float] = []

    def __call__(self, trials: int, at_once: int) -> None:
        """Run a job; note the controller's CPU per trial."""
        self._count += 1
        gym = Gym(root=self._root, sandbox=self._sandbox, pace=Pace(trials=at_once, retries=0))
        config = gym.config("oracle", name=f"job{self._count}", repeats=trials)
        began = cpu_s()
        done = anyio.run(gym.run, [self._task], config)
        self.cpu_ms.append((cpu_s() - began) * 1000 / trials)
        assert all(trial.outcome == "passed" for trial in done.trials), done.trials


def against_raw(name: str, rounds: int) -> list[Figure]:
    """One trial and twenty at eight at once, against the bare API."""
    with tempfile.TemporaryDirectory() as root, ThreadPoolExecutor(8) as pool:
        ours = Ours(live_sandbox(name), Path(root))

        def raw_20() -> None:
            list(pool.map(lambda _: raw_trial(), range(20)))

        one = in_turn(lambda: ours(1, 1), raw_trial, rounds)
        ours.cpu_ms.clear()
        many = in_turn(lambda: ours(20, 8), raw_20, max(2, rounds // 3))
        cpu_ms = sorted(ours.cpu_ms)[len(ours.cpu_ms) // 2]
    limits = {"docker": (1.3, 1.2), "local": (None, None)}[name]
    return [
        _row(f"{name}, one trial", one, limits[0]),
        _row(f"{name}, 20 trials, 8 at once", many, limits[1]),
        Figure(
            what=f"{name}, controller CPU per trial",
            value=f"{cpu_ms:.1f} ms",
            goal="≤ 30 ms",
            held=cpu_ms <= 30,
        ),
    ]


def in_memory(sandbox: Sandbox, which: str, trials: int) -> Figure:
    """The CPU of a trial whose box is in our own process."""
    with tempfile.TemporaryDirectory() as root:
        ours = Ours(sandbox, Path(root))
        ours(1, 1)
        ours(trials, 8)
    return Figure(
        what=f"memory, CPU per trial, {which}",
        value=f"{ours.cpu_ms[-1]:.1f} ms",
        goal="≤ 5 ms",
        held=ours.cpu_ms[-1] <= 5,
    )


def _row(what: str, timed: tuple[float, float, float], limit: float | None) -> Figure:
    ours_s, raw_s, ratio = timed
    return Figure(
        what=what,
        value=f"{ours_s:.3f} s, bare API {raw_s:.3f} s: {ratio:.2f} ×",
        goal=f"≤ {limit:g} × the bare API" if limit else "",
        held=ratio <= limit if limit else None,
    )


def main() -> None:
    """Measure both backends."""
    parser = argparse.ArgumentParser(usage=(__doc__ or "").split("usage: ")[1])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--sandbox", action="append", choices=("docker", "local"))
    args = parser.parse_args()
    figures: list[Figure] = []
    for name in args.sandbox or ("docker", "local"):
        figures += against_raw(name, args.rounds)
    figures.append(in_memory(MemorySandbox(), "the box's own shell included", 300))
    figures.append(in_memory(SilentSandbox(), "without a shell: the controller alone", 300))
    report("What a trial costs beyond its work", figures)


if __name__ == "__main__":
    main()
