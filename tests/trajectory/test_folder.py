"""The job folder: whole, readable by Harbor, made again from the store, and without secrets."""

import base64
import gzip
import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import Any

import jsonschema
import pytest

from mechagym.events import MessageSaid, ToolCalled, ToolReturned, TryEnded
from mechagym.records import ErrorRecord, Outcome, Verdict
from mechagym.trajectory.files import safe_name, write_file
from mechagym.trajectory.folder import JobFolder
from mechagym.trajectory.harbor import JobSheet
from mechagym.trajectory.redact import Redactor
from mechagym.trajectory.validate import validate_file
from tests.trajectory.makers import (
    KEY,
    LOST,
    TRIES,
    a_try,
    collected,
    events_of,
    job_events,
    record_of,
    whole,
    work,
)

DATA = Path(__file__).parent.parent / "data"
ON_TRIAL = {
    "config.json", "lock.json", "result.json", "trial.log", "events.jsonl", "metrics.json",
    "agent", "verifier", "tries",
}  # fmt: skip


def schema_fits(name: str, path: Path) -> Any:
    schema = json.loads((DATA / f"{name}.schema.json").read_text())
    value = json.loads(path.read_text())
    checker = jsonschema.FormatChecker()
    jsonschema.Draft202012Validator(schema, format_checker=checker).validate(value)
    return value


def times_in(value: Any) -> list[str]:
    """All strings that read as a time."""
    match value:
        case dict():
            return [time for item in value.values() for time in times_in(item)]
        case list():
            return [time for item in value for time in times_in(item)]
        case str() if value[:3] == "202" and "T" in value:
            return [value]
    return []


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("name", TRIES)
def test_every_kind_of_try_is_a_folder_of_harbors(tmp_path: Path, name: str):
    record, bodies = TRIES[name]
    sheet = JobSheet(job_id="job1", name="j", config={"a": 1}, sandbox="local")
    folder = JobFolder(tmp_path / "j", sheet=sheet)
    folder.begin([KEY])
    schema_fits("job-result", tmp_path / "j" / "result.json")
    folder.write_trial(record_of(record), events_of(*bodies))
    folder.write_job([record_of(record)], job_events())
    trial = folder.trial_dir(KEY.trial_name)
    present = {path.name for path in trial.iterdir()}
    assert present >= ON_TRIAL - {"verifier"}
    assert ("verifier" in present) == (record.verdict is not None)
    assert ("exception.txt" in present) == (record.error is not None)
    assert validate_file(trial / "agent" / "trajectory.json") == []
    documents = [
        schema_fits("job-config", tmp_path / "j" / "config.json"),
        schema_fits("job-result", tmp_path / "j" / "result.json"),
        schema_fits("trial-config", trial / "config.json"),
        schema_fits("trial-result", trial / "result.json"),
        json.loads((trial / "metrics.json").read_text()),
    ]
    times = times_in(documents)
    assert times
    for time in times:
        offset = datetime.fromisoformat(time).utcoffset()
        assert offset is not None
        assert not offset


def test_the_result_says_what_happened(tmp_path: Path):
    folder = JobFolder(tmp_path / "j")
    folder.write_trial(record_of(a_try(1, reward=None), a_try(2)), events_of(*whole()))
    result = json.loads((tmp_path / "j" / KEY.trial_name / "result.json").read_text())
    assert result["agent_info"] == {
        "name": "claude-code",
        "version": "2.1",
        "model_info": {"name": "claude-haiku-4-5", "provider": "anthropic"},
    }
    spent = result["agent_result"]
    assert (spent["n_input_tokens"], spent["n_cache_tokens"]) == (210, 180)  # of both tries
    assert spent["cost_usd"] == 2 * 1_234_567 / 1e9
    assert set(spent["model_usage"]) == {"anthropic:claude-haiku-4-5", "anthropic:other"}
    assert spent["metadata"]["tries"] == 2
    assert result["verifier_result"] == {"rewards": {"reward": 1.0}}
    assert result["exception_info"] is None
    assert (result["source"], result["task_checksum"]) == (KEY.dataset, KEY.task_digest)
    setup = result["environment_setup"]
    assert (setup["started_at"][17:19], setup["finished_at"][17:19]) == ("06", "08")


def test_the_mean_of_a_job_counts_graded_trials_only(tmp_path: Path):
    other = replace(KEY, trial_name="other__1234567", trial_id="t2")
    folder = JobFolder(tmp_path / "j", sheet=JobSheet(job_id="job1"))
    records = [record_of(a_try()), record_of(a_try(1, None), a_try(2, None), key=other)]
    folder.write_job(records, job_events(trials=5))
    stats = json.loads((tmp_path / "j" / "result.json").read_text())["stats"]
    assert (stats["n_completed_trials"], stats["n_pending_trials"]) == (2, 3)
    assert (stats["n_errored_trials"], stats["n_retries"]) == (1, 1)
    (cell,) = stats["evals"].values()
    assert (cell["n_trials"], cell["metrics"]) == (1, [{"mean": 1.0}])
    assert cell["reward_stats"] == {"reward": {"1.0": [KEY.trial_name]}}
    assert cell["exception_stats"] == {"BoxDied": ["other__1234567"]}
    assert "infra_error reward=– tries=2" in (tmp_path / "j" / "job.log").read_text()


def test_every_try_is_kept_and_the_counted_one_is_shown(tmp_path: Path):
    folder = JobFolder(tmp_path)
    for number in (1, 2):
        verifier = folder.try_dir(KEY.trial_name, number) / "verifier"
        verifier.mkdir()
        (verifier / "test-stdout.txt").write_text(f"try {number}")
        (verifier / "reward.txt").write_text("1")
    events = [*events_of(*whole()), *events_of(MessageSaid(text="again"), number=2)]
    folder.write_trial(record_of(a_try(1, reward=None), a_try(2)), events)
    trial = folder.trial_dir(KEY.trial_name)
    assert (trial / "verifier" / "test-stdout.txt").read_text() == "try 2"
    assert not (trial / "verifier" / "reward.json").exists()  # the task wrote its own
    assert (trial / "tries" / "001" / "verifier" / "test-stdout.txt").read_text() == "try 1"
    shown = json.loads((trial / "agent" / "trajectory.json").read_text())
    assert [step["message"] for step in shown["steps"]] == ["again"]
    first = json.loads((trial / "tries" / "001" / "agent" / "trajectory.json").read_text())
    assert len(first["steps"]) == 6


@pytest.mark.parametrize("harm", ["torn", "empty", "missing", "emptied", "all"])
def test_a_torn_folder_is_made_again_from_the_store(tmp_path: Path, harm: str):
    folder = JobFolder(tmp_path)
    record, events = record_of(a_try(reward=0.0)), events_of(*whole(a_try(reward=0.0)))
    assert not folder.is_whole(KEY.trial_name)
    folder.write_trial(record, events)
    assert folder.is_whole(KEY.trial_name)
    before = content(tmp_path)
    trial = folder.trial_dir(KEY.trial_name)
    result = trial / "result.json"
    match harm:
        case "torn":
            for cut in range(1, result.stat().st_size, 97):
                torn = before[f"{KEY.trial_name}/result.json"][:cut]
                result.write_bytes(torn)
                assert not folder.is_whole(KEY.trial_name)
        case "empty":
            result.write_bytes(b"")
        case "missing":
            result.unlink()
        case "emptied":
            (trial / "events.jsonl").write_bytes(b"")
        case "all":
            import shutil

            shutil.rmtree(trial)
    assert not folder.is_whole(KEY.trial_name)
    folder.write_trial(record, events)
    assert folder.is_whole(KEY.trial_name)
    assert content(tmp_path) == before


def test_a_reader_sees_the_old_file_or_the_new_one(tmp_path: Path):
    path = tmp_path / "f"
    versions = [bytes([65 + number]) * 200_000 for number in range(4)]
    write_file(path, versions[0])
    stop = Flag()

    def rewrite() -> None:
        while not stop.is_set():
            for version in versions:
                write_file(path, version)

    writer = Thread(target=rewrite)
    writer.start()
    try:
        assert all(path.read_bytes() in versions for _ in range(200))
    finally:
        stop.set()
        writer.join()
    assert [each.name for each in tmp_path.iterdir()] == ["f"]


def test_what_a_killed_writer_left_is_no_hindrance(tmp_path: Path):
    (tmp_path / ".0.json.part").touch()
    (tmp_path / ".1.json.part").mkdir()
    (tmp_path / ".2.json.part").symlink_to("/etc/passwd")
    for number in range(3):
        path = tmp_path / f"{number}.json"
        write_file(path, b"whole")
        assert path.read_bytes() == b"whole"
    assert len(list(tmp_path.iterdir())) == 3


HOSTILE = [
    "../../escape__AbC1234", "/etc/passwd__AbC1234", "..", ".", "", ".hidden", "a/b\\c:d",
    "nul\x00byte", "new\nline", "é ünïcode", "x" * 500, "con|<>?*\"", "-rf ~",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_inside(tmp_path: Path, name: str):
    folder = JobFolder(tmp_path / "jobs" / "j")
    key = replace(KEY, trial_name=name, task="../../up", dataset="../..", agent="../a@../1")
    folder.begin([key])
    folder.write_trial(record_of(a_try(), key=key), events_of(*whole()))
    trial = folder.trial_dir(name)
    assert trial.parent == tmp_path / "jobs" / "j"
    assert safe_name(trial.name) == trial.name
    assert folder.is_whole(name)
    assert [path.name for path in tmp_path.iterdir()] == ["jobs"]
    assert [path.name for path in (tmp_path / "jobs").iterdir()] == ["j"]


def test_long_names_stay_apart():
    names = [safe_name("x" * 200 + end) for end in ("a", "b")]
    assert len(set(names)) == 2
    assert max(map(len, names)) <= 120


def test_what_an_agent_left_in_the_way_is_replaced_and_never_followed(tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("untouched")
    folder = JobFolder(tmp_path / "j")
    attempt = folder.try_dir(KEY.trial_name, 1)
    for part in ("agent", "verifier"):
        (attempt / part).mkdir()
    (attempt / "agent" / "trajectory.json").symlink_to(outside / "precious")
    (attempt / "agent" / "loop").symlink_to(attempt / "agent")
    (attempt / "agent" / "link").symlink_to(outside)
    (attempt / "verifier" / "reward.json").mkdir()
    (attempt / "verifier" / "reward.json" / "x").write_text("")
    (attempt / "artifacts").symlink_to(outside)
    (attempt / "steps").symlink_to(outside)
    trial = folder.trial_dir(KEY.trial_name)
    (trial / "result.json").symlink_to(outside / "precious")
    (trial / "agent").symlink_to(outside)
    taken = collected("/app/x", str(attempt / "artifacts" / "x"))
    folder.write_trial(record_of(a_try()), events_of(*whole(), taken))
    assert content(outside) == {"precious": b"untouched"}
    assert folder.is_whole(KEY.trial_name)
    assert not (trial / "agent" / "link").exists()
    assert not (trial / "steps").exists()
    assert [path.name for path in (trial / "artifacts").iterdir()] == ["manifest.json"]
    assert json.loads((trial / "verifier" / "reward.json").read_text()) == {"reward": 1.0}


SECRET = 'planted/"secret"+value\\42'


def planted() -> list[str]:
    """The secret in the forms that an agent, a tool or a log would show it."""
    from urllib.parse import quote

    hidden = [base64.b64encode(b"x" * n + SECRET.encode()).decode() for n in range(3)]
    return [SECRET, json.dumps(SECRET), quote(SECRET), quote(SECRET, safe=""), *hidden]


def test_a_planted_secret_is_in_no_file(tmp_path: Path):
    redactor = Redactor({"API_KEY": SECRET})
    sheet = JobSheet(job_id=SECRET, name="j", config={"set": {"agent.key": SECRET}})
    folder = JobFolder(tmp_path / "j", redactor, sheet)
    attempt = folder.try_dir(KEY.trial_name, 1)
    for part in ("agent", "verifier", "artifacts"):
        (attempt / part / "deep").mkdir(parents=True)
        for number, form in enumerate(planted()):
            (attempt / part / "deep" / f"{number}.log").write_text(f"key={form}\n")
        border = b"\x00" * (1024 * 1024 - 9) + SECRET.encode() + b"\xff" * 100
        (attempt / part / "binary").write_bytes(border)
    said = " ".join(planted())
    error = ErrorRecord(type="E", reason="r", message=said, blame="agent", trace=said)
    record = a_try(error=error, claim=said, verdict=Verdict(rewards={SECRET: 1.0}))
    events = events_of(
        *work(),
        MessageSaid(text=said, thinking=said),
        ToolCalled(call_id=SECRET, tool=SECRET, arguments={SECRET: [said]}),
        ToolReturned(call_id=SECRET, output=said),
        collected("/logs/artifacts", str(attempt / "artifacts")),
        TryEnded(record=record),
    )
    folder.begin([KEY])
    folder.write_trial(record_of(record), events)
    folder.write_job([record_of(record)], job_events())
    forms = [SECRET.encode(), json.dumps(SECRET)[1:-1].encode()]
    forms += [form.rstrip("=")[4:-2].encode() for form in planted()[2:]]
    for path, data in content(tmp_path).items():
        assert not [form for form in forms if form in data], path
        if path.endswith(".json"):
            json.loads(data)
    assert b"\xff" * 100 in (attempt / "agent" / "binary").read_bytes()


@pytest.mark.must("trials-16")
def test_evidence_is_for_nobody_else_until_it_is_redacted(tmp_path: Path):
    folder = JobFolder(tmp_path, Redactor({"KEY": SECRET}))
    attempt = folder.try_dir(KEY.trial_name, 1)
    assert folder.try_dir(KEY.trial_name, 1) == attempt
    assert attempt.stat().st_mode & 0o777 == 0o700
    (attempt / "agent").mkdir()
    (attempt / "agent" / "log").write_text(SECRET)
    folder.write_trial(record_of(a_try()), events_of(*whole()))
    assert attempt.stat().st_mode == attempt.parent.stat().st_mode
    assert SECRET not in (attempt / "agent" / "log").read_text()


def test_files_without_secrets_are_left_as_they_are(tmp_path: Path):
    folder = JobFolder(tmp_path, Redactor({"KEY": SECRET}))
    agent = folder.try_dir(KEY.trial_name, 1) / "agent"
    agent.mkdir()
    data = gzip.compress(b"no secret in here" * 1000) * 200
    (agent / "blob.gz").write_bytes(data)
    inode = (agent / "blob.gz").stat().st_ino
    folder.write_trial(record_of(a_try()), events_of(*whole()))
    assert (agent / "blob.gz").stat().st_ino == inode
    shown = folder.trial_dir(KEY.trial_name) / "agent" / "blob.gz"
    assert shown.stat().st_ino == inode  # shown by a hard link: no second copy
    assert shown.read_bytes() == data


def test_the_manifest_lists_what_was_collected(tmp_path: Path):
    folder = JobFolder(tmp_path)
    base = folder.try_dir(KEY.trial_name, 1)
    (base / "artifacts" / "app").mkdir(parents=True)
    (base / "artifacts" / "app" / "out.txt").write_text("x")
    events = events_of(
        collected("/logs/agent", str(base / "agent")),
        collected("/app/out.txt", str(base / "artifacts" / "app" / "out.txt")),
        collected("/logs/artifacts", str(base / "artifacts"), files=0),
    )
    folder.write_trial(record_of(a_try()), events)
    listed = json.loads((tmp_path / KEY.trial_name / "artifacts" / "manifest.json").read_text())
    assert [(entry["destination"], entry["type"], entry["status"]) for entry in listed] == [
        ("artifacts/app/out.txt", "file", "ok"),
        ("artifacts", "directory", "empty"),
    ]


def test_broken_utf8_does_not_break_a_folder(tmp_path: Path):
    folder = JobFolder(tmp_path)
    odd = b"\xff\xfe".decode("utf-8", "surrogateescape")
    record = a_try(claim=None, error=replace(LOST, message="bad"), outcome=Outcome.FAILED)
    folder.write_trial(record_of(record), events_of(MessageSaid(text="fine")))
    key = replace(KEY, dataset=odd)
    folder.begin([key])
    assert folder.is_whole(KEY.trial_name)
    json.loads((tmp_path / "config.json").read_text())
