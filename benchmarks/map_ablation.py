"""What each module of the planner is worth: the example tasks with each switch off in turn,
against all on; and what a turn costs beyond its command.

Without `--model` the model is `map_model.careless`, which shows what a switch does and not what it
is worth with a real one; with a key in the environment `--model` measures that.

usage: python -m benchmarks.map_ablation [--model MODEL] [--task GLOB]… [--sandbox NAME]
           [--base host] [-k N] [--quick]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from benchmarks.pairs import Figure, report
from mechagym.agents.base import Context
from mechagym.agents.map.agent import MapAgent
from mechagym.agents.map.config import MapConfig
from mechagym.agents.map.switches import SWITCHES
from mechagym.budget import Meter
from mechagym.events.map import MapTurnStart
from mechagym.sandbox.base import BoxSpec, RegistryImage
from mechagym.testing.memory import MemorySandbox

TURNS, MOST_MS = 25, 20.0
ROOT = Path(__file__).parent.parent
SCRIPTED = "scripted:benchmarks.map_model:careless"
SOME = ("regex-*", "merge-*", "git-*")
VARIANTS: dict[str, tuple[str, ...]] = {
    "all on": (),
    **{f"{name} off": (f"agent.switches.{name}=off",) for name in SWITCHES},
    "all off": ("agent.switches=off",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What a variant came to; turns, tokens and the rest are means of its trials."""

    trials: int
    passed: int
    turns: float
    tokens: float
    usd: float
    seconds: float

    @property
    def told(self) -> str:
        """In a cell."""
        return (
            f"{self.passed}/{self.trials} passed, {self.turns:.1f} turns,"
            f" {self.tokens:,.0f} tokens, {self.usd:.4f} usd, {self.seconds:.1f} s"
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Run all variants and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.map_ablation", description=__doc__)
    parser.add_argument("--model", default=SCRIPTED)
    parser.add_argument("--task", action="append", help="only these examples; several add up")
    parser.add_argument("--sandbox", default="auto")
    parser.add_argument("--base", default="image")
    parser.add_argument("-k", "--repeats", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="all on, all off, and one task")
    given = parser.parse_args(argv)
    figures = [_turn()]
    for variant in ("all on", "all off") if given.quick else VARIANTS:
        row = measured(variant, given)
        figures.append(Figure(what=variant, value=row.told))
    report(f"The planner, part by part, with {given.model}", figures)


def _turn() -> Figure:
    """One turn of a command that does nothing, less the same command by the bare box."""
    over_ms = anyio.run(_overhead_ms)
    return Figure(
        what=f"a turn beyond its command, {TURNS} turns in memory",
        value=f"{over_ms:.1f} ms",
        goal=f"≤ {MOST_MS:g} ms",
        held=over_ms <= MOST_MS,
    )


async def _overhead_ms() -> float:
    def goes_on(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        number = sum(isinstance(message, ModelResponse) for message in messages)
        line = f"true {number}"
        call = ToolCallPart(tool_name="run_command", args={"command": line}, tool_call_id="c")
        return ModelResponse(parts=[call])

    model = FunctionModel(goes_on)
    sandbox, image = MemorySandbox(), RegistryImage(reference="any")
    await sandbox.prepare(image, lambda _: None)
    async with sandbox.open(BoxSpec(image=image, workdir="/app")) as box:
        ends: list[float] = []
        context = Context(
            instruction="Go on.",
            box=box,
            meter=Meter(),
            emit=lambda body: (
                ends.append(time.perf_counter()) if isinstance(body, MapTurnStart) else None
            ),
            open_model=lambda _role, _meter: model,
        )
        await MapAgent(config=MapConfig(max_turns=TURNS)).run(context)
        bare = []
        for number in range(TURNS):
            began = time.perf_counter()
            await box.exec(["sh", "-c", f"true {number}"])
            bare.append(time.perf_counter() - began)
    turns = [later - sooner for sooner, later in pairwise(ends[1:])]
    return (statistics.median(turns) - statistics.median(bare)) * 1_000


def measured(variant: str, given: argparse.Namespace) -> Row:
    """Run one variant as a job of its own. Raises RuntimeError where it could not be run."""
    with tempfile.TemporaryDirectory(prefix="mechagym-ablation-") as folder:
        _run(variant, given, Path(folder))
        trials = [_trial(path) for path in sorted(Path(folder).glob("jobs/job/*/result.json"))]
    count = len(trials)
    if not count:
        raise RuntimeError(f"{variant}: the job left no trials")
    return Row(
        trials=count,
        passed=sum(trial["outcome"] == "passed" for trial in trials),
        turns=sum(trial["turns"] for trial in trials) / count,
        tokens=sum(trial["tokens"] for trial in trials) / count,
        usd=sum(trial["usd"] for trial in trials) / count,
        seconds=sum(trial["seconds"] for trial in trials) / count,
    )


def _run(variant: str, given: argparse.Namespace, folder: Path) -> None:
    sets = [word for each in VARIANTS[variant] for word in ("--set", each)]
    globs = given.task or (SOME[:1] if given.quick else SOME)
    tasks = [word for glob in globs for word in ("-t", glob)]
    command = [
        *(sys.executable, "-m", "mechagym", "run", "examples/tasks", *tasks),
        *("-a", "map", "-m", given.model, *sets, "-k", str(given.repeats)),
        *("--sandbox", given.sandbox, "--base", given.base, "--name", "job", "--quiet"),
        *("--jobs-dir", str(folder / "jobs"), "--store", f"sqlite:///{folder / 'store.db'}"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 3):
        raise RuntimeError(f"{variant}: {done.stderr or done.stdout}")


def _trial(path: Path) -> dict[str, Any]:
    """The figures of one trial's record."""
    kept = json.loads(path.read_text(encoding="utf-8"))["agent_result"] or {}
    said = kept.get("metadata") or {}
    result = (said.get("agent") or {}).get("map") or {}
    return {
        "outcome": said.get("outcome"),
        "turns": said.get("turns") or 0,
        "tokens": (kept.get("n_input_tokens") or 0) + (kept.get("n_output_tokens") or 0),
        "usd": kept.get("cost_usd") or 0.0,
        "seconds": result.get("duration_s", 0.0),
    }


if __name__ == "__main__":
    main()
