"""Claude Code's login: found in three places, told when it expired, never written."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mechagym.errors import ConfigError
from mechagym.llm.claude_login import OAUTH_BETA, ClaudeLogin
from mechagym.llm.credentials import CLAUDE_CODE, Credentials
from mechagym.llm.providers import SHIPPED

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TOKEN, OTHER = "sk-ant-oat01-the-first-token-AAAA", "sk-ant-oat01-the-other-token-BBBB"

pytestmark = pytest.mark.must("llm-11")


def document(token: str = TOKEN, ends: timedelta = timedelta(hours=8)) -> str:
    login = {
        "accessToken": token,
        "refreshToken": "sk-ant-ort01-never-used",
        "expiresAt": int((NOW + ends).timestamp() * 1000),
        "scopes": ["user:inference"],
        "subscriptionType": "max",
    }
    return json.dumps({"claudeAiOauth": login})


def in_file(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".credentials.json"
    path.write_text(text)
    return path


@pytest.fixture
def keychain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A fake `security` on the PATH that keeps its arguments and prints what it is given."""
    tools = tmp_path / "tools"
    tools.mkdir()
    answer, asked = tools / "answer", tools / "asked"
    security = tools / "security"
    security.write_text(
        f'#!/bin/sh\necho "$@" >> {asked}\ntest -f {answer} || exit 44\ncat {answer}\n'
    )
    security.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    return answer, asked


def login(home: Path, platform: str = "linux", **environ: str) -> ClaudeLogin:
    return ClaudeLogin(environ=environ, home=home, platform=platform, clock=lambda: NOW)


def test_from_the_file_in_the_home(tmp_path: Path):
    path = in_file(tmp_path / ".claude", document())
    found = login(tmp_path).get()
    assert found.secret.reveal() == TOKEN
    assert str(found.secret) == "anthropic:file:…AAAA"
    assert found.source == str(path)
    assert found.scheme == "bearer"
    assert found.headers == {"anthropic-beta": OAUTH_BETA}
    assert found.expires_at == NOW + timedelta(hours=8)


def test_from_the_folder_that_the_variable_names(tmp_path: Path):
    in_file(tmp_path / ".claude", document())
    in_file(tmp_path / "elsewhere", document(OTHER))
    found = login(tmp_path, CLAUDE_CONFIG_DIR=str(tmp_path / "elsewhere")).get()
    assert found.secret.reveal() == OTHER


def test_from_the_variable(tmp_path: Path):
    in_file(tmp_path / ".claude", document())
    found = login(tmp_path, CLAUDE_CODE_OAUTH_TOKEN=OTHER).get()
    assert found.secret.reveal() == OTHER
    assert found.expires_at is None


@pytest.mark.parametrize("spelled", ["plain", "hex"])
def test_from_the_keychain(tmp_path: Path, keychain, spelled: str):
    answer, asked = keychain
    answer.write_text(document() if spelled == "plain" else document().encode().hex() + "\n")
    found = login(tmp_path, "darwin")
    assert found.get().secret.reveal() == TOKEN
    assert found.get().secret.label == "anthropic:keychain"
    assert asked.read_text() == "find-generic-password -s Claude Code-credentials -w\n"


def test_the_keychain_is_asked_on_macos_alone(tmp_path: Path, keychain):
    answer, asked = keychain
    answer.write_text(document())
    with pytest.raises(ConfigError, match="no login"):
        login(tmp_path, "linux").get()
    assert not asked.exists()


def test_an_empty_keychain_is_no_login(tmp_path: Path, keychain):
    with pytest.raises(ConfigError, match="no login") as caught:
        login(tmp_path, "darwin").get()
    assert caught.value.reason == "no_credential"


@pytest.mark.parametrize("ends", [timedelta(seconds=59), timedelta(0), timedelta(days=-3)])
def test_an_expired_login_says_what_to_do(tmp_path: Path, ends: timedelta):
    in_file(tmp_path / ".claude", document(ends=ends))
    with pytest.raises(ConfigError, match="expired") as caught:
        login(tmp_path).get()
    assert caught.value.reason == "expired"
    assert "start `claude` once" in (caught.value.remedy or "")
    assert TOKEN not in str(caught.value)


def test_it_is_read_again_when_the_file_changes(tmp_path: Path):
    path = in_file(tmp_path / ".claude", document())
    found = login(tmp_path)
    assert found.get().secret.reveal() == TOKEN
    assert not found.reread()
    path.write_text(document(OTHER))
    assert found.get().secret.reveal() == OTHER


def test_the_keychain_is_asked_again_a_minute_before_the_end(tmp_path: Path, keychain):
    answer, asked = keychain
    answer.write_text(document(ends=timedelta(minutes=5)))
    at = [NOW]
    found = ClaudeLogin(environ={}, home=tmp_path, platform="darwin", clock=lambda: at[0])
    found.get()
    found.get()
    assert len(asked.read_text().splitlines()) == 1
    at[0] += timedelta(minutes=4, seconds=1)
    answer.write_text(document(OTHER))
    assert found.get().secret.reveal() == OTHER


@pytest.mark.parametrize("text", ["", "{}", "not json", '{"claudeAiOauth": null}', "[1]"])
def test_what_is_no_login_is_told_without_its_content(tmp_path: Path, text: str):
    in_file(tmp_path / ".claude", text)
    with pytest.raises(ConfigError, match="no login of Claude Code"):
        login(tmp_path).get()


def test_nothing_is_written(tmp_path: Path):
    path = in_file(tmp_path / ".claude", document(ends=timedelta(seconds=10)))
    path.chmod(0o400)
    before = path.stat()
    found = login(tmp_path)
    for ask in (found.get, found.reread, found.get):
        try:
            ask()
        except ConfigError:
            continue
    after = path.stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == [".credentials.json"]


def test_it_serves_the_one_agent_at_the_one_provider(tmp_path: Path):
    in_file(tmp_path / ".claude", document())
    held = Credentials(environ={"ANTHROPIC_API_KEY": "key"}, login=login(tmp_path))
    anthropic, openai = SHIPPED["anthropic"], SHIPPED["openai"]

    def value(agent: str | None) -> str:
        found = held.get(anthropic, agent=agent)
        assert found is not None
        return found.secret.reveal()

    assert value(CLAUDE_CODE) == TOKEN
    assert value("codex") == value(None) == "key"
    assert held.get(openai, agent=CLAUDE_CODE) is None
    in_file(tmp_path / ".claude", document(OTHER))
    assert held.reread(anthropic, agent=CLAUDE_CODE)
    assert not held.reread(anthropic)
    without = Credentials(environ={"ANTHROPIC_API_KEY": "key"})
    found = without.get(anthropic, agent=CLAUDE_CODE)
    assert found is not None
    assert found.secret.reveal() == "key"
