"""Harbor itself reads our folders: its models, its trajectory validator and its viewer."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from mechagym.trajectory.folder import JobFolder
from mechagym.trajectory.harbor import JobSheet
from tests.trajectory.makers import KEY, TRIES, events_of, job_events, record_of, replace_key

INSTALL = (
    "Harbor is not installed; run: scripts/install-harbor"
    " (or name the interpreter that has it in MECHAGYM_TEST_HARBOR)"
)
ENVIRONMENT = {"HARBOR_TELEMETRY": "0", "PATH": os.environ["PATH"], "HOME": "/nonexistent"}

CHECK = """
import json, sys
from pathlib import Path
from harbor.models.job.config import JobConfig
from harbor.models.job.lock import JobLock, TrialLock
from harbor.models.job.result import JobResult
from harbor.models.trial.artifact_manifest import ArtifactManifestEntry
from harbor.models.trial.config import TrialConfig
from harbor.models.trial.result import TrialResult
from harbor.utils.trajectory_validator import TrajectoryValidator

job = Path(sys.argv[1])
JobConfig.model_validate_json((job / "config.json").read_text())
JobLock.model_validate_json((job / "lock.json").read_text())
JobResult.model_validate_json((job / "result.json").read_text())
checked = 0
for trial in (each.parent for each in job.glob("*/result.json")):
    TrialConfig.model_validate_json((trial / "config.json").read_text())
    TrialLock.model_validate_json((trial / "lock.json").read_text())
    TrialResult.model_validate_json((trial / "result.json").read_text())
    manifest = trial / "artifacts/manifest.json"
    for entry in json.loads(manifest.read_text()) if manifest.exists() else ():
        ArtifactManifestEntry.model_validate(entry)
    for path in trial.rglob("trajectory.json"):
        validator = TrajectoryValidator()
        assert validator.validate(path), (path, validator.get_errors())
        checked += 1
print(checked)
"""


@pytest.fixture(scope="session")
def harbor() -> Path:
    """The interpreter of an environment that has Harbor."""
    cache = Path.home() / ".cache" / "mechagym" / "harbor" / "bin" / "python"
    python = Path(os.environ.get("MECHAGYM_TEST_HARBOR", cache))
    if not python.exists():
        pytest.skip(INSTALL)
    return python


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    """A folder with one job of every kind of try, and one that has only begun."""
    keys = {name: replace_key(number) for number, name in enumerate(TRIES)}
    sheet = JobSheet(job_id="job1", name="all-kinds", sandbox="local")
    folder = JobFolder(tmp_path / "jobs" / "all-kinds", sheet=sheet)
    folder.begin(list(keys.values()))
    records = []
    for name, (attempt, bodies) in TRIES.items():
        key = keys[name]
        verifier = folder.try_dir(key.trial_name, 1) / "verifier"
        verifier.mkdir()
        (verifier / "test-stdout.txt").write_text("1 passed")
        records.append(record_of(attempt, key=key))
        folder.write_trial(records[-1], events_of(*bodies, subject=key.trial_id))
    folder.write_job(records, job_events(trials=len(records)))
    JobFolder(tmp_path / "jobs" / "begun").begin([KEY])
    return tmp_path / "jobs"


@pytest.mark.live
@pytest.mark.must("trials-14")
def test_harbors_models_and_validator_accept_all_we_write(harbor: Path, jobs: Path):
    done = subprocess.run(
        [harbor, "-c", CHECK, jobs / "all-kinds"],
        capture_output=True,
        text=True,
        check=False,
        env=ENVIRONMENT,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 2 * len(TRIES)  # in the try, and shown at the trial


@pytest.mark.live
@pytest.mark.must("trials-14")
def test_harbors_viewer_opens_the_folder(harbor: Path, jobs: Path):
    with viewer(harbor, jobs) as get:
        listed = {job["name"]: job for job in get("/api/jobs")["items"]}
        assert set(listed) == {"all-kinds", "begun"}
        job = listed["all-kinds"]
        assert (job["n_total_trials"], job["agents"]) == (len(TRIES), ["claude-code"])
        trials = get("/api/jobs/all-kinds/trials?page_size=50")["items"]
        assert len(trials) == len(TRIES)
        for trial in trials:
            at = f"/api/jobs/all-kinds/trials/{trial['name']}"
            assert get(at)["task_name"] == KEY.task
            assert get(f"{at}/trajectory")["schema_version"] == "ATIF-v1.7"
            assert get(f"{at}/verifier-output")["stdout"] == "1 passed"
        rewards = sorted(str(trial["reward"]) for trial in trials)
        ours = [attempt.verdict for attempt, _ in TRIES.values()]
        assert rewards == sorted(str(verdict.reward if verdict else None) for verdict in ours)


@contextmanager
def viewer(harbor: Path, jobs: Path) -> Iterator[Callable[[str], Any]]:
    """Run `harbor view` and give a function that gets JSON from it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--jobs", "--no-build", "--port", str(port)]
    command = [str(harbor.parent / "harbor"), "view", str(jobs), *options]
    log = jobs.parent / "viewer.log"
    with log.open("wb") as out:
        server = subprocess.Popen(command, stdout=out, stderr=out, env=ENVIRONMENT)

    def get(path: str) -> Any:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
            return json.load(answer)

    try:
        deadline = time.monotonic() + 90
        while True:
            try:
                get("/api/health")
                break
            except (URLError, OSError):
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
        yield get
    finally:
        server.terminate()
        server.wait(20)
