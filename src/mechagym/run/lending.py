"""Access to models: by this process's gateway, a grant per loan and gone with it, or in process."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import anyio.to_thread

from mechagym.agents.base import ModelFacts, OpenModel
from mechagym.budget import Meter
from mechagym.errors import ConfigError
from mechagym.events import Emit
from mechagym.llm.bounds import CallRequest
from mechagym.llm.claude_login import as_file
from mechagym.llm.gateway import Gateway, Grant
from mechagym.llm.names import ModelName
from mechagym.llm.providers import Dialect
from mechagym.run.access import Borrower, Loan
from mechagym.run.logins import IN_BOX, Logins
from mechagym.sandbox.base import Door, Labels, Mount

if TYPE_CHECKING:
    from pydantic_ai.models import Model

    from mechagym.llm.stack import Models

SMALL = ("claude-*haiku*", "gpt-*mini*", "gpt-*nano*")
"""What command-line agents ask for beside their model, for titles and summaries: the trial's model
answers instead, so that nothing is spent that nobody chose."""


class GatewayAccess:
    """See `Access`."""

    def __init__(
        self,
        models: "Models",
        gateway: Gateway,
        *,
        roles: Mapping[str, str] | None = None,
        logins: Logins | None = None,
    ) -> None:
        """`roles`: those that have a model of their own. `logins`: where to put the files of logins
        that are mounted into boxes; None: all stay here.
        """
        self._models, self._gateway = models, gateway
        self._roles = roles or {}
        self._logins = logins

    @property
    def door(self) -> Door:
        """The gateway itself: whoever comes needs a token."""
        return self._gateway.serve

    def affords(self, model: str, meter: Meter) -> bool:
        """Whether the meter could hold one call of the model, however short."""
        name = ModelName.of(model)
        ledger = self._models.ledger(meter, lambda _: None, door="gateway")
        return ledger.affords(CallRequest(model=name, body_bytes=0))

    @contextmanager
    def lend(self, borrower: Borrower) -> Iterator[Loan]:
        """Lend one model. Raises ConfigError where a box cannot speak with its provider."""
        name = ModelName.of(borrower.model)
        ledger = self._models.ledger(borrower.meter, borrower.emit, door="gateway")
        by_login = self._by_login(name, borrower.agent)
        if by_login:
            ledger = replace(ledger, billed=False)
        shown = self._shown(name)
        token = self._gateway.grant(
            Grant(
                trial=borrower.trial_id,
                models=(name,),
                ledger=ledger,
                rewrite=dict.fromkeys((shown, *SMALL), name),
                public=borrower.public,
                agent=borrower.agent,
            )
        )
        loan = Loan(
            token=token.value,
            model=shown,
            dialect=self._dialect(name, borrower),
            end=lambda: self._gateway.revoke(token),
            login=IN_BOX if by_login and self._logins else None,
        )
        try:
            yield loan
        finally:
            loan.end()

    @asynccontextmanager
    async def exposing(
        self, agent: str, model: str, labels: Labels
    ) -> AsyncIterator[tuple[Mount, ...]]:
        """The file of a login for the one agent that has one, where files are wanted."""
        name = ModelName.of(model)
        if self._logins is None or not self._by_login(name, agent):
            yield ()
            return
        get = partial(self._models.credentials.get, self._models.provider(name), agent=agent)
        login = await anyio.to_thread.run_sync(get)
        assert login is not None
        with self._logins.shown(as_file(login), labels) as mount:
            yield (mount,)

    def _by_login(self, name: ModelName, agent: str) -> bool:
        return self._models.credentials.logs_in(self._models.provider(name), agent)

    def opener(self, borrower: Borrower, aside: Emit) -> OpenModel:
        """What opens models for an agent in our process."""

        def open_model(role: str, meter: Meter | None = None) -> "Model":
            return self._models.open_model(
                ModelName.of(self._roles.get(role, borrower.model)),
                meter=meter or borrower.meter,
                emit=aside if meter else borrower.emit,
                left_s=borrower.left_s,
            )

        return open_model

    def facts(self, model: str) -> ModelFacts:
        """What the catalogue says of it."""
        info = self._models.catalogue.find(ModelName.of(model))
        return ModelFacts(
            window_tokens=info.context_window, takes_images=bool(info.abilities.get("images"))
        )

    def _shown(self, name: ModelName) -> str:
        """What the agent calls its model: of a tape the one recorded, so that it does as it did."""
        taped = self._models.taped(name)
        return (
            ModelName.of(taped.model).name if taped else self._models.catalogue.find(name).wire_name
        )

    def _dialect(self, name: ModelName, borrower: Borrower) -> Dialect:
        """What both speak; of a tape, what was spoken then."""
        provider, taped = self._models.provider(name), self._models.taped(name)
        spoken = [d for d in borrower.dialects if taped and d == taped.dialect]
        if (dialect := provider.dialect_with(spoken or borrower.dialects)) is not None:
            return dialect
        raise ConfigError(
            f"{name} is reached by {provider.wire}, which {borrower.agent} does not speak",
            remedy="take a model of another provider, or another agent",
        )
