"""`mechagym testgen …` on a scripted model and boxes in memory: all commands, JSON, exit codes."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from click.testing import Result
from rich.text import Text

from mechagym import config
from mechagym.cli.terminal.testgen_board import BADGES, Bar, TestgenBoard
from mechagym.cli.terminal.testgen_screens import picture
from mechagym.cli.testgen_evolving import Interrupts, ShopBench, until_interrupted
from mechagym.events import ProtocolReported
from mechagym.store import Store
from mechagym.testgen.evolution import Basis, Contender, Course, Evolution
from mechagym.testgen.meta import Proposed
from mechagym.testgen.protocol.steps import check
from mechagym.testgen.types import TestGenConfig
from tests.cli.conftest import Cli
from tests.testgen.author import INSTRUCTION
from tests.testgen.event_examples import TEST, TESTGEN_EXAMPLES
from tests.testgen.protocol_runs import GOOD, STUBS, Run

pytestmark = pytest.mark.must("testgen-29")

ROOT = Path(__file__).parents[2]
MODEL = "scripted:tests.testgen.author:answer"
SMALL = ("-m", MODEL, "--context", "interactive", "--preset", "quick")
VERIFIER = """\
#!/bin/sh
if [ "$(cat /app/out.txt)" = hello ]; then echo 1; else echo 0; fi > /logs/verifier/reward.txt
"""
FILES = {
    "task.toml": 'schema_version = "1.4"\nenvironment = {docker_image = "debian:bookworm-slim",'
    ' workdir = "/app"}\n',
    "instruction.md": INSTRUCTION,
    "tests/test.sh": VERIFIER,
    "solution/solve.sh": "echo hello > /app/out.txt\n",
}


@pytest.fixture
def task(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One task; the sandbox is set for every command of the test."""
    monkeypatch.setenv("MECHAGYM_SANDBOX", "memory")
    for name, text in FILES.items():
        path = home / "here/tasks/hello" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return home / "here/tasks/hello"


@pytest.fixture
def made(cli: Cli, task: Path) -> Result:
    """A suite for it."""
    result = cli("testgen", "generate", task, *SMALL)
    assert result.exit_code == 0, result.output
    return result


def told(cli: Cli, *args: object) -> Any:
    result = cli(*args)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def fits(text: str) -> bool:
    return all(len(line) <= 80 for line in text.splitlines())


def test_generate_tells_tests_as_they_come_and_ends_with_what_it_came_to(made: Result):
    lines = made.stderr.splitlines()
    assert fits(made.stderr)
    words = [line.split()[0] for line in lines[1:]]
    assert words.index("survey") < words.index("matrix") < words.index("test")
    first = next(line for line in lines if line.startswith("  test "))
    assert first.split()[1:5] == ["T001", "EX", "valid", "Real"]
    assert "ready: 6 of 6 tests valid" in made.stderr
    assert made.stdout == ""


def test_generate_ends_with_1_where_a_suite_is_not_ready(cli: Cli, task: Path):
    stubs = "scripted:tests.testgen.author:stubs"
    result = cli("testgen", "generate", task, "-m", stubs, "--preset", "quick")
    assert result.exit_code == 1, result.output
    assert "not ready: 0 of" in result.stderr
    assert "rejected V2 Stub" in result.stderr
    [row] = told(cli, "testgen", "list", "--json")
    assert (row["ready"], row["tests_valid"], row["status"]) == (False, 0, "complete")
    rules = {share["name"] for share in row["shares"]["by_rule"]}
    assert "V2" in rules


@pytest.mark.parametrize(
    ("args", "what"),
    [
        (("-m", MODEL), "name tasks"),
        (("--instruction", "do.md", "-m", MODEL), "--image"),
        (("tasks/hello", "-m", "scripted:no.such:module"), "no.such"),
        (("tasks/hello",), "a model writes the tests"),
        (("tasks/hello", "-m", MODEL, "--category", "boundary"), "custom"),
        (("tasks/hello", "-m", MODEL, "--config", "abc"), "there is no config abc"),
        (("tasks/hello", "-m", MODEL, "--budget", "lots"), "--budget"),
        (("tasks/nothing", "-m", MODEL), "tasks/nothing"),
    ],
)
def test_wrong_usage_is_2_and_says_what(cli: Cli, task: Path, args: tuple[str, ...], what: str):
    (task.parent.parent / "do.md").write_text(INSTRUCTION)
    result = cli("testgen", "generate", *args)
    assert result.exit_code == 2, result.output
    assert what in result.stderr


def test_an_instruction_of_ones_own(cli: Cli, task: Path):
    (task.parent.parent / "do.md").write_text(INSTRUCTION)
    asked = ("--instruction", "do.md", "--image", "debian:bookworm-slim")
    [row] = told(cli, "testgen", "generate", *asked, *SMALL, "--json")
    assert (row["ready"], row["task_id"]) == (True, None)


RUN_KEYS = {
    *("run_id", "stream_id", "config_digest", "task_id", "task_digest", "task_type", "trial_id"),
    *("proposal_id", "context", "status", "stopped_by", "ready", "suite_digest", "tests_total"),
    *("tests_valid", "score", "tokens", "cost_usd", "duration_s", "created_at", "notes"),
    *("metrics", "shares"),
}


def test_the_json_of_a_run_is_stable(cli: Cli, task: Path):
    [row] = told(cli, "testgen", "generate", task, *SMALL, "--json")
    assert row.keys() == RUN_KEYS | {"tests", "results", "requirements", "matrix"}
    shown = told(cli, "testgen", "show", row["run_id"], "--json")
    assert shown == row
    [listed] = told(cli, "testgen", "list", "--json")
    assert listed.keys() == RUN_KEYS
    assert {k: v for k, v in row.items() if k in RUN_KEYS} == listed
    assert row["metrics"]["mutation_score"] is None
    assert {test["category"] for test in row["tests"]} == {"existence", "correctness", "boundary"}


def test_a_run_can_be_looked_at(cli: Cli, made: Result):
    shown = cli("testgen", "show", "last", "--matrix", "--code")
    assert shown.exit_code == 0, shown.output
    assert fits(shown.stdout)
    assert "mutation score" in shown.stdout.split("unknown")[-1]
    assert "E1 out.txt   6" in shown.stdout
    assert "grep -q '^hello$' /app/out.txt" in shown.stdout
    listed = cli("testgen", "list")
    assert fits(listed.stdout)
    assert "ready" in listed.stdout
    assert "there is no run tg-x" in cli("testgen", "show", "tg-x").stderr


def test_a_suite_is_exported_and_not_over_something_else(cli: Cli, made: Result, home: Path):
    result = cli("testgen", "export", "last", "--output", "suite")
    assert result.exit_code == 0, result.output
    manifest = json.loads((home / "here/suite/suite.json").read_text())
    assert len(manifest["tests"]) == 6
    assert cli("testgen", "export", "last", "--output", "suite").exit_code == 0
    refused = cli("testgen", "export", "last", "--output", "tasks")
    assert refused.exit_code == 2
    assert "holds no suite" in refused.stderr


def test_a_suite_is_run_in_the_task_and_on_what_a_trial_left(cli: Cli, made: Result, task: Path):
    untouched = cli("testgen", "run", "last", "--task", task)
    assert untouched.exit_code == 1, untouched.output
    assert "0 of 6 passed" in untouched.stdout
    assert fits(untouched.stdout)
    assert cli("run", task, "-a", "oracle", "--name", "solved", "-q").exit_code == 0
    report = told(cli, "testgen", "run", "last", "--trial", "solved/hello", "--json")
    assert {test["status"] for test in report["tests"]} == {"passed"}
    assert "say where" in cli("testgen", "run", "last").stderr


def test_configs_are_made_compared_and_chosen(cli: Cli, made: Result, home: Path):
    [first] = told(cli, "testgen", "config", "list", "--json")
    assert (first["created_by"], first["is_current"]) == ("person", False)
    Path("mine.yaml").write_text("temperature: 0.5\nmax_rounds: 2\n")
    digest = cli("testgen", "config", "create", "mine.yaml").stdout.strip()
    shown = told(cli, "testgen", "config", "show", digest[:16])
    assert (shown["temperature"], shown["max_tests"]) == (0.5, 5)
    changed = told(cli, "testgen", "config", "diff", "shipped", digest, "--json")
    assert changed == {
        "temperature": {"from": 0.3, "to": 0.5},
        "max_rounds": {"from": 3, "to": 2},
    }
    text = cli("testgen", "config", "diff", "shipped", digest).stdout
    assert "temperature:\n  - 0.3\n  + 0.5" in text
    assert cli("testgen", "config", "set-current", digest[:12]).stdout.strip() == digest
    assert told(cli, "testgen", "config", "show") == shown
    Path("again.json").write_text(json.dumps(shown))
    assert cli("testgen", "config", "create", "again.json").stdout.strip() == digest
    chosen = cli("testgen", "config", "set-current", "shipped", "--task-type", "debugging")
    assert chosen.stdout.strip() == first["digest"]
    best = told(cli, "testgen", "stats", "--json")["best"]
    assert [(row["task_type"], row["is_override"]) for row in best] == [("debugging", True)]
    [run] = told(cli, "testgen", "generate", "tasks/hello", *SMALL, "--json")
    assert run["config_digest"] == digest, "the current one"
    Path("bad.yaml").write_text("temprature: 1\n")
    refused = cli("testgen", "config", "create", "bad.yaml")
    assert (refused.exit_code, "temprature" in refused.stderr) == (2, True)
    assert fits(cli("testgen", "config", "list").stdout)


def test_evolve_measures_clamps_and_keeps_what_is_no_better(cli: Cli, task: Path):
    plan = told(cli, "testgen", "evolve", "--tasks", task, "--dry-run", "--json")
    assert (plan["runs_per_comparison"], plan["comparisons"]) == (4, 23)
    assert told(cli, "testgen", "list", "--json") == [], "nothing is run"
    asked = ("--tasks", task, "-m", MODEL, "--preset", "quick", "--sleep-ms", "0")
    result = told(cli, "testgen", "evolve", *asked, "--max-runs", "9", "--json")
    assert (result["ended"], result["runs"], result["accepted"]) == ("max_runs", 9, [])
    assert (result["basis"], result["version"]) == ("internal", "1.0.0")
    rows = told(cli, "testgen", "list", "--json")
    assert len(rows) == 9
    assert {row["proposal_id"] is None for row in rows} == {True, False}
    configs = told(cli, "testgen", "config", "list", "--json")
    assert {row["version"]: row["created_by"] for row in configs} == {
        "1.0.0": "person",
        "1.0.1": "meta",
    }
    assert {row["body"]["temperature"] for row in configs} == {0.3, 0.4}, "0.9 was clamped"
    held = cli("testgen", "evolve", "--tasks", task, "--holdout", "hello", "-m", MODEL)
    assert (held.exit_code, "hold-out" in held.stderr) == (2, True)


def test_calibrate_counts_and_stats_show_it(cli: Cli, task: Path):
    assert cli("run", task, "-a", "oracle", "-a", "nop", "--name", "first", "-q").exit_code == 0
    nothing = cli("testgen", "calibrate", "--job", "first")
    assert nothing.exit_code == 2
    assert "make suites" in nothing.stderr
    assert cli("testgen", "generate", task, *SMALL).exit_code == 0
    found = told(cli, "testgen", "calibrate", "--job", "first", "--json")
    assert found["end_states"] == 2
    assert found["false_fail"]["all"] == {"count": 0, "trials": 1}
    assert found["false_pass"]["all"] == {"count": 0, "trials": 1}
    text = cli("testgen", "calibrate", "--job", "first").stdout
    assert "not enough data" in text
    assert fits(text)
    kept = told(cli, "testgen", "stats", "--json")["calibration"]
    assert {(row["metric"], row["rate"]) for row in kept} == {
        ("false_fail", None),
        ("false_pass", None),
        ("toxicity", None),
    }
    before = cli("testgen", "stats").stdout
    assert fits(before)
    assert cli("testgen", "rebuild").exit_code == 0
    assert cli("testgen", "stats").stdout == before


def test_a_trial_without_a_protocol_has_no_report(cli: Cli, task: Path):
    assert cli("run", task, "-a", "nop", "--name", "plain", "-q").exit_code == 0
    result = cli("testgen", "check-protocol", "plain/hello")
    assert result.exit_code == 2
    assert "--protocol testgen-v2" in result.stderr


@pytest.mark.parametrize("run", [GOOD, replace(GOOD, tests=STUBS)], ids=["held", "stubs"])
def test_the_report_of_a_protocol_is_shown(cli: Cli, task: Path, run: Run):
    assert cli("run", task, "-a", "nop", "--name", "wrapped", "-q").exit_code == 0
    report = check(run.events, run.collected)
    anyio.run(keep_report, report)
    result = cli("testgen", "check-protocol", "wrapped/hello")
    assert result.exit_code == (0 if report.followed else 1), result.output
    assert fits(result.stdout)
    assert ("not followed" in result.stdout) is not report.followed
    assert [line.split()[0] for line in result.stdout.splitlines()[2:8]] == list("012345")
    [found] = json.loads(cli("testgen", "check-protocol", "wrapped/hello", "--json").stdout)
    assert [step["state"] for step in found["steps"]] == [step.state for step in report.steps]


async def keep_report(report: ProtocolReported) -> None:
    async with Store.open(config.load().store) as store:
        [job] = await store.jobs()
        [trial] = await store.trials(job.job_id)
        store.emitter(trial.key.trial_id, try_number=1)(report)


def test_ctrl_c_ends_a_run_and_it_is_saved(cli: Cli, task: Path):
    argv = [sys.executable, "-m", "mechagym", "testgen", "generate", str(task)]
    argv += ["-m", "scripted:tests.testgen.author:hang", "--preset", "quick"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(argv, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("  inputs"):
                process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    [row] = told(cli, "testgen", "list", "--json")
    assert (row["status"], row["stopped_by"], row["ready"]) == ("limited", "cancelled", False)


@pytest.mark.must("testgen-23")
async def test_the_first_ctrl_c_lets_the_present_run_end_and_the_second_does_not():
    @dataclass
    class Slow:
        interrupts: int
        ended: int = 0
        basis: Basis = "internal"

        async def measure(self, contender: Contender, task: str, repetition: int) -> float | None:
            for _ in range(self.interrupts):
                os.kill(os.getpid(), signal.SIGINT)
                await anyio.sleep(0.2)
            self.ended += 1
            return 1.0

        async def propose(self, current: Contender) -> Proposed:
            raise AssertionError("it is stopped by then")

        def refusal(self, text: str) -> str | None:
            return None

    start = Contender(config=TestGenConfig(), version="1.0.0")
    for interrupts, ended in ((1, 1), (2, 0)):
        bench, seen = Slow(interrupts), Interrupts()
        evolution = Evolution(
            bench=bench,
            course=Course(tasks=("a", "b")),
            emit=lambda _body: None,
            stopping=lambda seen=seen: seen.count > 0,  # type: ignore[misc]
        )
        assert await until_interrupted(evolution, start, seen) == (start, "stopped")
        assert bench.ended == ended


@pytest.mark.must("testgen-23")
def test_with_enough_end_states_agreement_is_the_basis(
    cli: Cli, task: Path, monkeypatch: pytest.MonkeyPatch
):
    assert cli("run", task, "-a", "oracle", "-a", "nop", "--name", "first", "-q").exit_code == 0
    asked = ("--tasks", task, "-m", MODEL, "--preset", "quick", "--sleep-ms", "0", "--max-runs", 9)
    few = cli("testgen", "evolve", *asked, "--job", "first", "--json")
    assert "2 end states of 30: accepting by score" in few.stderr
    assert json.loads(few.stdout)["basis"] == "internal"
    monkeypatch.setattr("mechagym.cli.testgen_evolving.ENOUGH_STATES", 2)
    measured: list[float | None] = []
    measure = ShopBench.measure

    async def heard(
        bench: ShopBench, contender: Contender, name: str, repetition: int
    ) -> float | None:
        measured.append(await measure(bench, contender, name, repetition))
        return measured[-1]

    monkeypatch.setattr(ShopBench, "measure", heard)
    found = told(cli, "testgen", "evolve", *asked, "--job", "first", "--json")
    assert found["basis"] == "agreement"
    assert measured == [1.0] * 9, "both verdicts are as the suite says"
    assert found["accepted"] == []


def test_the_live_picture_fits_the_screen():
    board = TestgenBoard(title="made/hello  tg-20250101-120000-a1b2c3")
    for example in TESTGEN_EXAMPLES:
        board.take(example)
    board.bars = {name: Bar(made=3, target=5, round=1, rounds=3) for name in BADGES}
    for number in range(20):
        board.tests[f"T{number:03d}"] = replace(TEST, test_id=f"T{number:03d}", title="long " * 40)
    lines = picture(board, 80).renderables
    texts = [line.plain for line in lines if isinstance(line, Text)]
    assert len(texts) == len(lines) == 3 + 8
    assert all(len(text) <= 80 for text in texts)
    assert texts[1].split() == [
        part for badge in BADGES.values() for part in (badge, "━━━──", "3/5")
    ]
    assert "T019" in texts[-1]
    assert "20 rejected" in texts[2]
