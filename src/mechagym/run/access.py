"""How the agents of a job reach their models: a door into every box, and a loan per step of a try.
An agent that works in our process opens its models by the same hand.

A loan is a token that opens the gateway for one agent at one step: with the try's meter, the one
model of the trial, and nothing more. It is dead before anything is collected or verified.
"""

import math
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import anyio

from mechagym.agents.base import Endpoint, ModelFacts, OpenModel
from mechagym.budget import Meter
from mechagym.events import Emit, EventBody, ModelRefused
from mechagym.llm.providers import Dialect
from mechagym.sandbox.base import Door, Labels, Mount

GRACE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Loan:
    """What an agent is lent. `end` makes the token worthless and ends its calls; twice is fine.

    `login`: where in its box the login lies that was put there (see `exposing`).
    """

    token: str
    model: str
    dialect: Dialect
    end: Callable[[], None]
    login: str | None = None

    def endpoint(self, door: str) -> Endpoint:
        """As the agent sees it. `door`: the address inside of its box."""
        return Endpoint(
            url=door,
            token=self.token,
            model=self.model,
            dialect=self.dialect,
            login=self.login,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Borrower:
    """Who is lent to. `public`: its box may reach the world, so its model may search it too.

    `left_s`: how long it may still work; 0 once it shall stop.
    """

    trial_id: str
    agent: str
    dialects: tuple[Dialect, ...]
    model: str
    meter: Meter
    emit: Emit
    public: bool
    left_s: Callable[[], float] = lambda: math.inf


class Access(Protocol):
    """The gateway of this process, as trials use it."""

    @property
    def door(self) -> Door:
        """What answers in every box of an agent that needs a model."""
        ...

    def affords(self, model: str, meter: Meter) -> bool:
        """Whether the meter could hold one call of the model, however short."""
        ...

    def lend(self, borrower: Borrower) -> AbstractContextManager[Loan]:
        """Lend until the end of the body at the latest."""
        ...

    def exposing(
        self, agent: str, model: str, labels: Labels
    ) -> AbstractAsyncContextManager[tuple[Mount, ...]]:
        """What else a box must show to an agent, as long as this lasts: a login that is to be
        mounted, for whom the settings say so.

        Raises ConfigError where it has expired.
        """
        ...

    def opener(self, borrower: Borrower, aside: Emit) -> OpenModel:
        """What opens models for an agent in our process.

        `aside` hears of calls that a meter of the agent's own pays: that one is empty ends a part
        of its work, not its time.
        """
        ...

    def facts(self, model: str) -> ModelFacts:
        """What is known of a model."""
        ...


class Patience:
    """How long an agent is waited for: to its deadline, or a little after its money has ended."""

    def __init__(self, timeout_s: float | None) -> None:
        """`timeout_s` None: there is no deadline."""
        self._timeout_s = timeout_s
        self._scope: anyio.CancelScope | None = None
        self.broke = False

    async def wait(self, done: anyio.Event) -> None:
        """Wait until it is done or the time is over."""
        with anyio.move_on_after(self._timeout_s) as self._scope:
            await done.wait()

    def heard(self, body: EventBody) -> None:
        """Look whether it was refused for money: it may still say so and end by itself."""
        if isinstance(body, ModelRefused) and body.reason.startswith("budget_") and not self.broke:
            self.broke = True
            if self._scope is not None:
                soon = anyio.current_time() + GRACE_S
                self._scope.deadline = min(self._scope.deadline, soon)
