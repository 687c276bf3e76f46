"""The bundled tasks: well formed, able to run without an image, solvable, not given away."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import jsonschema
import pytest

from mechagym.tasks.dockerfile import base_images, read_dockerfile
from mechagym.tasks.folder import load_task
from mechagym.tasks.lint import lint_task

HERE = Path(__file__).parent
EXAMPLES = HERE.parent / "examples" / "tasks"
FOLDERS = sorted(path.parent for path in EXAMPLES.glob("*/task.toml"))
SCHEMA = json.loads((HERE / "data" / "task-toml-1.4.schema.json").read_text(encoding="utf-8"))
REPLAYABLE = {"FROM", "WORKDIR", "ENV", "COPY", "ADD", "RUN", "USER"}
STAND_INS = {"debian:bookworm-slim", "python:3.13-slim-bookworm", "python:3.13-bookworm"}
CANARY = "mechagym-canary 6f0d3c2e-6a57-4b1c-9f0e-2d1f5c8a7b94"
each_task = pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)


def test_there_are_ten():
    assert len(FOLDERS) == 10


@each_task
def test_it_is_a_task_of_schema_1_4(folder: Path):
    document = tomllib.loads((folder / "task.toml").read_text(encoding="utf-8"))
    jsonschema.validate(document, SCHEMA)
    task = load_task(folder)
    assert task.schema_version == "1.4"
    assert task.unknown_keys == ()
    assert task.full_name == f"mechagym/{folder.name}"
    assert all(step.instruction.strip() for step in task.steps)
    assert {"difficulty", "category", "tags", "needs"} <= task.metadata.keys()
    assert task.metadata["expert_time_estimate_min"] < task.metadata["junior_time_estimate_min"]


@each_task
def test_the_lint_finds_nothing_worse_than_notes(folder: Path):
    assert [f for f in lint_task(load_task(folder)) if f.severity != "note"] == []


@each_task
def test_whoever_trains_on_it_can_know(folder: Path):
    texts = [*folder.rglob("instruction.md"), *folder.rglob("test.sh"), *folder.rglob("solve.sh")]
    for path in texts:
        assert CANARY in path.read_text(encoding="utf-8"), path
    assert all(CANARY not in step.instruction for step in load_task(folder).steps)


@each_task
def test_its_image_can_be_replayed_without_a_network(folder: Path):
    lines = read_dockerfile((folder / "environment" / "Dockerfile").read_text(encoding="utf-8"))
    assert {line.word for line in lines} <= REPLAYABLE
    assert {name for _, name in base_images(lines)} <= STAND_INS
    for line in lines:
        if line.word == "RUN":
            assert not {"apt-get", "apt", "pip", "curl", "wget"} & set(
                " ".join(line.arguments).split()
            )


def test_one_runner_for_all():
    runners = {path.read_bytes() for path in EXAMPLES.rglob("run_tests.py")}
    assert len(runners) == 1


def test_all_kinds_are_there():
    tasks = {folder.name: load_task(folder) for folder in FOLDERS}
    assert [name for name, task in tasks.items() if task.multi_step] == ["ledger-in-two-steps"]
    separate = [n for n, t in tasks.items() if t.steps[0].verifier.mode == "separate"]
    assert separate == ["one-file-report"]
    assert tasks["one-file-report"].artifacts
    closed = [n for n, t in tasks.items() if t.environment.network == "no-network"]
    assert closed == sorted(tasks)  # the demo runs where no way out can be had


@pytest.mark.live
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("options", "repeats"),
    [
        pytest.param(["--sandbox", "local", "--base", "host"], 3, id="local-over-the-host"),
        pytest.param(["--sandbox", "docker"], 3, id="docker"),
        pytest.param(["--sandbox", "local"], 1, id="local-from-images"),
    ],
)
def test_the_oracle_solves_each_and_nop_none(options: list[str], repeats: int, tmp_path: Path):
    command = [sys.executable, "-m", "mechagym", "run", str(EXAMPLES), "-a", "oracle", "-a", "nop"]
    command += ["-k", str(repeats), "-n", "4", "-o", str(tmp_path / "jobs"), *options]
    command += ["--store", f"sqlite:///{tmp_path}/store.db", "--name", "proof", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=880, check=False)
    if "no sandbox is usable" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert wrong_trials(tmp_path / "jobs" / "proof", expected=20 * repeats) == []


def wrong_trials(job: Path, *, expected: int) -> list[str]:
    """The trials whose reward is not what their agent should get."""
    results = [json.loads(path.read_bytes()) for path in job.glob("*/result.json")]
    assert len(results) == expected
    rewards = [(r, (r["verifier_result"] or {"rewards": {}})["rewards"]) for r in results]
    return [
        f"{result['trial_name']}: {result['agent_info']['name']} got {reward}"
        for result, reward in rewards
        if reward.get("reward") != {"oracle": 1.0, "nop": 0.0}[result["agent_info"]["name"]]
    ]
