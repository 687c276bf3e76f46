"""Access to models by this process's gateway: a grant per loan, gone with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from mechagym.budget import Meter
from mechagym.errors import ConfigError
from mechagym.llm.bounds import CallRequest
from mechagym.llm.gateway import Gateway, Grant
from mechagym.llm.names import ModelName
from mechagym.llm.player import open_player
from mechagym.llm.providers import REPLAY, Dialect
from mechagym.llm.tape import Exchange
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
        self._tapes: dict[ModelName, Exchange | None] = {}

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
        taped = self._taped(name)
        return (
            ModelName.of(taped.model).name if taped else self._models.catalogue.find(name).wire_name
        )

    def _dialect(self, name: ModelName, borrower: Borrower) -> Dialect:
        """What both speak; of a tape, what was spoken then."""
        provider, taped = self._models.provider(name), self._taped(name)
        spoken = [d for d in borrower.dialects if taped and d == taped.dialect]
        if (dialect := provider.dialect_with(spoken or borrower.dialects)) is not None:
            return dialect
        raise ConfigError(
            f"{name} is reached by {provider.wire}, which {borrower.agent} does not speak",
            remedy="take a model of another provider, or another agent",
        )

    def _taped(self, name: ModelName) -> Exchange | None:
        """How a tape begins; None: this is none, or nothing is on it."""
        if name not in self._tapes:  # a tape is long, and read once
            exchanges = open_player(name.name).exchanges if name.provider == REPLAY else []
            self._tapes[name] = exchanges[0] if exchanges else None
        return self._tapes[name]
