"""What each module of the planner is worth: the example tasks with each switch off in turn.

Without `--model` the model is `map_model.careless`, which shows what a switch does and not what it
is worth with a real one; with a key in the environment `--model` measures that.

usage: python -m benchmarks.map_ablation [--model MODEL] [--task GLOB]… [--sandbox NAME]
           [--base host] [-k N]
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mechagym.agents.map.switches import SWITCHES

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
    """What a variant came to; turns and tokens are means of its trials."""

    variant: str
    trials: int
    passed: int
    turns: float
    tokens: float
    usd: float
    seconds: float


def main(argv: Sequence[str] | None = None) -> None:
    """Run all variants and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", default=SCRIPTED)
    parser.add_argument("--task", action="append", help="only these examples; several add up")
    parser.add_argument("--sandbox", default="auto")
    parser.add_argument("--base", default="image")
    parser.add_argument("--variant", action="append", choices=VARIANTS)
    parser.add_argument("-k", "--repeats", type=int, default=1)
    given = parser.parse_args(argv)
    print(f"\n### The planner, part by part\n\n{datetime.now(UTC):%Y-%m-%d}, {given.model}\n")
    print("| variant | passed | turns | tokens | usd | seconds |")
    print("|---|---|---|---|---|---|")
    for variant in given.variant or VARIANTS:
        row = measured(variant, given)
        print(
            f"| {row.variant} | {row.passed}/{row.trials} | {row.turns:.1f} | {row.tokens:,.0f}"
            f" | {row.usd:.4f} | {row.seconds:.1f} |",
            flush=True,
        )


def measured(variant: str, given: argparse.Namespace) -> Row:
    """Run one variant as a job of its own."""
    with tempfile.TemporaryDirectory(prefix="mechagym-ablation-") as folder:
        _run(variant, given, Path(folder))
        trials = [_trial(path) for path in sorted(Path(folder).glob("jobs/job/*/result.json"))]
    if not trials:
        raise SystemExit(f"{variant}: the job left no trials")
    count = len(trials)
    return Row(
        variant=variant,
        trials=count,
        passed=sum(trial["outcome"] == "passed" for trial in trials),
        turns=sum(trial["turns"] for trial in trials) / count,
        tokens=sum(trial["tokens"] for trial in trials) / count,
        usd=sum(trial["usd"] for trial in trials) / count,
        seconds=sum(trial["seconds"] for trial in trials) / count,
    )


def _run(variant: str, given: argparse.Namespace, folder: Path) -> None:
    sets = [word for each in VARIANTS[variant] for word in ("--set", each)]
    tasks = [word for glob in given.task or SOME for word in ("-t", glob)]
    command = [
        *(sys.executable, "-m", "mechagym", "run", "examples/tasks", *tasks),
        *("-a", "map", "-m", given.model, *sets, "-k", str(given.repeats)),
        *("--sandbox", given.sandbox, "--base", given.base, "--name", "job", "--quiet"),
        *("--jobs-dir", str(folder / "jobs"), "--store", f"sqlite:///{folder / 'store.db'}"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 3):
        raise SystemExit(f"{variant}: {done.stderr or done.stdout}")


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
