"""Keys are found in order, refused where others can read them, and read again on demand."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mechagym.errors import ConfigError
from mechagym.llm import credentials
from mechagym.llm.credentials import Credentials
from mechagym.llm.providers import SHIPPED

ANTHROPIC, GOOGLE, OPENAI = SHIPPED["anthropic"], SHIPPED["google"], SHIPPED["openai"]


def key_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "key"
    path.write_text(text)
    path.chmod(mode)
    return path


def printing(text: str) -> tuple[str, ...]:
    return sys.executable, "-c", f"print({text!r})"


@pytest.mark.parametrize(
    ("has_file", "environ", "command", "value", "label"),
    [
        (True, {"ANTHROPIC_API_KEY": "by-env"}, "by-command", "by-file", "anthropic:file"),
        (False, {"ANTHROPIC_API_KEY": "by-env"}, "by-command", "by-env", "anthropic:env"),
        (False, {"ANTHROPIC_API_KEY": ""}, "by-command", "by-command", "anthropic:command"),
        (False, {}, None, None, None),
    ],
)
def test_the_first_place_that_has_a_key_wins(
    tmp_path: Path, has_file, environ, command, value, label
):
    provider = replace(
        ANTHROPIC,
        key_file=key_file(tmp_path, "by-file\n") if has_file else None,
        key_command=printing(command) if command else (),
    )
    found = Credentials(environ=environ).get(provider)
    assert (found.secret.reveal() if found else None) == value
    assert (found.secret.label if found else None) == label


def test_each_variable_of_a_provider_is_looked_at():
    found = Credentials(environ={"GEMINI_API_KEY": "g"}).get(GOOGLE)
    assert found is not None
    assert found.secret.reveal() == "g"
    assert found.source == "GEMINI_API_KEY"
    assert found.scheme == "api-key"
    assert Credentials(environ={"GEMINI_API_KEY": "g"}).get(OPENAI) is None


@pytest.mark.must("llm-10")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o666, 0o777])
def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path, mode: int):
    path = key_file(tmp_path, "a-secret-key", mode)
    with pytest.raises(ConfigError) as caught:
        Credentials(environ={"ANTHROPIC_API_KEY": "other"}).get(replace(ANTHROPIC, key_file=path))
    assert caught.value.remedy == f"chmod 600 {path}"
    assert "a-secret-key" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_key_file_of_ones_own_is_read(tmp_path: Path, mode: int):
    provider = replace(ANTHROPIC, key_file=key_file(tmp_path, " k\n", mode))
    found = Credentials(environ={}).get(provider)
    assert found is not None
    assert found.secret.reveal() == "k"


def test_a_key_file_that_is_missing_or_empty_is_an_error(tmp_path: Path):
    with pytest.raises(ConfigError, match="cannot be read"):
        Credentials(environ={}).get(replace(ANTHROPIC, key_file=tmp_path / "none"))
    with pytest.raises(ConfigError, match="empty"):
        Credentials(environ={}).get(replace(ANTHROPIC, key_file=key_file(tmp_path, "\n")))


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ((sys.executable, "-c", "print('partial-key'); raise SystemExit(3)"), "exit code 3"),
        ((sys.executable, "-c", "pass"), "printed nothing"),
        (("/no/such/program",), "cannot be run"),
        (
            (sys.executable, "-c", "import time; print('k', flush=True); time.sleep(60)"),
            "no answer",
        ),
    ],
)
def test_a_key_command_that_fails_is_told_without_what_it_printed(monkeypatch, argv, says):
    monkeypatch.setattr(credentials, "COMMAND_S", 0.5)
    with pytest.raises(ConfigError, match=says) as caught:
        Credentials(environ={}).get(replace(ANTHROPIC, key_command=argv))
    assert "partial-key" not in str(caught.value)


def test_a_key_is_kept_until_it_is_read_again(tmp_path: Path):
    path = key_file(tmp_path, "first")
    provider = replace(ANTHROPIC, key_file=path)
    found = Credentials(environ={})
    first = found.get(provider)
    assert not found.reread(provider)
    path.write_text("second")
    assert found.get(provider) == first
    assert found.reread(provider)
    second = found.get(provider)
    assert second is not None
    assert second.secret.reveal() == "second"
    assert not found.reread(provider)


def test_a_variable_never_changes():
    found = Credentials(environ={"ANTHROPIC_API_KEY": "k"})
    found.get(ANTHROPIC)
    assert not found.reread(ANTHROPIC)
    assert not found.reread(GOOGLE)


def test_nothing_of_it_shows_the_environment():
    assert "a-secret" not in repr(Credentials(environ={"ANTHROPIC_API_KEY": "a-secret"}))


def test_keys_are_not_taken_from_the_environment_of_the_process(monkeypatch):
    monkeypatch.setitem(os.environ, "ANTHROPIC_API_KEY", "k")
    assert Credentials(environ={}).get(ANTHROPIC) is None
