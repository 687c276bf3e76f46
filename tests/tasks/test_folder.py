"""A task folder as a whole: what real ones hold, what is refused, and its digest."""

import os
import shutil
from pathlib import Path

import pytest

from mechagym.errors import TaskError
from mechagym.tasks.digest import read_tree, task_digest, tree_digest
from mechagym.tasks.folder import load_task
from mechagym.tasks.model import Artifact, Healthcheck
from mechagym.tasks.needs import needs
from tests.tasks.folders import like_terminal_bench_2, minimal, write


def test_a_task_like_those_of_terminal_bench_2(tmp_path: Path):
    folder = like_terminal_bench_2(tmp_path / "regex-log.v2")
    task = load_task(folder, dataset="tb")
    assert (task.name, task.task_id, task.full_name) == ("regex-log.v2", "tb/regex-log.v2", None)
    assert (task.schema_version, task.form, task.multi_step) == ("1.0", "harbor", False)
    assert task.unknown_keys == ()
    step = task.steps[0]
    assert step.instruction == (folder / "instruction.md").read_text()
    assert (step.tests_dir, step.solution_dir) == (folder / "tests", folder / "solution")
    assert (step.agent.timeout_s, step.verifier.timeout_s) == (900.0, 900.0)
    machine = task.environment
    assert machine.docker_image == "someone/regex-log:20251031"
    assert (machine.cpus, machine.memory_mb, machine.storage_mb) == (1.0, 4096, 10_240)
    assert machine.network == "public"
    assert task.metadata["tags"] == ["regex", "logs"]
    assert task.dockerfile == folder / "environment/Dockerfile"
    assert task.environment_digest == task_digest(folder / "environment")
    assert needs(task) == ()


def test_an_image_needs_no_environment_folder(tmp_path: Path):
    folder = minimal(tmp_path / "t", {"task.toml": '[environment]\ndocker_image = "a:1"'})
    shutil.rmtree(folder / "environment")
    task = load_task(folder)
    assert (task.dockerfile, task.environment_digest) == (None, None)


def test_several_steps(tmp_path: Path):
    toml = """
[[steps]]
name = "first"
min_reward = {a = 0.5, b = 1}
artifacts = ["/app/out"]
[steps.healthcheck]
command = "true"
[[steps]]
name = "then.2"
"""
    files: dict[str, str | bytes] = {
        "task.toml": f'schema_version = "1.4"\nmulti_step_reward_strategy = "final"{toml}',
        "steps/first/instruction.md": "<!-- canary one -->\nOne.\n",
        "steps/first/tests/test.sh": "",
        "steps/first/tests/Dockerfile": "FROM x:1\n",
        "steps/first/workdir/setup.sh": "",
        "steps/then.2/instruction.md": "Two.\n",
        "steps/then.2/solution/solve.sh": "",
        "tests/lib.sh": "",
        "environment/Dockerfile": "FROM x:1\n",
    }
    folder = write(tmp_path / "t", {**files, "tests/test.sh": ""})
    task = load_task(folder)
    first, then = task.steps
    assert (task.multi_step, task.reward_strategy, task.canary) == (
        True,
        "final",
        ("<!-- canary one -->",),
    )
    assert (first.name, first.instruction) == ("first", "One.\n")
    assert first.min_reward == {"a": 0.5, "b": 1.0}
    assert first.artifacts == (Artifact(source="/app/out"),)
    assert first.healthcheck == Healthcheck(command="true")
    assert first.workdir_files == folder / "steps/first/workdir"
    assert first.setup_script == folder / "steps/first/workdir/setup.sh"
    assert first.verifier_dockerfile == folder / "steps/first/tests/Dockerfile"
    assert (then.workdir_files, then.setup_script, then.verifier_dockerfile) == (None, None, None)
    assert then.shared_tests == folder / "tests"
    assert then.solution_dir == folder / "steps/then.2/solution"
    (folder / "tests/test.sh").unlink()
    with pytest.raises(TaskError, match=r"steps/then\.2/tests/test\.sh: this file is missing"):
        load_task(folder)


@pytest.mark.parametrize("brings", [True, False])
def test_a_verifier_image_may_bring_the_tests(tmp_path: Path, brings: bool):
    mode = "separate" if brings else "shared"
    built = minimal(
        tmp_path / "built",
        {
            "tests/Dockerfile": "FROM x:1\n",
            "task.toml": f'[verifier]\nenvironment_mode = "{mode}"',
        },
    )
    image = 'docker_image = "v:1"' if brings else "cpus = 1"
    named = minimal(tmp_path / "named", {"task.toml": f"[verifier.environment]\n{image}"})
    for folder in (built, named):
        (folder / "tests/test.sh").unlink()
        if brings:
            assert load_task(folder).steps[0].verifier.mode == "separate"
        else:
            with pytest.raises(TaskError, match=r"tests/test\.sh: this file is missing"):
                load_task(folder)


def test_folders_may_be_links_within_the_task(tmp_path: Path):
    folder = minimal(tmp_path / "t")
    plain = load_task(folder)
    for name in ("tests", "environment"):
        (folder / name).rename(folder / f"real-{name}")
        (folder / name).symlink_to(f"real-{name}")
    task = load_task(folder)
    assert task.environment_digest == plain.environment_digest
    assert (task.steps[0].tests_dir / "test.sh").is_file()


@pytest.mark.parametrize(
    "missing", ["task.toml", "instruction.md", "tests/test.sh", "environment/Dockerfile"]
)
def test_a_missing_file_is_named(tmp_path: Path, missing: str):
    folder = minimal(tmp_path / "t")
    (folder / missing).unlink()
    with pytest.raises(TaskError) as caught:
        load_task(folder)
    assert caught.value.message == f"{folder / missing}: this file is missing"


def test_text_that_is_none_is_named_with_its_line(tmp_path: Path):
    folder = minimal(tmp_path / "t", {"instruction.md": b"one\ntwo \xff\n"})
    with pytest.raises(TaskError, match=rf"^{folder}/instruction\.md:2: not UTF-8"):
        load_task(folder)


@pytest.mark.parametrize("target", ["/etc/passwd", "../../outside", "..", "../../t-other/x"])
@pytest.mark.parametrize("place", ["tests/link", "environment/link", "link"])
def test_a_link_that_leaves_is_refused(tmp_path: Path, place: str, target: str):
    folder = minimal(tmp_path / "t")
    minimal(tmp_path / "t-other")
    link = folder / place
    link.symlink_to(target if place != "link" or target != ".." else "../t-other")
    inside = link.resolve().is_relative_to(folder)
    if inside:
        load_task(folder)
        return
    with pytest.raises(TaskError) as caught:
        load_task(folder)
    assert caught.value.message.startswith(f"{link}: this link leaves the task folder")


def test_links_inside_are_fine_and_counted_by_target(tmp_path: Path):
    folder = minimal(tmp_path / "t")
    before = task_digest(folder)
    link = folder / "tests/link"
    link.symlink_to("../environment")
    (folder / "loop").symlink_to("loop")
    after = load_task(folder).digest
    assert after != before
    link.unlink()
    link.symlink_to("../solution")
    assert task_digest(folder) != after


def test_a_device_is_refused(tmp_path: Path):
    folder = minimal(tmp_path / "t")
    os.mkfifo(folder / "tests/pipe")
    with pytest.raises(TaskError, match="neither a file, a folder nor a link"):
        load_task(folder)


def test_the_digest_is_of_paths_and_contents_only(tmp_path: Path):
    one, two = like_terminal_bench_2(tmp_path / "a"), like_terminal_bench_2(tmp_path / "b")
    script = two / "tests/test.sh"
    script.chmod(0o755)
    os.utime(script, (1, 1))
    (two / "empty").mkdir()
    write(two, {".git/HEAD": "x"})
    assert task_digest(one) == task_digest(two)
    (two / "tests/data/deep/er.bin").rename(two / "tests/data/er.bin")
    moved = task_digest(two)
    assert moved != task_digest(one)
    (two / "tests/data/er.bin").write_bytes(b"")
    assert task_digest(two) not in (moved, task_digest(one))


def test_the_digest_is_what_it_is(tmp_path: Path):
    """Stored with every trial: a change of the algorithm would part old results from new."""
    folder = write(tmp_path / "t", {"b/c": "2", "a": "1", "b.x": ""})
    assert [entry.path for entry in read_tree(folder)] == ["a", "b.x", "b/c"]
    expected = "6ccd9f6269f16047070aa28c4ae048831cde65b618832825d6126f6f0b64a925"
    assert task_digest(folder) == expected
    assert tree_digest(read_tree(folder), "b") == task_digest(folder / "b")


def test_needs(tmp_path: Path):
    toml = """
[environment]
gpus = 2
os = "windows"
tpu = {type = "v4", topology = "2x2"}
network_mode = "allowlist"
[agent]
network_mode = "no-network"
[verifier]
environment_mode = "separate"
"""
    files: dict[str, str | bytes] = {
        "task.toml": toml,
        "tests/test.bat": "",
        "environment/docker-compose.yaml": "services: {}",
    }
    task = load_task(minimal(tmp_path / "t", files))
    assert (task.steps[0].test_entry, task.steps[0].solution_entry) == ("test.bat", "solve.bat")
    assert needs(task) == (
        "gpus:2",
        "tpu",
        "os:windows",
        "network:allowlist",
        "compose",
        "network:no-network",
        "second box",
    )


def test_a_folder_of_any_name(tmp_path: Path):
    name = "a task: (1) {x} é"
    assert load_task(minimal(tmp_path / name)).name == name
