"""Who may come in: tokens, the names this server answers to, and where a writing request may
come from. Pure rules over what a request says; `guard` puts them before every route.
"""

import hmac
import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

Rights = Literal["write", "read"]

WRONG_PER_MINUTE = 10
TOKEN_BYTES = 32
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def new_token() -> str:
    """32 random bytes, fit for a URL."""
    return secrets.token_urlsafe(TOKEN_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """The words that open this process's door, for as long as it lives.

    `write` None: nobody may write (`--read-only`).
    """

    write: str | None = field(default=None, repr=False)
    read: str | None = field(default=None, repr=False)

    def rights(self, given: str) -> Rights | None:
        """What a token allows; None: it is not one of ours. Takes as long for any wrong one."""
        word = given.encode("utf-8", "surrogateescape")
        found: Rights | None = None
        kinds: tuple[tuple[str | None, Rights], ...] = ((self.read, "read"), (self.write, "write"))
        for own, rights in kinds:
            if own is not None and hmac.compare_digest(own.encode(), word):
                found = rights
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosts:
    """The values of `Host` that are meant for us: loopback with our port, and what was allowed."""

    port: int
    allowed: Sequence[str] = ()

    def knows(self, host: str) -> bool:
        """Whether a `Host` header names us. DNS rebinding fails here."""
        said = host.lower()
        ours = {f"{name}:{self.port}" for name in LOOPBACK}
        if self.port == 80:
            ours |= set(LOOPBACK)
        named = {name.lower() for name in self.allowed}
        return said in ours | named or said.removesuffix(f":{self.port}") in named


def same_origin(origin: str, host: str) -> bool:
    """Whether an `Origin` is a page of this very host."""
    return origin.lower() in {f"http://{host.lower()}", f"https://{host.lower()}"}


@dataclass(slots=True, kw_only=True)
class Attempts:
    """Wrong tokens by address: the eleventh in a minute gets another answer."""

    clock: Callable[[], float] = time.monotonic
    _wrong: dict[str, deque[float]] = field(default_factory=dict)

    def note(self, address: str) -> bool:
        """Count a wrong one; True where there were too many."""
        at = self.clock()
        for known in [name for name, times in self._wrong.items() if times[-1] < at - 60]:
            del self._wrong[known]
        times = self._wrong.setdefault(address, deque(maxlen=WRONG_PER_MINUTE + 1))
        times.append(at)
        return len(times) > WRONG_PER_MINUTE and times[0] > at - 60
