"""How many calls may be under way at once on one key: found by asking, halved when told to slow.

Starts at a few: a full round of successes adds one, a 429 or 529 halves, at most
once per five seconds. While a provider's Retry-After runs, no new call starts on its key. Both
doors share one `Pace` per provider and credential; who waits goes in order.
"""

import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from mechagym.errors import ModelError
from mechagym.llm.credentials import Credential
from mechagym.llm.providers import Provider
from mechagym.llm.secret import Secret

START = 8
CAP = 64
HALVED_AGAIN_AFTER_S = 5.0


@dataclass(slots=True, eq=False)
class Pace:
    """The turns on one key. `limit` moves between 1 and `cap`."""

    name: str
    cap: int = CAP
    clock: Callable[[], float] = time.monotonic
    limit: int = field(default=0)
    in_flight: int = field(default=0, init=False)
    _went_well: int = field(default=0, init=False)
    _halved_at: float = field(default=float("-inf"), init=False)
    _silent_until: float = field(default=float("-inf"), init=False)
    _waiting: deque[anyio.Event] = field(default_factory=deque, init=False)

    def __post_init__(self) -> None:
        self.limit = min(self.limit or START, self.cap)

    @asynccontextmanager
    async def turn(self, timeout_s: float | None = None) -> AsyncIterator[None]:
        """Wait for a turn and hold it. Raises ModelError with the reason `no_turn`."""
        with anyio.move_on_after(timeout_s) as waiting:
            await self._take()
        if waiting.cancelled_caught:
            raise ModelError(
                f"{self.name}: no turn within {timeout_s:g} s; calls under way: {self.in_flight}",
                remedy="run fewer at once, or ask the provider for a higher rate limit",
                reason="no_turn",
            )
        try:
            yield
        finally:
            self.in_flight -= 1
            self._wake()

    def slow_down(self, retry_after_s: float | None = None) -> None:
        """The provider said that it was too much: halve, and keep silent as long as it asked."""
        at = self.clock()
        if retry_after_s is not None:
            self._silent_until = max(self._silent_until, at + retry_after_s)
        if at - self._halved_at >= HALVED_AGAIN_AFTER_S:
            self.limit = max(1, self.limit // 2)
            self._halved_at = at
        self._went_well = 0

    def went_well(self) -> None:
        """A call succeeded; a full round of them makes room for one more."""
        self._went_well += 1
        if self._went_well >= self.limit:
            self.limit = min(self.limit + 1, self.cap)
            self._went_well = 0
            self._wake()

    @property
    def silent_s(self) -> float:
        """How long no new call may start."""
        return max(0.0, self._silent_until - self.clock())

    async def _take(self) -> None:
        if self._waiting or self.in_flight >= self.limit:
            mine = anyio.Event()
            self._waiting.append(mine)
            try:
                await mine.wait()  # whoever wakes us has counted us in
            except BaseException:
                self._leave(mine)
                raise
        else:
            self.in_flight += 1
        try:
            while (silent := self.silent_s) > 0:  # noqa: ASYNC110, it may grow meanwhile
                await anyio.sleep(silent)
        except BaseException:
            self.in_flight -= 1
            self._wake()
            raise

    def _wake(self) -> None:
        while self._waiting and self.in_flight < self.limit:
            self.in_flight += 1
            self._waiting.popleft().set()

    def _leave(self, mine: anyio.Event) -> None:
        """Go without having begun: out of the queue, or back with the turn just given."""
        if mine.is_set():
            self.in_flight -= 1
            self._wake()
        else:
            self._waiting.remove(mine)


@dataclass(slots=True, eq=False)
class Paces:
    """One pace per provider and credential."""

    clock: Callable[[], float] = time.monotonic
    _paces: dict[tuple[str, Secret | None], Pace] = field(default_factory=dict, init=False)

    def of(self, provider: Provider, credential: Credential | None) -> Pace:
        """The pace of a key, the same one for everybody."""
        key = (provider.name, credential.secret if credential else None)
        if key not in self._paces:
            cap = provider.max_concurrency or CAP
            self._paces[key] = Pace(name=provider.name, cap=cap, clock=self.clock)
        return self._paces[key]
