"""`mechagym doctor` and `clean`: what works is told, what does not has a remedy."""

import json

import pytest

from mechagym.cli.parts import Part
from mechagym.cli.terminal.doctor_page import as_part, doctor_page
from mechagym.config import load
from mechagym.sandbox.base import Probe


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


def test_doctor_sandbox_tries_to_break_out(cli):
    result = cli("doctor", "sandbox", "memory", "--json")
    assert result.exit_code == 0, result.output
    lines = json.loads(result.stdout)["memory"]
    assert len(lines) >= 12
    assert {line["result"] for line in lines} <= {"held", "not tested"}
    shown = cli("doctor", "sandbox", "memory").stdout.splitlines()
    assert shown[0] == "memory"
    assert all(len(line) <= 80 for line in shown)


def test_doctor_sandbox_of_what_is_not_there(cli, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    assert "did you mean `docker`?" in cli("doctor", "sandbox", "dokcer").stderr
    result = cli("doctor", "sandbox", "docker")
    assert result.exit_code == 1
    assert "/nowhere.sock" in result.stderr
