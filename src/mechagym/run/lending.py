"""Access to models by this process's gateway: a grant per loan, gone with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from mechagym.agents.base import Dialect
from mechagym.budget import Meter
from mechagym.errors import ConfigError
from mechagym.llm.bounds import CallRequest
from mechagym.llm.gateway import Gateway, Grant
from mechagym.llm.names import ModelName
from mechagym.llm.player import open_player
from mechagym.llm.providers import REPLAY
from mechagym.run.access import Borrower, Loan
from mechagym.sandbox.base import Door

if TYPE_CHECKING:
    from mechagym.llm.stack import Models

SMALL = ("claude-*haiku*", "gpt-*mini*", "gpt-*nano*")
"""What command-line agents ask for beside their model, for titles and summaries: the trial's model
answers instead, so that nothing is spent that nobody chose."""


class GatewayAccess:
    """See `Access`."""

    def __init__(self, models: "Models", gateway: Gateway) -> None:
        self._models, self._gateway = models, gateway
        self._names: dict[ModelName, str] = {}

    @property
    def door(self) -> Door:
        """The gateway itself: whoever comes needs a token."""
        return self._gateway.serve

    def affords(self, model: str, meter: Meter) -> bool:
        """Whether the meter could hold one call of the model, however short."""
        name = ModelName.of(model)
        ledger = self._models.ledger(meter, lambda _: None, door="gateway")
        return not ledger.needs_count(CallRequest(model=name, body_bytes=0))

    @contextmanager
    def lend(self, borrower: Borrower) -> Iterator[Loan]:
        """Lend one model. Raises ConfigError where a box cannot speak with its provider."""
        name = ModelName.of(borrower.model)
        ledger = self._models.ledger(borrower.meter, borrower.emit, door="gateway")
        if self._models.credentials.logs_in(self._models.provider(name), borrower.agent):
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
        )
        try:
            yield loan
        finally:
            loan.end()

    def _shown(self, name: ModelName) -> str:
        """What the agent calls its model: of a tape the one recorded, so that it does as it did."""
        if name not in self._names:  # a tape is long, and read once
            recorded = open_player(name.name).model if name.provider == REPLAY else None
            wire_name = self._models.catalogue.find(name).wire_name
            self._names[name] = ModelName.of(recorded).name if recorded else wire_name
        return self._names[name]

    def _dialect(self, name: ModelName, borrower: Borrower) -> Dialect:
        """The provider's; a tape or a script answers in the agent's own."""
        wire = self._models.provider(name).wire
        if wire == "none":
            return borrower.dialects[0]
        if wire != "google":
            return wire
        raise ConfigError(
            f"{name} cannot be called from a box: the gateway does not speak {wire}",
            remedy="take a model of another provider, or an agent that works in this process",
        )
