"""Terminal-Bench 1 tasks become the same `Task`, and their tests' exit code a reward."""

import subprocess
from pathlib import Path

import pytest
import yaml

from mechagym.errors import TaskError
from mechagym.tasks.folder import load_task
from tests.tasks.folders import write

TASK_YAML = """\
# canary
instruction: |-
  Fix `{x}` in $(pwd).

  Two paragraphs – é.
author_name: A. Person
author_email: a@example.org
difficulty: hard
category: system-administration
tags:
  - git
parser_name: pytest
max_agent_timeout_sec: 900.0
max_test_timeout_sec: 180
run_tests_in_same_shell: false
"""
COMPOSE = """\
services:
  client:
    build:
      dockerfile: Dockerfile
    image: ${T_BENCH_TASK_DOCKER_CLIENT_IMAGE_NAME}
    container_name: ${T_BENCH_TASK_DOCKER_CLIENT_CONTAINER_NAME}
    command: [ "sh", "-c", "sleep infinity" ]
    environment:
      - TEST_DIR=${T_BENCH_TEST_DIR}
      - MODE=fast
    volumes:
      - ${T_BENCH_TASK_LOGS_PATH}:${T_BENCH_CONTAINER_LOGS_PATH}
"""


def old_task(folder: Path, files: dict[str, str | bytes] | None = None) -> Path:
    return write(
        folder,
        {
            "task.yaml": TASK_YAML,
            "docker-compose.yaml": COMPOSE,
            "Dockerfile": "FROM debian:bookworm-slim\nWORKDIR /app\nCOPY . /app\n",
            "run-tests.sh": "pytest $TEST_DIR/test_outputs.py -rA\n",
            "solution.sh": "#!/bin/bash\necho\n",
            "tests/test_outputs.py": "def test_x(): pass\n",
            "data/in.txt": "x",
            **(files or {}),
        },
    )


def files_of(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_the_usual_task(tmp_path: Path):
    folder = old_task(tmp_path / "fix-git")
    before = files_of(folder)
    task = load_task(folder, dataset="tb1", cache=tmp_path / "cache")
    assert files_of(folder) == before
    assert (task.form, task.task_id) == ("terminal-bench-1", "tb1/fix-git")
    step = task.steps[0]
    assert step.instruction == "Fix `{x}` in $(pwd).\n\nTwo paragraphs – é.\n"
    assert (step.agent.timeout_s, step.verifier.timeout_s) == (900.0, 180.0)
    assert task.metadata["difficulty"] == "hard"
    assert task.metadata["tags"] == ["git"]
    assert task.environment.env == {"TEST_DIR": "/tests", "MODE": "fast"}
    assert task.compose_file is None
    assert files_of(task.folder) == {
        "task.toml",
        "instruction.md",
        "environment/Dockerfile",
        "environment/data/in.txt",
        "tests/test.sh",
        "tests/run-tests.sh",
        "tests/test_outputs.py",
        "solution/solve.sh",
    }
    again = load_task(folder, dataset="tb1", cache=tmp_path / "other-cache")
    assert again.digest == task.digest


@pytest.mark.parametrize(("code", "reward"), [(0, "1"), (3, "0")])
def test_the_exit_code_becomes_the_reward(tmp_path: Path, code: int, reward: str):
    folder = old_task(tmp_path / "t", {"run-tests.sh": f"exit {code}\n"})
    task = load_task(folder, cache=tmp_path / "cache")
    script = (task.steps[0].tests_dir / "test.sh").read_text()
    moved = script.replace("/logs/verifier", f"{tmp_path}/logs")
    moved = moved.replace("/tests/", f"{task.steps[0].tests_dir}/")
    assert subprocess.run(["bash", "-c", moved], check=False).returncode == code
    assert (tmp_path / "logs/reward.txt").read_text().strip() == reward


SWEBENCH = "task.yaml", TASK_YAML.replace("pytest", "swebench")


@pytest.mark.parametrize(
    ("said", "reward"),
    [
        ("SWEBench results starts here\nPASSED\nSWEBench results ends here", "1"),
        ("SWEBench results starts here\nFAILED\nSWEBench results ends here", "0"),
        ("PASSED\nSWEBench results starts here\nFAILED", "0"),
        ("it broke", "0"),
    ],
)
def test_a_script_that_always_ends_well_is_judged_by_its_word(
    tmp_path: Path, said: str, reward: str
):
    script = f"printf '%s\\n' '{said}'\n"
    folder = old_task(tmp_path / "t", {"run-tests.sh": script, SWEBENCH[0]: SWEBENCH[1]})
    step = load_task(folder, cache=tmp_path / "cache").steps[0]
    moved = (step.tests_dir / "test.sh").read_text().replace("/logs/verifier", f"{tmp_path}/logs")
    moved = moved.replace("/tests/", f"{step.tests_dir}/")
    done = subprocess.run(["bash", "-c", moved], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == said
    assert (tmp_path / "logs/reward.txt").read_text().strip() == reward


LIMITED = """\
    deploy: {resources: {limits: {cpus: '1.5', memory: 2gb}}}
    tty: true
    stdin_open: true
    restart: "no"
"""


def test_limits_are_the_environments_and_need_no_overlay(tmp_path: Path):
    folder = old_task(tmp_path / "t", {"docker-compose.yaml": COMPOSE + LIMITED})
    task = load_task(folder, cache=tmp_path / "cache")
    assert task.compose_file is None
    assert (task.environment.cpus, task.environment.memory_mb) == (1.5, 2048)


def test_what_was_mounted_from_the_task_is_copied_into_the_image(tmp_path: Path):
    mounts = "      - ./:/app\n      - ./data/in.txt:/in:ro\n      - ./tests:/tests\n"
    folder = old_task(tmp_path / "t", {"docker-compose.yaml": COMPOSE + mounts})
    task = load_task(folder, cache=tmp_path / "cache")
    assert task.compose_file is None
    assert task.dockerfile
    ends = 'COPY [".", "/app"]\nCOPY ["data/in.txt", "/in"]\n'
    assert task.dockerfile.read_text().endswith(f"# what was mounted here\n{ends}")


def test_side_services_stay_in_an_overlay(tmp_path: Path):
    compose = COMPOSE + "    depends_on: [db]\n  db:\n    build: ./db\nnetworks: {n: {}}\n"
    folder = old_task(
        tmp_path / "t", {"docker-compose.yaml": compose, "db/Dockerfile": "FROM d:1\n"}
    )
    task = load_task(folder, cache=tmp_path / "cache")
    assert task.compose_file
    document = yaml.safe_load(task.compose_file.read_text())
    assert document == {
        "services": {"main": {"depends_on": ["db"]}, "db": {"build": "./db"}},
        "networks": {"n": {}},
    }
    assert (task.folder / "environment/db/Dockerfile").is_file()


def test_a_context_of_its_own(tmp_path: Path):
    compose = "services:\n  client:\n    build: {context: ./client, dockerfile: Docker.file}\n"
    files: dict[str, str | bytes] = {
        "docker-compose.yaml": compose,
        "client/Docker.file": "FROM c:1\n",
    }
    task = load_task(old_task(tmp_path / "t", files), cache=tmp_path / "cache")
    assert files_of(task.folder / "environment") == {"Dockerfile", "Docker.file"}


def test_what_a_dockerfile_copies_by_name_stays(tmp_path: Path):
    dockerfile = "FROM x:1\nCOPY ./tests/test_outputs.py /app/\n"
    task = load_task(old_task(tmp_path / "t", {"Dockerfile": dockerfile}), cache=tmp_path / "cache")
    assert (task.folder / "environment/tests/test_outputs.py").is_file()


def test_older_spellings(tmp_path: Path):
    folder = old_task(
        tmp_path / "t",
        {
            "task.yaml": "descriptions:\n  - {key: base, description: Do it}\n",
            "solution.yaml": "- command: echo 1\n  append_enter: true\n- command: echo 2\n",
        },
    )
    (folder / "solution.sh").unlink()
    (folder / "docker-compose.yaml").unlink()
    (folder / "run-tests.sh").unlink()
    task = load_task(folder, cache=tmp_path / "cache")
    step = task.steps[0]
    assert (step.instruction, step.agent.timeout_s, step.verifier.timeout_s) == ("Do it\n", 360, 60)
    assert "pytest" in (step.tests_dir / "run-tests.sh").read_text()
    assert (step.solution_dir / "solve.sh").read_text() == "#!/bin/bash\necho 1\necho 2\n"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("task.yaml", "a: [", r"task\.yaml:1: not valid YAML"),
        ("task.yaml", "x: 1\ny: 2\nmax_agent_timeout_sec: soon\ninstruction: a", r"task\.yaml:3: "),
        ("task.yaml", "difficulty: easy", r"task\.yaml:1: instruction is missing"),
        ("task.yaml", "just text", r"task\.yaml:1: the file"),
        ("task.yaml", b"\xff", r"task\.yaml:1: not UTF-8"),
        ("docker-compose.yaml", "services: 5", r"docker-compose\.yaml:1: services"),
        ("docker-compose.yaml", "services: {a: {build: ../x}}", "must stay in the task folder"),
        ("docker-compose.yaml", "services: {a: {cpus: many}}", "cpus must be a number"),
        ("docker-compose.yaml", "services: {a: {mem_limit: much}}", "memory must be a size"),
        ("solution.yaml", "{a: b}", r"solution\.yaml:1: "),
        ("tests/test.sh", "", "taken by the entry point"),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path: Path, name: str, content: str | bytes, says: str):
    folder = old_task(tmp_path / "t", {name: content})
    if name == "solution.yaml":
        (folder / "solution.sh").unlink()
    with pytest.raises(TaskError, match=says) as caught:
        load_task(folder, cache=tmp_path / "cache")
    assert caught.value.message.startswith(f"{folder}/")
    assert not list((tmp_path / "cache").rglob(".making-*"))
