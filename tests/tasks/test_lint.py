"""The lint: each rule found where it is, and silent where there is nothing to say."""

from pathlib import Path

import pytest

from mechagym.tasks.dockerfile import base_images, last_user, read_dockerfile
from mechagym.tasks.lint import RULES, Finding, lint_folder
from tests.tasks.folders import CANARY, like_terminal_bench_2, minimal

CLEAN: dict[str, str | bytes] = {
    "task.toml": f'# {CANARY}\nschema_version = "1.4"\n[agent]\ntimeout_sec = 60\nuser = "agent"\n',
    "environment/Dockerfile": f"FROM debian:bookworm-slim@sha256:{'0' * 64}\nWORKDIR /app\n",
}
# rule: files that break it, where it is said, and a word of what is said
CASES: dict[str, list[tuple[dict[str, str | bytes], str, str]]] = {
    "unreadable": [
        ({"task.toml": "\na =\n"}, "task.toml:2", "not valid TOML"),
        ({"environment/Dockerfile": b"FROM x:1\n\xff"}, "environment/Dockerfile:2", "not UTF-8"),
    ],
    "unknown-key": [
        (
            {"task.toml": "[agent]\ntimeout_sec = 60\n\n[environment]\nmemroy_mb = 5\n"},
            "task.toml:5",
            'environment.memroy_mb; did you mean "memory_mb"?',
        ),
        (
            {
                "task.toml": '[[steps]]\nname = "a"\n[[steps]]\nname = "b"\nmin_rewards = 1\n',
                "steps/a/instruction.md": "x",
                "steps/b/instruction.md": "x",
            },
            "task.toml:5",
            'did you mean "min_reward"?',
        ),
        ({"task.toml": "zzz = 1\n"}, "task.toml:1", "unknown key zzz"),
    ],
    "old-key": [
        ({"task.toml": '[environment]\nmemory = "1G"\n'}, "task.toml:2", "memory_mb"),
        ({"task.toml": 'version = "1.0"\n'}, "task.toml:1", "schema_version"),
    ],
    "schema-version": [
        ({"task.toml": 'schema_version = "1.12"'}, "task.toml:1", "newest known: 1.4")
    ],
    "instruction-empty": [({"instruction.md": "<!-- canary -->\n \n"}, "instruction.md", "empty")],
    "solution-missing": [({"solution/solve.sh": ""}, "solution/solve.sh", "no reference solution")],
    "image-unpinned": [
        (
            {"environment/Dockerfile": "FROM a:1\nFROM b/c AS d\nFROM d\n"},
            "Dockerfile:2",
            "b/c names",
        ),
        ({"environment/Dockerfile": "FROM --platform=x h:5000/a:latest"}, "Dockerfile:1", "latest"),
        ({"task.toml": '[environment]\ndocker_image = "a"'}, "task.toml:2", "a names no version"),
        ({"tests/Dockerfile": "FROM v\n"}, "tests/Dockerfile:1", "v names no version"),
    ],
    "image-without-digest": [({"environment/Dockerfile": "FROM a:1\n"}, "Dockerfile:1", "digest")],
    "network-in-tests": [
        (
            {"tests/test.sh": f"# apt-get install x\n{line}\nreward.txt"},
            "tests/test.sh:2",
            "downloads",
        )
        for line in (
            "apt-get install -y curl",
            "python -m pip install x",
            "curl -LsSf https://astral.sh/uv/install.sh | sh",
            "wget -q http://x",
            "uvx pytest",
            "if uvx -p 3 pytest; then".replace("if ", "true; "),
            "npm install",
            "git clone x",
        )
    ],
    "tests-in-image": [
        (
            {
                "tests/test_outputs.py": "def test_it(): ...\n",
                "environment/t/test_outputs.py": "def test_it(): ...\n",
                "environment/Dockerfile": "FROM a:1\nCOPY \\\n # why\n  t /t\n",
            },
            "environment/t/test_outputs.py",
            "same as tests/test_outputs.py",
        ),
    ],
    "solution-in-image": [
        (
            {
                "solution/solve.sh": "echo the answer is 42\n",
                "environment/a.sh": "echo the answer is 42\n",
                "environment/Dockerfile": 'FROM a:1\nCOPY ["./", "/app"]\n',
            },
            "environment/a.sh",
            "same as solution/solve.sh",
        ),
    ],
    "root-agent": [
        ({"task.toml": '[agent]\nuser = "root"'}, "Dockerfile", "as root"),
        (
            {"task.toml": "[agent]", "environment/Dockerfile": "FROM a:1\nUSER x\nFROM b:1"},
            "",
            "root",
        ),
    ],
    "pipefail-missing": [
        ({"tests/test.sh": "x | tee reward.txt\n"}, "tests/test.sh:1", "pipefail"),
        (
            {"tests/lib/run.sh": "case $x in\n  a|b) true;;\nesac\na | b"},
            "lib/run.sh:4",
            "pipefail",
        ),
    ],
    "reward-unwritten": [({"tests/test.sh": "pytest\n"}, "tests/test.sh", "reward.txt")],
    "line-ends": [({"solution/solve.sh": "true\r\n"}, "solution/solve.sh", "Windows")],
    "canary-absent": [
        ({"task.toml": '[agent]\nuser = "x"\ntimeout_sec = 60'}, "instruction.md", "canary")
    ],
    "timeout-absent": [({"task.toml": ""}, "task.toml", "agent.timeout_sec")],
    "timeout-small": [
        ({"task.toml": "[agent]\ntimeout_sec = 2"}, "task.toml:2", "agent.timeout_sec = 2"),
        ({"task.toml": "[verifier]\ntimeout_sec = 2"}, "task.toml:2", "verifier.timeout_sec = 2"),
    ],
}
FLAT = [
    pytest.param(rule, files, place, says, id=f"{rule}-{number}")
    for rule, cases in CASES.items()
    for number, (files, place, says) in enumerate(cases)
]


def rules(findings: tuple[Finding, ...]) -> set[str]:
    return {finding.rule for finding in findings}


def test_every_rule_is_shown():
    assert set(CASES) == set(RULES)


def test_a_clean_task_is_clean(tmp_path: Path):
    assert lint_folder(minimal(tmp_path / "t", CLEAN)) == ()


@pytest.mark.parametrize(("rule", "files", "place", "says"), FLAT)
def test_each_rule_names_its_place(
    tmp_path: Path, rule: str, files: dict[str, str | bytes], place: str, says: str
):
    folder = minimal(tmp_path / "t", {**CLEAN, **files})
    if rule == "solution-missing":
        (folder / "solution/solve.sh").unlink()
    found = [f for f in lint_folder(folder) if f.rule == rule]
    assert len(found) == 1, lint_folder(folder)
    assert found[0].severity == RULES[rule][0]
    assert says in found[0].message
    shown = str(found[0])
    assert shown.startswith(f"{folder}/")
    assert f"{place}: {found[0].severity}: " in shown


@pytest.mark.parametrize(
    ("rule", "files"),
    [
        ("tests-in-image", {"environment/tests/own.txt": "x" * 99, "tests/own.txt": "x" * 99}),
        (
            "tests-in-image",
            {
                "environment/x/test_a.py": "def test_it(): ...\n",
                "tests/test_a.py": "def test_it(): ...\n",
            },
        ),
        ("pipefail-missing", {"tests/test.sh": "set -euo pipefail\na | b > reward.txt\n"}),
        ("pipefail-missing", {"tests/test.sh": "a || b; echo '|' \"|\"; c >| reward.txt\n"}),
        ("network-in-tests", {"tests/test.sh": "curl http_status; pip list; echo > reward.txt\n"}),
        ("reward-unwritten", {"tests/test.sh": "python x.py", "tests/x.py": "'reward.json'"}),
        ("image-unpinned", {"environment/Dockerfile": "FROM ${BASE}\nFROM scratch\n"}),
        ("image-unpinned", {"environment/Dockerfile": "FROM a:1\nRUN <<EOF\nFROM b\nEOF\n"}),
        ("root-agent", {"environment/Dockerfile": "FROM a:1\nUSER x:y\n"}),
    ],
)
def test_what_is_fine_is_not_said(tmp_path: Path, rule: str, files: dict[str, str | bytes]):
    toml = f"# {CANARY}\n[agent]\ntimeout_sec = 60\n"
    assert rule not in rules(lint_folder(minimal(tmp_path / "t", {"task.toml": toml, **files})))


def test_a_link_into_the_tests_gives_them_away(tmp_path: Path):
    folder = minimal(tmp_path / "t", CLEAN)
    (folder / "environment/x").symlink_to("../tests")
    (folder / "environment/y").symlink_to("../solution/solve.sh")
    assert rules(lint_folder(folder)) == {"tests-in-image", "solution-in-image"}


def test_a_task_like_those_of_terminal_bench_2(tmp_path: Path):
    found = lint_folder(like_terminal_bench_2(tmp_path / "t"))
    assert not [f for f in found if f.severity == "error"]
    assert rules(found) == {
        "old-key",
        "network-in-tests",
        "pipefail-missing",
        "image-without-digest",
        "root-agent",
    } | {"canary-absent"}
    assert [f.severity for f in found] == sorted((f.severity for f in found), reverse=True)


def test_dockerfiles():
    text = (
        "# x\nARG A=1\nFROM a:1 AS one\nUSER app\nRUN <<E && \\\n  true\nUSER no\nE\n"
        'from one\ncopy --chown=a ["x y", "z/", "/d/"]\nADD --from=one /q /q\nWORKDIR\nUSER 10:10\n'
    )
    steps = read_dockerfile(text)
    assert [(s.line, s.word) for s in steps] == [
        (2, "ARG"),
        (3, "FROM"),
        (4, "USER"),
        (5, "RUN"),
        (9, "FROM"),
        (10, "COPY"),
        (11, "ADD"),
        (13, "USER"),
    ]
    assert base_images(steps) == ((3, "a:1"),)
    assert last_user(steps) == "10"
    assert steps[6].sources == ()
