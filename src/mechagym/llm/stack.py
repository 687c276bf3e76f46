"""Builds the model that an agent of ours calls: Retried ▸ Paced ▸ Metered ▸ Taped ▸ the provider's.

`Models` is what all models of one job share: prices, pace, keys and the connections to providers.
"""

import math
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import TYPE_CHECKING, Self

from mechagym.budget import Meter
from mechagym.errors import ConfigError, PriceUnknown
from mechagym.events import Emit
from mechagym.llm.bounds import InputBounds
from mechagym.llm.calls import Door, Ledger
from mechagym.llm.catalogue import Catalogue
from mechagym.llm.credentials import Credential, Credentials
from mechagym.llm.names import ModelName
from mechagym.llm.pace import Paces
from mechagym.llm.price_table import PriceTable
from mechagym.llm.providers import REPLAY, SCRIPTED, Provider
from mechagym.llm.settings import LlmSettings
from mechagym.records import now

if TYPE_CHECKING:
    import httpx2
    from pydantic_ai.models import Model

    from mechagym.llm.player import Player
    from mechagym.llm.tape import Exchange, TapeWriter


def _always() -> float:
    return math.inf


@dataclass(slots=True, eq=False, kw_only=True)
class Models:
    """The models of one job. Entered once; at its end all connections are closed.

    `billed` False: a subscription pays, so calls have a list price alone. `tape`: where what is
    said is recorded.
    """

    settings: LlmSettings
    catalogue: Catalogue
    prices: PriceTable
    credentials: Credentials
    billed: bool = True
    allow_unpriced: bool = False
    tape: "TapeWriter | None" = None
    paces: Paces = field(default_factory=Paces)
    bounds: InputBounds = field(default_factory=InputBounds)
    _players: "list[Player]" = field(default_factory=list, init=False)
    _tapes: "dict[str, Player]" = field(default_factory=dict, init=False)
    _clients: "dict[str, httpx2.AsyncClient]" = field(default_factory=dict, init=False)
    _closing: AsyncExitStack = field(default_factory=AsyncExitStack, init=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._closing.aclose()

    def ledger(self, meter: Meter, emit: Emit, *, door: Door = "process") -> Ledger:
        """The ledger of one caller, at this job's prices."""
        return Ledger(
            meter=meter,
            prices=self.prices,
            catalogue=self.catalogue,
            emit=emit,
            door=door,
            billed=self.billed,
            allow_unpriced=self.allow_unpriced,
            bounds=self.bounds,
        )

    def open_model(
        self,
        name: ModelName,
        *,
        meter: Meter,
        emit: Emit,
        left_s: Callable[[], float] = _always,
    ) -> "Model":
        """The model that a caller with this meter may call. `left_s`: 0 once it shall stop.

        Raises ConfigError: no such provider, no key for it, or no base URL.
        """
        from mechagym.llm.metered import MeteredModel
        from mechagym.llm.paced import PacedModel
        from mechagym.llm.patience import Patience
        from mechagym.llm.retried import RetriedModel
        from mechagym.llm.taped import TapedModel
        from mechagym.llm.tries import TryLimits

        provider = self.provider(name)
        credential = self._credential(provider)
        source, paid = self._source(provider, name)
        limits = TryLimits(
            timeout_s=provider.timeout_s, first_output_s=provider.first_output_s, left_s=left_s
        )

        def patience() -> Patience:
            return Patience(
                limits=self.settings.retry,
                left_s=left_s,
                reread=lambda: self.credentials.reread(provider),
            )

        if self.tape is not None:
            source = TapedModel(source, name=paid, tape=self.tape)
        ledger = self.ledger(meter, emit)
        if provider.name == REPLAY:
            ledger = replace(ledger, billed=False)
        metered = MeteredModel(source, name=paid, ledger=ledger, limits=limits)
        pace = self.paces.of(provider, credential)
        return RetriedModel(PacedModel(metered, pace=pace, left_s=left_s), patience=patience)

    def check(self, name: ModelName, *, agent: str | None = None) -> None:
        """See before anything starts that a call of this model could begin.

        Raises ConfigError (no provider, no key, no way out, an unreadable tape or script),
        PriceUnknown.
        """
        provider = self.provider(name)
        self.settings.outgoing.check(provider.base_url or "")
        self._credential(provider, agent=agent)
        self._check_file(name)
        if not self.allow_unpriced:
            self.prices.find(name, now())

    def provider(self, name: ModelName) -> Provider:
        """The provider of a model. Raises ConfigError."""
        try:
            return self.settings.providers[name.provider]
        except KeyError:
            raise ConfigError(f"{name}: no provider is called {name.provider!r}") from None

    def _credential(self, provider: Provider, *, agent: str | None = None) -> Credential | None:
        credential = self.credentials.get(provider, agent=agent)
        if credential is None and provider.needs_key:
            told = " or ".join(provider.key_env) or f"api_key_env of {provider.name}"
            raise ConfigError(
                f"{provider.name}: there is no key for it", remedy=f"set {told}", reason="no_key"
            )
        return credential

    def _source(self, provider: Provider, name: ModelName) -> "tuple[Model, ModelName]":
        """What answers, a provider, a tape or a script; and by which name it is priced."""
        from mechagym.llm.wires import WholeModel, http_client, provider_model

        if provider.name == REPLAY:
            from mechagym.llm.replay import ReplayModel

            player = self.open_tape(name.name)
            return WholeModel(ReplayModel(player)), self._recorded(player) or name
        if provider.name == SCRIPTED:
            from mechagym.llm.scripted import scripted_model

            return WholeModel(scripted_model(name.name)), name
        if provider.name not in self._clients:
            client = http_client(
                provider, self.settings.outgoing, lambda: self.credentials.get(provider)
            )
            self._clients[provider.name] = client
            self._closing.push_async_callback(client.aclose)
        wire_name = self.catalogue.find(name).wire_name
        return provider_model(provider, wire_name, self._clients[provider.name]), name

    def open_tape(self, name: str) -> "Player":
        """A new player of what stands behind `replay:`. Raises ConfigError."""
        player = replace(self._tape(name))
        self._players.append(player)
        return player

    def taped(self, name: ModelName) -> "Exchange | None":
        """How a tape begins; None: this is none, or nothing is on it. Raises ConfigError."""
        exchanges = self._tape(name.name).exchanges if name.provider == REPLAY else []
        return exchanges[0] if exchanges else None

    def _tape(self, name: str) -> "Player":
        from mechagym.llm.player import open_player

        if name not in self._tapes:  # a tape is long, and read once
            self._tapes[name] = open_player(name)
        return self._tapes[name]

    def unplayed(self) -> list[str]:
        """What of the tapes nobody has asked for until now, a line for each tape."""
        from mechagym.llm.player import unplayed

        return unplayed([*self._tapes.values(), *self._players])

    def _recorded(self, player: "Player") -> ModelName | None:
        """The model that a tape is of, where its list price is known."""
        try:
            return self.prices.find(ModelName.of(player.model or ""), now()).model
        except PriceUnknown:
            return None

    def _check_file(self, name: ModelName) -> None:
        """See that a tape or a script is there and can be read. Raises ConfigError."""
        if name.provider == REPLAY:
            self._tape(name.name)
        elif name.provider == SCRIPTED:
            from mechagym.llm.script import read_script, script_file

            if (path := script_file(name.name)) is not None:
                read_script(path)
