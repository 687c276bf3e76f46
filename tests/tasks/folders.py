"""Task folders made on the spot, as real ones look."""

from pathlib import Path

CANARY = "benchmark-canary GUID 00000000-0000-4000-8000-000000000000"
TEST_SH = """#!/bin/bash
apt-get update
apt-get install -y curl
curl -LsSf https://astral.sh/uv/0.9.5/install.sh | sh
source $HOME/.local/bin/env
uvx -p 3.13 -w pytest==8.4.1 pytest --ctrf /logs/verifier/ctrf.json /tests/test_outputs.py -rA
if [ $? -eq 0 ]; then
  echo 1 > /logs/verifier/reward.txt
else
  echo 0 > /logs/verifier/reward.txt
fi
"""
TASK_TOML = """version = "1.0"

[metadata]
author_name = "A. Person"
author_email = "a@example.org"
difficulty = "medium"
category = "data-processing"
tags = ["regex", "logs"]
expert_time_estimate_min = 45.0
junior_time_estimate_min = 90.0

[verifier]
timeout_sec = 900.0

[agent]
timeout_sec = 900.0

[environment]
build_timeout_sec = 600.0
docker_image = "someone/regex-log:20251031"
cpus = 1
memory = "4G"
storage = "10G"
"""
MINIMAL = {
    "task.toml": 'schema_version = "1.4"\n',
    "instruction.md": "Do it.\n",
    "environment/Dockerfile": "FROM debian:bookworm-slim\nWORKDIR /app\n",
    "tests/test.sh": "echo 1 > /logs/verifier/reward.txt\n",
    "solution/solve.sh": "true\n",
}


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    """Write files into a folder, which is returned."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def minimal(folder: Path, files: dict[str, str | bytes] | None = None) -> Path:
    """Write the smallest task that loads, with other files over it."""
    return write(folder, {**MINIMAL, **(files or {})})


def like_terminal_bench_2(folder: Path) -> Path:
    """Write a task as those of Terminal-Bench 2 are: no shebang, trees of files, odd text."""
    return write(
        folder,
        {
            "task.toml": TASK_TOML,
            "instruction.md": "Write `{x}` to $(pwd)/naïve.txt – 日本語.\n\n{{ braces }}\n",
            "environment/Dockerfile": "FROM python:3.13-slim-bookworm AS build\nRUN true\n"
            "FROM debian:bookworm-slim\nCOPY --from=build /etc/os-release /x\n"
            'WORKDIR /app\nCOPY tests/ /app/tests/\nENV A=$UNSET\nCMD ["bash"]\n',
            "environment/tests/sample.txt": "a test of the program itself\n",
            "tests/test.sh": TEST_SH,
            "tests/test_outputs.py": f"# {CANARY}\ndef test_it():\n    assert True\n",
            "tests/data/deep/er.bin": bytes(range(256)),
            "solution/solve.sh": "# no shebang\nsource /etc/profile\necho done > /app/x\n",
            "solution/extra/tool.py": "print(1)\n",
        },
    )
