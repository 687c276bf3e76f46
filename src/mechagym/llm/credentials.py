"""Where the key of a provider comes from: its file, a variable, a command; first one wins.

The environment is handed in. A key is kept as it was found until somebody has it read again; it is
never printed and never written.
"""

import os
import stat
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from mechagym.errors import ConfigError
from mechagym.llm.providers import Provider, Wire
from mechagym.llm.secret import Secret

Scheme = Literal["api-key", "bearer"]
COMMAND_S = 10.0
CLAUDE_CODE = "claude-code"
"""The one agent that a login of Claude Code serves."""

TOKEN_HEADER = "x-mechagym-token"  # noqa: S105 – a name
"""Brings the token of a trial where a login takes the place of a key in the usual headers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What opens a provider. `source` says where it was found, without the secret.

    `api-key`: the way the wire names it (`x-api-key`, `x-goog-api-key`, bearer for OpenAI's).
    `headers` go with it, as they are.
    """

    secret: Secret
    source: str
    scheme: Scheme = "api-key"
    expires_at: datetime | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Login(Protocol):
    """A login that stands in for a key: that of Claude Code."""

    def get(self) -> Credential:
        """What holds now. Raises ConfigError where there is none, or it is `expired`."""
        ...

    def reread(self) -> bool:
        """Look again; says whether another one is there than the one given last."""
        ...


@dataclass(slots=True, kw_only=True)
class Credentials:
    """The keys of this host. `login`: what the claude-code agent uses instead of a key.

    Reading may ask a command and block for `COMMAND_S`: call from a thread where that matters.
    """

    environ: Mapping[str, str] = field(repr=False)
    login: Login | None = None
    _kept: dict[str, Credential | None] = field(default_factory=dict, repr=False)

    def get(self, provider: Provider, *, agent: str | None = None) -> Credential | None:
        """The credential for a provider, or None where there is none.

        Raises ConfigError: a key file that others can read, a failing command, an expired login.
        """
        if self.logs_in(provider, agent):
            assert self.login is not None
            return self.login.get()
        if provider.name not in self._kept:
            self._kept[provider.name] = find_key(provider, self.environ)
        return self._kept[provider.name]

    def reread(self, provider: Provider, *, agent: str | None = None) -> bool:
        """Look again, after a provider refused; says whether another value is there now."""
        if self.logs_in(provider, agent):
            assert self.login is not None
            return self.login.reread()
        before = self._kept.pop(provider.name, None)
        after = self.get(provider)
        return after is not None and (before is None or before.secret != after.secret)

    def to_hide(self, providers: Iterable[Provider]) -> dict[str, str]:
        """The keys of these providers by label, for whoever takes them out of texts."""
        found = [self.get(provider) for provider in providers]
        login = self.login.get() if self.login is not None else None
        return {c.secret.label: c.secret.reveal() for c in (*found, login) if c is not None}

    def logs_in(self, provider: Provider, agent: str | None) -> bool:
        """Whether a login stands in for the key: its calls are paid by a subscription."""
        return self.login is not None and agent == CLAUDE_CODE and provider.kind == "anthropic"


def has_key(provider: Provider, environ: Mapping[str, str]) -> bool:
    """Whether a key is to be found, or none is needed; nothing is read and no command is asked."""
    by_file = provider.key_file is not None and provider.key_file.is_file()
    by_variable = any(environ.get(name) for name in provider.key_env)
    return not provider.needs_key or by_file or by_variable or bool(provider.key_command)


def find_key(provider: Provider, environ: Mapping[str, str]) -> Credential | None:
    """Read a provider's key anew. Raises ConfigError."""
    if provider.key_file is not None:
        value, source, kind = _from_file(provider.key_file), str(provider.key_file), "file"
    elif variable := next((name for name in provider.key_env if environ.get(name)), None):
        value, source, kind = environ[variable], variable, "env"
    elif provider.key_command:
        value, source, kind = _from_command(provider), "api_key_command", "command"
    else:
        return None
    return Credential(secret=Secret(value.strip(), f"{provider.name}:{kind}"), source=source)


def _from_file(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise ConfigError(
                    f"{path}: this key file can be read by others (mode {mode:04o})",
                    remedy=f"chmod 600 {path}",
                    reason="key_file_open",
                )
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the key file cannot be read: {error}") from error
    if not text.strip():
        raise ConfigError(f"{path}: the key file is empty")
    return text


def _from_command(provider: Provider) -> str:
    """What the command prints. Neither its output nor its errors are told: they may hold a key."""
    named = f"api_key_command of {provider.name} ({provider.key_command[0]})"
    try:
        done = subprocess.run(
            provider.key_command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(f"{named}: no answer within {COMMAND_S:g} s") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{named}: cannot be run: {error}") from error
    if done.returncode != 0 or not done.stdout.strip():
        what = f"exit code {done.returncode}" if done.returncode else "it printed nothing"
        raise ConfigError(f"{named}: {what}", remedy="run it by hand to see what it says")
    return done.stdout


def key_header(wire: Wire, credential: Credential) -> tuple[str, str]:
    """The header that carries a credential on a wire, with its value."""
    secret = credential.secret.reveal()
    if credential.scheme == "api-key" and wire == "anthropic":
        return "x-api-key", secret
    if credential.scheme == "api-key" and wire == "google":
        return "x-goog-api-key", secret
    return "authorization", f"Bearer {secret}"
