"""A job from a file, flags and --set: who wins, and how faults are told."""

from pathlib import Path

import pytest

from mechagym import config
from mechagym.budget import Budget
from mechagym.cli.job_file import job_config, job_entry
from mechagym.errors import ConfigError
from mechagym.run.config import AgentChoice, JobConfig

NIGHTLY = """\
name: nightly
sources: tasks
agents:
  - oracle
  - {name: scripted, options: {script: do.yaml}}
models: [a:one, b:two]
repeats: 3
budget: 5
trial_budget: {usd: 0.5, turns: 20}
verify: pristine
concurrent: 2
"""


def job(
    file: Path | None = None, flags: dict[str, object] | None = None, sets: tuple[str, ...] = ()
) -> JobConfig:
    flags = {"sources": ("tasks",), "agents": ("nop",)} if not flags and not file else flags or {}
    return job_config(job_entry(file, flags, sets), config.load())


@pytest.fixture
def nightly(home: Path) -> Path:
    path = home / "here/nightly.yaml"
    path.write_text(NIGHTLY)
    return path


def test_a_job_file(nightly: Path):
    found = job(nightly)
    assert found.name == "nightly"
    assert found.sources.sources == ("tasks",)
    assert found.agents == (
        AgentChoice(name="oracle"),
        AgentChoice(name="scripted", options={"script": "do.yaml"}),
    )
    assert found.models == ("a:one", "b:two")
    assert (found.repeats, found.pace.trials) == (3, 2)
    assert found.budget == Budget(usd=5)
    assert found.rules.trial_budget == Budget(usd=0.5, turns=20)
    assert found.rules.verify == "pristine"


def test_toml_says_the_same(home: Path):
    path = home / "here/nightly.toml"
    path.write_text('name = "n"\nsources = "tasks"\nagents = ["oracle"]\n[budget]\nusd = 5\n')
    assert job(path).budget == Budget(usd=5)


def test_flags_win_over_the_file_and_set_over_both(nightly: Path):
    found = job(nightly, {"repeats": 5, "agents": ("nop@1",), "include": ()}, ("repeats=7",))
    assert found.repeats == 7
    assert found.agents == (AgentChoice(name="nop", version="1"),)
    found = job(nightly, {}, ("trial_budget.usd=2", "agent.script=other.yaml"))
    assert found.rules.trial_budget == Budget(usd=2, turns=20)
    assert [agent.options for agent in found.agents] == [{"script": "other.yaml"}] * 2


def test_defaults_come_from_the_settings(home: Path, monkeypatch):
    monkeypatch.setenv("MECHAGYM_SANDBOX", "memory")
    monkeypatch.setenv("MECHAGYM_CONCURRENT", "9")
    found = job()
    assert (found.sandbox, found.pace.trials) == ("memory", 9)
    assert found.out_dir == home / "here/jobs"
    assert "-nop-" in found.name


def test_a_folder_is_kept_absolute_so_that_a_job_resumes_from_anywhere(home: Path):
    (home / "here/tasks").mkdir()
    assert job().sources.sources == (str(home / "here/tasks"),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("agnets: [oracle]\n", ":1: unknown key `agnets`, did you mean `agents`?"),
        ("agents:\n- nop\nrepeats: many\n", ":3: `repeats`: input should be a valid integer"),
        (
            "agents:\n- nop\n- {name: a, optoins: {}}\n",
            ":3: unknown key `agents.1.optoins`, did you mean `options`?",
        ),
        ("budget:\n  usd: -1\n", ":2: `budget.usd`: input should be greater than or equal to 0"),
        ("verify: [\n", ":2: not YAML:"),
        ("- a list\n", ": a table of `key: value` is expected, not a list"),
        ("", ": a table of `key: value` is expected, not an empty file"),
    ],
)
def test_faults_of_a_job_file_name_file_line_and_key(home: Path, text, message):
    path = home / "job.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        job(path)
    assert f"{path}{message}" in str(caught.value)


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ("repeats", "--set repeats: KEY=VALUE is expected"),
        ("=3", "KEY=VALUE is expected"),
        ("repaets=3", "unknown key `repaets`, did you mean `repeats`?"),
        ("name.first=x", "`name` is a single value"),
        ("repeats=0", "repeats must be 1 or more"),
        ("retries=-1", "retries must be 0 or more"),
    ],
)
def test_bad_sets(nightly: Path, sets, message):
    with pytest.raises(ConfigError) as caught:
        job(nightly, {}, (sets,))
    assert message in str(caught.value)
