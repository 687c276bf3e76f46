"""The task's own tests as judge: fresh, bounded, and not impressed by what an agent left behind."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from mechagym.errors import SandboxError, TaskError, VerifierError
from mechagym.events import ErrorRaised, EventBody
from mechagym.records import TestResult, Verdict
from mechagym.sandbox.base import Box, ExecOptions
from mechagym.tasks.model import Collect, Task
from mechagym.verify.base import Exam
from mechagym.verify.papers import TRANSCRIPT_BYTES
from mechagym.verify.task_tests import TaskTests
from tests.actors import make_steps, make_task, open_box

HONEST = "if [ -f /app/done.txt ]; then echo 1; else echo 0; fi > /logs/verifier/reward.txt\n"
ROOT = ExecOptions(user="root")


def task_of(folder: Path, test_sh: str, files: Mapping[str, str] | None = None) -> Task:
    return make_task(folder / "task", {"tests/test.sh": test_sh, **(files or {})})


def exam_of(
    task: Task,
    folder: Path,
    events: list[EventBody] | None = None,
    *,
    env: dict[str, str] | None = None,
    timeout_s: float = 30.0,
) -> Exam:
    return Exam(
        task=task,
        step=task.steps[0],
        folder=folder / "verifier",
        emit=(events if events is not None else []).append,
        env=env or {},
        timeout_s=timeout_s,
    )


async def judge(box: Box, folder: Path, test_sh: str) -> Verdict:
    return await TaskTests().judge(exam_of(task_of(folder, test_sh), folder), box)


async def refusal(box: Box, exam: Exam) -> VerifierError:
    with pytest.raises(VerifierError) as caught:
        await TaskTests().judge(exam, box)
    return caught.value


def reasons(events: list[EventBody]) -> list[str]:
    return [event.error.reason for event in events if isinstance(event, ErrorRaised)]


async def test_the_reward_decides_and_not_the_exit_code(box: Box, tmp_path: Path):
    verdict = await judge(box, tmp_path, f"{HONEST}exit 3\n")
    assert (verdict.rewards, verdict.passed, verdict.exit_code) == ({"reward": 0.0}, False, 3)
    await box.exec(["touch", "/app/done.txt"])
    verdict = await judge(box, tmp_path, f"{HONEST}exit 127\n")
    assert (verdict.rewards, verdict.passed, verdict.exit_code) == ({"reward": 1.0}, True, 127)


async def test_it_starts_in_the_workdir_with_its_env_and_all_its_files(box: Box, tmp_path: Path):
    script = (
        'source "$(dirname "$0")/lib/check.sh"\n'
        'echo "pwd $(pwd), secret $SECRET, data $DATA"; echo oops >&2\n'
        "/tests/lib/run.sh\necho 1 > /logs/verifier/reward.txt\n"
    )
    files = {
        "tests/lib/check.sh": 'DATA="$(cat /tests/lib/data.txt)"\n',
        "tests/lib/data.txt": "7",
        "tests/lib/run.sh": "#!/bin/sh\necho executable\n",
    }
    exam = exam_of(task_of(tmp_path, script, files), tmp_path, env={"SECRET": "a $b"})
    await TaskTests().judge(exam, box)
    text = (exam.folder / "test-stdout.txt").read_text()
    assert text == "pwd /app, secret a $b, data 7\noops\nexecutable\n"


@pytest.mark.must("trials-3")
@pytest.mark.parametrize(
    "plant",
    [
        "mkdir -p /logs/verifier; echo 1 > /logs/verifier/reward.txt",
        "mkdir -p /logs/verifier; echo '{\"reward\": 1}' > /logs/verifier/reward.json",
        "mkdir -p /logs /keep; echo 1 > /keep/reward.txt; ln -s /keep /logs/verifier",
        "mkdir -p /keep/verifier; echo 1 > /keep/verifier/reward.txt; ln -s /keep /logs",
        "mkdir -p /logs; echo 1 > /logs/verifier",
        "echo no folder > /logs",
        "rm -rf /app",
        "mkdir -p /tests; echo 'echo 1 > /logs/verifier/reward.txt' > /tests/test.sh",
        "mkdir -p /keep; ln -s /keep /tests",
    ],
)
async def test_what_the_agent_planted_has_no_effect(box: Box, tmp_path: Path, plant: str):
    await box.exec(["sh", "-c", f"rm -rf /logs; {plant}"], ROOT)
    verdict = await judge(box, tmp_path, HONEST)
    assert verdict.rewards == {"reward": 0.0}
    left = await box.exec(["sh", "-c", "ls /keep 2>/dev/null | grep -v reward.txt | grep ."], ROOT)
    assert left.text in ("", "verifier\n"), "nothing was written through the link"


@pytest.mark.must("trials-3")
async def test_what_the_agent_planted_beside_the_tests_is_gone(box: Box, tmp_path: Path):
    plant = "mkdir -p /tests; echo x > /tests/conftest.py; echo x > /tests/.hidden"
    await box.exec(["sh", "-c", plant], ROOT)
    script = "ls -A /tests; echo 1 > /logs/verifier/reward.txt\n"
    await judge(box, tmp_path, script)
    assert (tmp_path / "verifier" / "test-stdout.txt").read_text() == "test.sh\n"


async def test_a_planted_reward_is_not_taken_for_a_missing_one(box: Box, tmp_path: Path):
    await box.exec(
        ["sh", "-c", "mkdir -p /logs/verifier; echo 1 > /logs/verifier/reward.txt"], ROOT
    )
    error = await refusal(box, exam_of(task_of(tmp_path, "echo nothing to say\n"), tmp_path))
    assert error.reason == "reward_missing"
    assert "ended with 0" in error.message
    assert "nothing to say" in error.message


async def test_papers_of_an_earlier_step_do_not_count(box: Box, tmp_path: Path):
    exam = exam_of(task_of(tmp_path, "true\n"), tmp_path)
    exam.folder.mkdir()
    (exam.folder / "reward.json").write_text('{"reward": 1}')
    assert (await refusal(box, exam)).reason == "reward_missing"


@pytest.mark.parametrize("writes", ["", "echo half > /logs/verifier/reward.txt; "])
async def test_tests_that_hang_are_ended(box: Box, tmp_path: Path, writes: str):
    script = f"echo begun; {writes}sleep 3600 & sleep 3600"
    error = await refusal(box, exam_of(task_of(tmp_path, script), tmp_path, timeout_s=0.5))
    assert error.reason == "verifier_timed_out"
    assert "within 0.5 s" in error.message
    assert "begun" in error.message


async def test_a_reward_written_before_the_timeout_counts(box: Box, tmp_path: Path):
    script = "echo 1 > /logs/verifier/reward.txt; sleep 3600"
    verdict = await TaskTests().judge(
        exam_of(task_of(tmp_path, script), tmp_path, timeout_s=0.5), box
    )
    assert (verdict.passed, verdict.exit_code) == (True, None)


async def test_reward_0_without_the_report_that_was_asked_for_is_no_failure(
    box: Box, tmp_path: Path
):
    script = (
        "echo 'E: no index'\n: pytest --ctrf /logs/verifier/ctrf.json\n"
        "echo 0 > /logs/verifier/reward.txt\n"
    )
    error = await refusal(box, exam_of(task_of(tmp_path, script), tmp_path))
    assert error.reason == "verifier_did_not_run"
    assert "E: no index" in error.message
    report = '{"results": {"tests": [{"name": "a", "status": "failed"}]}}'
    verdict = await judge(box, tmp_path, f"{script}echo '{report}' > /logs/verifier/ctrf.json\n")
    assert verdict.reward == 0
    assert verdict.tests == (TestResult(name="a", status="failed"),)


@pytest.mark.parametrize("line", ["# pytest --ctrf /logs/verifier/ctrf.json", "pip_install=ctrf"])
async def test_a_report_nobody_asked_for_may_be_absent(box: Box, tmp_path: Path, line: str):
    verdict = await judge(box, tmp_path, f"{line}\necho 0 > /logs/verifier/reward.txt\n")
    assert (verdict.reward, verdict.tests) == (0, ())


async def test_a_broken_report_is_told_and_decides_nothing(box: Box, tmp_path: Path):
    script = "echo 1 > /logs/verifier/reward.txt; echo '{' > /logs/verifier/ctrf.json\n"
    events: list[EventBody] = []
    verdict = await TaskTests().judge(exam_of(task_of(tmp_path, script), tmp_path, events), box)
    assert (verdict.passed, verdict.tests, verdict.findings) == (True, (), ())
    assert reasons(events) == ["ctrf_unreadable"]


async def test_all_that_the_tests_wrote_is_kept_but_not_in_place_of_ours(box: Box, tmp_path: Path):
    script = (
        "echo real output; mkdir -p /logs/verifier/more; echo x > /logs/verifier/more/x.txt\n"
        "echo fake > /logs/verifier/test-stdout.txt; echo 1 > /logs/verifier/reward.txt\n"
    )
    exam = exam_of(task_of(tmp_path, script), tmp_path)
    await TaskTests().judge(exam, box)
    assert (exam.folder / "more" / "x.txt").read_text() == "x\n"
    assert (exam.folder / "test-stdout.txt").read_text() == "real output\n"
    assert [path.name for path in exam.folder.parent.glob(".*")] == []


@pytest.mark.parametrize("name", [".incoming", ".verifier.incoming", "verifier"])
async def test_no_name_from_the_box_is_in_the_way_of_ours(
    quick_box: Box, tmp_path: Path, name: str
):
    script = f"echo x > /logs/verifier/{name}; echo 1 > /logs/verifier/reward.txt\n"
    assert (await judge(quick_box, tmp_path, script)).passed
    assert (tmp_path / "verifier" / name).read_text() == "x\n"


async def test_much_output_keeps_head_and_tail(box: Box, tmp_path: Path):
    script = (
        "echo first; head -c 3000000 /dev/zero | tr '\\0' x; echo; echo last\n"
        "echo 1 > /logs/verifier/reward.txt\n"
    )
    exam = exam_of(task_of(tmp_path, script), tmp_path)
    await TaskTests().judge(exam, box)
    text = (exam.folder / "test-stdout.txt").read_bytes()
    assert text.startswith(b"first\n")
    assert text.endswith(b"last\n")
    assert len(text) <= TRANSCRIPT_BYTES + 500


async def test_collect_commands_run_first_and_decide_nothing(box: Box, tmp_path: Path):
    hooks = (
        Collect(command="echo state; ls /tests 2>/dev/null; true"),
        Collect(command="exit 4"),
        Collect(command="sleep 60", timeout_s=0.2),
        Collect(command="true", service="db"),
    )
    task = make_task(tmp_path / "task", {"tests/test.sh": HONEST}, collect=hooks)
    events: list[EventBody] = []
    exam = exam_of(task, tmp_path, events)
    await TaskTests().judge(exam, box)
    assert (exam.folder / "collect-1.txt").read_text() == "state\n"
    assert reasons(events) == ["collect_failed", "collect_failed", "collect_skipped"]
    events.clear()
    await TaskTests().judge(replace(exam, second_box=True), box)
    assert events == [], "in a second box they have run before"


async def test_tests_that_the_image_holds_are_left_alone(box: Box, tmp_path: Path):
    baked = "mkdir -p /tests; echo 'echo 1 > /logs/verifier/reward.txt' > /tests/test.sh"
    await box.exec(["sh", "-c", baked], ROOT)
    exam = exam_of(task_of(tmp_path, HONEST), tmp_path)
    verdict = await TaskTests().judge(replace(exam, tests_in_image=True, second_box=True), box)
    assert verdict.passed


async def test_a_step_has_the_shared_tests_under_its_own(box: Box, tmp_path: Path):
    folder = tmp_path / "task"
    own = folder / "steps" / "one" / "tests"
    for path in (folder / "tests", own):
        path.mkdir(parents=True)
    (folder / "tests" / "test.sh").write_text(
        "cat /tests/*.txt; echo 1 > /logs/verifier/reward.txt"
    )
    (folder / "tests" / "a.txt").write_text("shared a\n")
    (folder / "tests" / "b.txt").write_text("shared b\n")
    (own / "b.txt").write_text("own b\n")
    exam = exam_of(make_steps(folder, ("one",)), tmp_path)
    await TaskTests().judge(exam, box)
    assert (exam.folder / "test-stdout.txt").read_text() == "shared a\nown b\n"
    left = await box.exec(["ls", "-d", "/tests", "/logs/verifier"])
    assert left.stdout == b"", "the next step's agent finds nothing"


async def test_a_task_without_tests_is_the_tasks_fault(box: Box, tmp_path: Path):
    task = make_task(tmp_path / "task", {"tests/other.sh": ""})
    with pytest.raises(TaskError, match=r"tests/test\.sh: no such file"):
        await TaskTests().judge(exam_of(task, tmp_path), box)


@pytest.mark.live
async def test_a_false_rm_keeps_no_planted_reward(tmp_path: Path):
    plant = "mkdir -p /logs/verifier; echo 1 > /logs/verifier/reward.txt; cp /bin/true /bin/rm"
    async with open_box("local") as box:
        assert (await box.exec(["sh", "-c", plant], ROOT)).ok
        with pytest.raises(SandboxError, match=r"reward\.txt is still there"):
            await judge(box, tmp_path, "true\n")


@pytest.mark.live
async def test_the_tests_run_as_the_verifiers_user_who_may_write_the_reward(tmp_path: Path):
    script = "id -un > /logs/verifier/who.txt; echo 1 > /logs/verifier/reward.txt\n"
    task = make_task(tmp_path / "task", {"tests/test.sh": script}, user="nobody")
    async with open_box("docker") as box:
        exam = exam_of(task, tmp_path)
        await TaskTests().judge(exam, box)
        assert (exam.folder / "who.txt").read_text() == "nobody\n"
