"""The login of Claude Code, as it lies on this host. It is only ever read.

Never refreshed, never written: a rotated token would log the person out of their own Claude Code.
Whether a plan allows such use is for the person to know; it is off unless asked for.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mechagym.errors import ConfigError
from mechagym.llm.credentials import Credential
from mechagym.llm.secret import Secret
from mechagym.records import now

SCOPES = ("user:inference",)
"""What a login must be good for; without, Claude Code takes it for none."""

OAUTH_BETA = "oauth-2025-04-20"
KEYCHAIN_ITEM = "Claude Code-credentials"
KEYCHAIN_S = 5.0
LEEWAY = timedelta(seconds=60)


@dataclass(slots=True, kw_only=True)
class ClaudeLogin:
    """Where the login may lie: a variable, a file, on macOS the Keychain. First one wins.

    `home` is the person's home folder. Reading the Keychain blocks for up to `KEYCHAIN_S`.
    """

    environ: Mapping[str, str] = field(repr=False)
    home: Path
    platform: str = sys.platform
    clock: Callable[[], datetime] = now
    _given: Credential | None = field(default=None, repr=False)

    def get(self) -> Credential:
        """The login that holds now. Raises ConfigError where there is none, or it is `expired`."""
        given = self._given
        if given is None or given.source != KEYCHAIN_ITEM or self._ends(given):
            given = self._given = self._read()
        if self._ends(given):
            raise ConfigError(
                f"the login of Claude Code expired at {given.expires_at:%Y-%m-%d %H:%M} UTC"
                f" ({given.source})",
                remedy="start `claude` once: it renews its login",
                reason="expired",
            )
        return given

    def reread(self) -> bool:
        """Look again; says whether another token is there than the one given last."""
        before, self._given = self._given, self._read()
        return before is None or before.secret != self._given.secret

    def _ends(self, credential: Credential) -> bool:
        ends = credential.expires_at
        return ends is not None and ends - self.clock() <= LEEWAY

    def _read(self) -> Credential:
        found = next(self._found(), None)
        if found is None:
            raise ConfigError(
                "no login of Claude Code is found on this host",
                remedy='start `claude` and log in, or use a key: credential = "key"',
                reason="no_credential",
            )
        return found

    def _found(self) -> Iterator[Credential]:
        """Each place in the order in which Claude Code itself looks."""
        variable = "CLAUDE_CODE_OAUTH_TOKEN"
        if token := self.environ.get(variable):
            yield _credential(token.strip(), variable, "env", None)
        told = self.environ.get("CLAUDE_CONFIG_DIR")
        path = (Path(told).expanduser() if told else self.home / ".claude") / ".credentials.json"
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            pass
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: cannot be read: {error}") from error
        else:
            yield _parsed(text, str(path), "file")
        if self.platform == "darwin" and (text := _keychain()):
            yield _parsed(text, KEYCHAIN_ITEM, "keychain")


def as_file(login: Credential) -> bytes:
    """A login as Claude Code keeps it, with nothing in it to renew it by."""
    ends = login.expires_at
    told = {
        "accessToken": login.secret.reveal(),
        "expiresAt": int(ends.timestamp() * 1000) if ends else None,
        "scopes": SCOPES,
    }
    return json.dumps({"claudeAiOauth": told}).encode()


def _keychain() -> str:
    """The Keychain's item as text, empty where there is none."""
    argv = ["security", "find-generic-password", "-s", KEYCHAIN_ITEM, "-w"]
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=KEYCHAIN_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(
            f"the Keychain did not answer: {type(error).__name__}",
            remedy="unlock it, and allow `security` to read the item",
        ) from None
    text = done.stdout.strip() if done.returncode == 0 else ""
    if text and not text.startswith("{"):
        # an item with characters beyond ASCII is printed in hex
        try:
            return bytes.fromhex(text).decode()
        except ValueError:
            return text
    return text


def _parsed(text: str, source: str, kind: str) -> Credential:
    """A credentials document of Claude Code. What it holds is not told in errors."""
    try:
        login = json.loads(text)["claudeAiOauth"]
        ends = login.get("expiresAt")
        return _credential(str(login["accessToken"]), source, kind, ends)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError(
            f"{source}: this is no login of Claude Code", remedy="start `claude` and log in"
        ) from None


def _credential(token: str, source: str, kind: str, ends_ms: float | None) -> Credential:
    return Credential(
        secret=Secret(token, f"anthropic:{kind}"),
        source=source,
        scheme="bearer",
        expires_at=datetime.fromtimestamp(ends_ms / 1000, UTC) if ends_ms else None,
        headers={"anthropic-beta": OAUTH_BETA},
    )
