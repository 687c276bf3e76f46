"""Settings: who wins, where they are read, and how faults are told."""

from pathlib import Path

import pytest

from mechagym import config
from mechagym.errors import ConfigError

USER = ".config/mechagym/settings.toml"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("flag", "variable", "project", "user", "value", "origin"),
    [
        ("f", "v", "p", "u", "f", "flag"),
        (None, "v", "p", "u", "v", "environment"),
        (None, None, "p", "u", "p", "mechagym.toml"),
        (None, None, None, "u", "u", "settings.toml"),
        (None, None, None, None, "auto", "default"),
        ("f", None, None, "u", "f", "flag"),
        (None, "", "p", None, "p", "mechagym.toml"),
        (None, "v", None, None, "v", "environment"),
    ],
)
def test_the_first_that_says_it_wins(
    home: Path, monkeypatch, flag, variable, project, user, value, origin
):
    if variable is not None:
        monkeypatch.setenv("MECHAGYM_SANDBOX", variable)
    if project:
        write(home / "here/mechagym.toml", f'sandbox = "{project}"\n')
    if user:
        write(home / USER, f'sandbox = "{user}"\n')
    settings = config.load({"sandbox": flag})
    assert settings.sandbox == value
    assert settings.origins["sandbox"].endswith(origin)


def test_defaults_follow_xdg(home: Path, monkeypatch):
    settings = config.load()
    assert settings.data_dir == home / ".local/share/mechagym"
    assert settings.cache_dir == home / ".cache/mechagym"
    assert settings.store == f"sqlite:///{home}/.local/share/mechagym/mechagym.db"
    assert settings.jobs_dir == home / "here/jobs"
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "d"))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    settings = config.load()
    assert settings.data_dir == home / "d/mechagym"
    assert settings.cache_dir == home / ".cache/mechagym"


def test_paths_of_a_file_stand_beside_it(home: Path):
    write(home / USER, 'data_dir = "data"\ntasks = "../t"\njobs_dir = "~/j"\n')
    settings = config.load()
    assert settings.data_dir == home / ".config/mechagym/data"
    assert settings.store.endswith("/.config/mechagym/data/mechagym.db")
    assert Path(settings.tasks or "").resolve() == home / ".config/t"
    assert settings.jobs_dir == home / "j"


def test_the_well_known_folder_is_the_last_source_of_tasks(home: Path, monkeypatch):
    assert config.load().tasks is None
    (home / "code/terminal-bench-2").mkdir(parents=True)
    settings = config.load()
    assert settings.tasks == str(home / "code/terminal-bench-2")
    assert settings.origins["tasks"] == "~/code/terminal-bench-2"
    monkeypatch.setenv("MECHAGYM_TASKS", "git+https://example.org/tasks")
    assert config.load().tasks == "git+https://example.org/tasks"


def test_docker_host(home: Path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///a.sock")
    assert config.load().docker_host == "unix:///a.sock"
    monkeypatch.setenv("MECHAGYM_DOCKER_HOST", "unix:///b.sock")
    assert config.load().docker_host == "unix:///b.sock"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\nsandbx = 'docker'\n", ":2: unknown key `sandbx`, did you mean `sandbox`?"),
        ("store = 1\n", ":1: `store`: input should be a valid string (it is 1)"),
        ("# x\nconcurrent = 0\n", ":2: `concurrent`: input should be greater than 0 (it is 0)"),
        ("a = 1\nsandbox =\n", ":2: not TOML: Invalid value (at line 2, column 10)"),
        ("[sandbox]\nname = 'docker'\n", ":1: `sandbox`: input should be a valid string"),
    ],
)
def test_faults_of_a_file_name_file_line_and_key(home: Path, text, message):
    write(home / USER, text)
    with pytest.raises(ConfigError) as caught:
        config.load()
    assert f"{home / USER}{message}" in str(caught.value)


def test_faults_of_variables_and_flags_name_them(home: Path, monkeypatch):
    with pytest.raises(ConfigError, match=r"--concurrent: .*'many'"):
        config.load({"concurrent": "many"})
    monkeypatch.setenv("MECHAGYM_CONCURRENT", "some")
    with pytest.raises(ConfigError, match=r"MECHAGYM_CONCURRENT: .*'some'"):
        config.load()


def test_unknown_variables_are_named(home: Path, monkeypatch):
    monkeypatch.setenv("MECHAGYM_SANDBOXX", "docker")
    assert config.load().warnings == (
        "MECHAGYM_SANDBOXX is not a setting and has no effect, did you mean `MECHAGYM_SANDBOX`?",
    )


def test_settings_do_not_show_the_environment(home: Path, monkeypatch):
    monkeypatch.setenv("SOME_KEY", "s3cret-value")
    settings = config.load()
    assert settings.environ["SOME_KEY"] == "s3cret-value"
    assert "s3cret-value" not in repr(settings)
