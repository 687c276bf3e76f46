"""Datasets from every kind of source, with their broken tasks beside the good ones."""

import json
import subprocess
from pathlib import Path

import pytest

from mechagym.errors import ConfigError, TaskError
from mechagym.tasks.convert import import_tasks
from mechagym.tasks.dataset import KNOWN, Dataset, load_dataset
from mechagym.tasks.folder import load_task
from mechagym.tasks.git import GitSource, parse_git
from mechagym.tasks.selection import resolve, select
from tests.tasks.folders import like_terminal_bench_2, minimal, write


def names(dataset: Dataset) -> list[str]:
    return [task.task_id for task in dataset.tasks]


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    argv = ["git", "-C", str(folder), *identity, *words]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Make a repository with two commits; the first has one task, the second two, in `tasks/`."""
    folder = tmp_path / "some-tasks"
    like_terminal_bench_2(folder / "tasks/one")
    write(folder, {"README.md": "x"})
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "one")
    git(folder, "tag", "-a", "v1", "-m", "v1")
    minimal(folder / "tasks/two")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "two")
    return folder


def test_a_folder_of_tasks(tmp_path: Path):
    root = tmp_path / "bench"
    like_terminal_bench_2(root / "b.2")
    minimal(root / "group/a")
    minimal(root / ".hidden/x")
    minimal(root / "scripts/x")
    minimal(root / "docs/x")
    minimal(root / "group/deeper/no")
    write(root, {"README.md": "", "registry.json": "[]", "other/file": ""})
    write(root / "bad-toml", {"task.toml": "a =\n"})
    write(root / "no-toml", {"instruction.md": "x"})
    dataset = load_dataset(str(root))
    assert (dataset.name, names(dataset)) == ("bench", ["bench/a", "bench/b.2"])
    assert [b.folder.name for b in dataset.broken] == ["bad-toml", "no-toml"]
    assert dataset.broken[0].reason.message.startswith(f"{root}/bad-toml/task.toml:1: ")
    assert "task.toml: this file is missing" in dataset.broken[1].reason.message
    skipped = {path.relative_to(root).as_posix() for path in dataset.skipped}
    wanted = {".hidden", "scripts", "docs", "README.md", "registry.json", "other", "group/deeper"}
    assert skipped == wanted


def test_two_tasks_of_one_name(tmp_path: Path):
    for folder in ("a", "b"):
        minimal(tmp_path / "d" / folder, {"task.toml": '[task]\nname = "o/same"'})
    dataset = load_dataset(str(tmp_path / "d"))
    assert names(dataset) == ["d/same"]
    assert "is named 'same' too" in dataset.broken[0].reason.message


def test_one_task_is_a_dataset(tmp_path: Path):
    folder = minimal(tmp_path / "alone")
    for source in (folder, folder / "task.toml"):
        dataset = load_dataset(str(source))
        assert (dataset.name, names(dataset)) == ("alone", ["alone"])


def test_no_task_at_all(tmp_path: Path):
    with pytest.raises(TaskError, match="holds no task"):
        load_dataset(str(tmp_path))
    with pytest.raises(ConfigError) as caught:
        load_dataset("terminal-bench@2.1")
    assert "terminal-bench@2.0" in str(caught.value)
    with pytest.raises(ConfigError, match="not a source of tasks"):
        load_dataset(str(write(tmp_path, {"x.txt": ""}) / "x.txt"))


def test_the_digest_of_a_dataset_is_that_of_its_tasks(tmp_path: Path):
    minimal(tmp_path / "a/t")
    minimal(tmp_path / "b/deep/t")
    one, two = (load_dataset(str(tmp_path / name)).digest for name in "ab")
    assert one == two
    write(tmp_path / "a/t", {"instruction.md": "Other.\n"})
    assert load_dataset(str(tmp_path / "a")).digest != one


@pytest.mark.parametrize(
    ("source", "url", "rev", "subdir"),
    [
        ("git+file:///a/b", "file:///a/b", None, ""),
        ("git+https://h/o/r.git@v1#x/y", "https://h/o/r.git", "v1", "x/y"),
        ("git+ssh://git@h/o/r@main", "ssh://git@h/o/r", "main", ""),
        ("git+https://u:p@h/r#subdirectory=s", "https://u:p@h/r", None, "s"),
    ],
)
def test_git_addresses(source: str, url: str, rev: str | None, subdir: str):
    assert parse_git(source) == GitSource(url=url, rev=rev, subdir=subdir)


@pytest.mark.parametrize(
    "source", ["git+", "git+x", "git+https://h", "git+file:///a#../..", "git+file:///a@-x"]
)
def test_what_is_no_git_address(source: str):
    with pytest.raises(TaskError):
        parse_git(source)


def test_git_at_every_kind_of_revision(tmp_path: Path, repository: Path):
    url, cache = f"git+file://{repository}", tmp_path / "cache"
    head, first = git(repository, "rev-parse", "HEAD"), git(repository, "rev-parse", "v1^{commit}")
    dataset = load_dataset(url, cache=cache)
    assert (dataset.name, dataset.version) == ("some-tasks", head)
    assert names(dataset) == ["some-tasks/one", "some-tasks/two"]
    for rev in ("v1", first, first[:9]):
        dataset = load_dataset(f"{url}@{rev}#tasks", cache=cache)
        assert (names(dataset), dataset.version) == (["tasks/one"], first)
    assert names(load_dataset(f"{url}@main#tasks/two", cache=cache)) == ["two"]
    assert dataset.tasks[0].digest == load_task(repository / "tasks/one").digest
    assert not list(cache.rglob(".git")) + list(cache.rglob(".making-*"))


def test_a_repository_that_is_one_task(tmp_path: Path):
    folder = minimal(tmp_path / "solo.git")
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "x")
    dataset = load_dataset(f"git+file://{folder}", cache=tmp_path / "cache")
    assert (dataset.name, names(dataset)) == ("solo", ["solo"])


def test_a_commit_in_the_cache_needs_no_network(tmp_path: Path, repository: Path):
    head, cache = git(repository, "rev-parse", "HEAD"), tmp_path / "cache"
    source = f"git+file://{repository}@{head}"
    load_dataset(source, cache=cache)
    repository.rename(tmp_path / "gone")
    assert len(load_dataset(source, cache=cache).tasks) == 2


def test_what_git_says_is_told(tmp_path: Path, repository: Path):
    cache = tmp_path / "cache"
    for source, says in (
        (f"git+file://{tmp_path}/absent", "git failed"),
        (f"git+file://{repository}@no-such-rev", "git failed"),
        (f"git+file://{repository}#no/such", "no folder 'no/such'"),
    ):
        with pytest.raises(TaskError, match=says):
            load_dataset(source, cache=cache)


def test_a_link_in_a_repository_cannot_reach_out(tmp_path: Path, repository: Path):
    (repository / "out").symlink_to("/etc")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "out")
    with pytest.raises(TaskError, match="no folder 'out'"):
        load_dataset(f"git+file://{repository}#out", cache=tmp_path / "cache")


def test_a_registry(tmp_path: Path, repository: Path):
    minimal(tmp_path / "reg/near/three")
    url, head = f"file://{repository}", git(repository, "rev-parse", "HEAD")
    at = {"git_url": url, "git_commit_id": head}
    tasks = [
        {"name": "one", "path": "tasks/one", **at},
        {"name": "three", "path": "near/three"},
        {"name": "gone", "path": "tasks/gone", **at},
        {"name": "away", "path": "x", "git_url": f"file://{tmp_path}/absent"},
    ]
    listing = {"name": "mixed", "version": "2.10", "description": "d", "tasks": tasks}
    path = tmp_path / "reg/registry.json"
    path.write_text(json.dumps([{**listing, "version": "2.9", "tasks": []}, listing]))
    cache = tmp_path / "cache"
    for source, registries in (
        ("mixed", [path]),
        ("mixed@2.10", [path]),
        (f"{path}#mixed", []),
    ):
        dataset = load_dataset(source, cache=cache, registries=registries)
        assert (dataset.name, dataset.version) == ("mixed", "2.10")
        assert names(dataset) == ["mixed/one", "mixed/three"]
        assert {b.folder.name for b in dataset.broken} == {"gone", "x"}
    with pytest.raises(ConfigError, match="no dataset 'mixed@3'"):
        load_dataset(f"{path}#mixed@3")
    with pytest.raises(ConfigError, match=r"Did you mean 'mixed@2\.9'"):
        load_dataset("mixed@2.99", registries=[path])


def test_a_dataset_toml(tmp_path: Path, repository: Path):
    toml = f"""
[dataset]
name = "org/mine"
version = "7"
[[tasks]]
name = "one"
git_url = "file://{repository}"
path = "tasks/one"
[[tasks]]
name = "org/beside"
digest = "sha256:0"
"""
    root = write(tmp_path / "d", {"dataset.toml": toml})
    minimal(root / "beside")
    for source in (root, root / "dataset.toml"):
        dataset = load_dataset(str(source), cache=tmp_path / "cache")
        assert (dataset.name, dataset.version) == ("org/mine", "7")
        assert [task.name for task in dataset.tasks] == ["beside", "one"]


@pytest.mark.parametrize(
    "text", ["{", "5", '[{"name": ""}]', '[{"name": "a", "tasks": [5]}]', "[1]"]
)
def test_a_registry_that_is_none(tmp_path: Path, text: str):
    path = write(tmp_path, {"registry.json": text}) / "registry.json"
    with pytest.raises(TaskError) as caught:
        load_dataset(str(path))
    assert caught.value.message.startswith(f"{path}:1: ")


def test_the_known_name_is_pinned():
    assert len(KNOWN["terminal-bench@2.0"].rev or "") == 40


SUITE = {
    "name": "small",
    "version": 3,
    "tasks": [
        {
            "id": "t-1.x",
            "name": "First",
            "description": "Write 'é' to $(x) – {y}\n",
            "difficulty": "easy",
            "category": "files",
            "verification": {"type": "command", "command": "test -f /app/x | cat\n# \u2028 'q'"},
            "timeout_seconds": 30,
            "tags": ["a"],
            "setup": ["echo 1", "echo 2"],
            "hints": ["look"],
            "odd": {"x": None},
        },
        {"id": 2, "description": "Two", "verification": {"command": ["a", "b"]}},
        {"id": "bad/../id", "description": "x", "verification": {"command": "x"}},
        {"id": "no-command", "description": "x", "verification": {"type": "llm"}},
        {"id": "2", "description": "again", "verification": {"command": "x"}},
        "nonsense",
    ],
}


def test_a_suite(tmp_path: Path):
    path = tmp_path / "suite.json"
    path.write_text(json.dumps(SUITE, indent=1))
    dataset = load_dataset(str(path), cache=tmp_path / "cache")
    assert (dataset.name, dataset.version) == ("small", "3")
    assert names(dataset) == ["small/2", "small/t-1.x"]
    two, first = dataset.tasks
    assert {task.form for task in dataset.tasks} == {"suite"}
    assert first.steps[0].instruction == "Write 'é' to $(x) – {y}\n"
    assert (first.steps[0].agent.timeout_s, two.steps[0].agent.timeout_s) == (30.0, 120.0)
    assert (first.metadata["max_turns"], first.metadata["hints"]) == (50, ["look"])
    command = (first.steps[0].tests_dir / "command.sh").read_text()
    assert command == "test -f /app/x | cat\n# \u2028 'q'\n"
    assert (first.folder / "environment/setup.sh").read_text() == "set -e\necho 1\necho 2\n"
    assert not (two.folder / "environment/setup.sh").exists()
    reasons = [b.reason.message for b in dataset.broken]
    lines = path.read_text().split("\n")
    assert [lines[int(r.split(":")[1]) - 1].strip() for r in reasons[:2]] == [
        '"id": "bad/../id",',
        '"id": "no-command",',
    ]
    assert "tasks.3.verification.command" in reasons[1]
    assert "'2' is taken by an earlier task" in reasons[2]
    assert "tasks.5: " in reasons[3]


def test_import_writes_folders_of_ones_own(tmp_path: Path):
    path = tmp_path / "suite.json"
    path.write_text(json.dumps(SUITE))
    dataset = load_dataset(str(path), cache=tmp_path / "cache")
    folders = import_tasks(dataset, tmp_path / "mine")
    assert [load_task(folder).digest for folder in folders] == [t.digest for t in dataset.tasks]
    with pytest.raises(ConfigError, match="is there already"):
        import_tasks(dataset, tmp_path / "mine")


def test_select(tmp_path: Path):
    for name in ("regex-log", "regex-date", "sqlite"):
        minimal(tmp_path / "d" / name)
    tasks = load_dataset(str(tmp_path / "d")).tasks

    def chosen(include: list[str], exclude: list[str]) -> list[str]:
        return [task.name for task in select(tasks, include, exclude)]

    assert chosen([], []) == ["regex-date", "regex-log", "sqlite"]
    assert chosen(["regex-*"], ["*date"]) == ["regex-log"]
    assert chosen(["d/sqlite", "regex-log"], []) == ["regex-log", "sqlite"]
    for include, exclude in ((["regex-lg"], []), ([], ["regex-lg"])):
        with pytest.raises(ConfigError) as caught:
            select(tasks, include, exclude)
        assert caught.value.remedy == "Did you mean regex-log, regex-date?"


def test_a_bare_name_is_looked_up_in_turn(tmp_path: Path):
    minimal(tmp_path / "one/a")
    minimal(tmp_path / "two/a")
    minimal(tmp_path / "two/b")
    asked: list[str] = []

    def load(source: str) -> Dataset:
        asked.append(source)
        return load_dataset(str(tmp_path / source))

    found = resolve(["a"], ["one", "two"], load)
    assert ([f.dataset.name for f in found], asked) == (["one"], ["one"])
    found = resolve(["a", "b"], ["one", "two"], load)
    assert [[t.task_id for t in f.tasks] for f in found] == [["one/a"], ["two/b"]]
    with pytest.raises(ConfigError, match="no task is named 'c'"):
        resolve(["c"], ["one", "two"], load)
