"""`mechagym doctor` and `clean`: what works is told, what does not has a remedy."""

import json
import subprocess
import sys

import anyio
import pytest

from mechagym.cli.parts import Part
from mechagym.cli.terminal.doctor_page import as_part, doctor_page
from mechagym.cli.terminal.proof_page import Proof, proof_page
from mechagym.config import load
from mechagym.sandbox.base import HostRoot, Probe
from mechagym.sandbox.local import LocalSandbox
from mechagym.sandbox.selftest import Line
from mechagym.testing.conformance import sandbox as conformance
from tests.run.test_logins import HOLDER
from tests.sandbox.local_parts import needs_parts


def test_doctor_names_every_part(cli):
    found = json.loads(cli("doctor", "--json").stdout)
    names = [part["name"] for part in found["parts"]]
    assert names[:5] == ["mechagym", "python", "git", "store", "tasks"]
    assert "disk" in names
    assert {"docker", "local", "host", "memory"} <= {s["backend"] for s in found["sandboxes"]}


def test_an_engine_that_is_away_has_reason_and_remedy(cli, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    found = json.loads(cli("doctor", "--json").stdout)
    (docker,) = (s for s in found["sandboxes"] if s["backend"] == "docker")
    assert not docker["usable"]
    assert "/nowhere.sock" in docker["reason"]
    assert docker["remedy"]


def test_a_store_that_cannot_be_opened_is_lacking(cli):
    result = cli("doctor", "--store", "nonsense://x", "--json")
    assert result.exit_code == 1
    (store,) = (p for p in json.loads(result.stdout)["parts"] if p["name"] == "store")
    assert store["state"] == "lacking"


def test_a_password_in_the_url_is_not_shown(cli):
    result = cli("doctor", "--store", "postgresql+psycopg://me:s3cretword@127.0.0.1:1/x", "--json")
    assert "s3cretword" not in result.output


def test_the_page_folds_under_itself(home, capsys):
    parts = [Part(name="git", state="absent", seen="word " * 30, remedy="install it")]
    probes = [Probe(usable=True, backend="local", isolation="namespace", evidence=("seen",))]
    doctor_page(load(), parts, probes, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert lines[1].startswith(" " * 16 + "word")
    assert lines[-1] == "ok    local     namespace: seen"


@pytest.mark.parametrize(
    ("probe", "state", "seen"),
    [
        (Probe(usable=True, backend="b", isolation="vm"), "fine", "vm"),
        (Probe(usable=True, backend="b", isolation="none"), "absent", "isolates nothing"),
        (Probe(usable=False, backend="b", reason="why", remedy="so"), "absent", "why"),
    ],
)
def test_a_backend_is_one_of_many(probe, state, seen):
    part = as_part(probe)
    assert (part.state, part.seen) == (state, seen)
    assert part.remedy == probe.remedy


def test_clean_of_a_clean_host_touches_nothing(cli, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    result = cli("clean", "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    assert isinstance(json.loads(result.stdout), list)


@pytest.mark.must("llm-12")
def test_clean_takes_away_the_login_that_a_killed_process_left(cli, home, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    logins = load().data_dir / "logins"
    argv = [sys.executable, "-c", HOLDER, str(logins)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert str(logins) not in cli("clean", "--dry-run").stdout
        holder.kill()
    assert f"would remove folder {logins}/" in cli("clean", "--dry-run").stdout
    assert f"removed folder {logins}/" in cli("clean").stdout
    assert list(logins.iterdir()) == []


@pytest.mark.live
def test_clean_says_which_images_would_go_and_how_big_they_are(cli, monkeypatch, tmp_path):
    needs_parts()
    cache = tmp_path / "cache"
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    monkeypatch.setenv("MECHAGYM_CACHE_DIR", str(cache))

    async def unpack() -> None:
        sandbox = LocalSandbox(cache=cache / "local")
        await sandbox.prepare(HostRoot(), lambda _: None)
        await sandbox.aclose()

    anyio.run(unpack)
    for options, said in (
        (["--images", "--older-than", "1h"], "nothing of ours is left behind\n"),
        (["--images", "--keep", "1GB"], "nothing of ours is left behind\n"),
        (["--images", "--keep", "1KB", "--dry-run"], "would remove image the host's own root ("),
        (["--images"], "removed image the host's own root ("),
        (["--images"], "nothing of ours is left behind\n"),
    ):
        result = cli("clean", *options)
        assert result.exit_code == 0, result.output
        assert result.stdout.startswith(said)
        assert said.startswith("nothing") or " MB of images" in result.stdout


def test_doctor_sandbox_runs_the_suite_and_tries_to_break_out(cli, monkeypatch):
    monkeypatch.setattr(conformance, "SUITE", conformance.SUITE[:12])
    result = cli("doctor", "sandbox", "memory", "--json")
    assert result.exit_code == 0, result.output
    (proof,) = json.loads(result.stdout)
    assert len(proof["suite"]) >= 12
    assert len(proof["escapes"]) >= 12
    results = {line["result"] for line in (*proof["suite"], *proof["escapes"])}
    assert results <= {"held", "not tested"}


def test_what_was_proved_is_shown(home, capsys):
    suite = [Line(attempt=f"check {i}, lane", result="held") for i in range(50)]
    suite.append(
        Line(attempt="a check with a long name, fallback", result="failed", detail="x" * 90)
    )
    escapes = [Line(attempt="mount", result="not tested", detail="no mount")]
    proof_page(load(), [Proof(backend="docker", suite=suite, escapes=escapes)], as_json=False)
    shown = capsys.readouterr().out
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert "suite: 50 held, 1 failed" in shown
    assert "attempts: 1 not tested" in shown
    assert "check 1, lane" not in shown


def test_doctor_sandbox_of_what_is_not_there(cli, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    assert "did you mean `docker`?" in cli("doctor", "sandbox", "dokcer").stderr
    result = cli("doctor", "sandbox", "docker")
    assert result.exit_code == 1
    assert "/nowhere.sock" in result.stderr
