"""Who may ask what: a token stands for one try of one trial, with its models and its ledger.

A token is dead from the moment it is revoked, and what it has under way ends then.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import anyio

from mechagym.llm.calls import Ledger
from mechagym.llm.catalogue import ModelInfo
from mechagym.llm.credentials import TOKEN_HEADER
from mechagym.llm.gateway.refusals import MODEL, TOKEN, Refused
from mechagym.llm.names import ModelName
from mechagym.llm.providers import Dialect

DIALECTS: frozenset[Dialect] = frozenset({"anthropic", "openai-chat", "openai-responses"})
MAX_STREAMS = 32
PREFIX = "mg_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What one try may do. `models` are allowed by their wire names and by `provider:name`.

    `rewrite`: what else a command-line agent asks for, by name or pattern (`claude-haiku-*`), and
    the allowed model that answers instead; the first that fits counts. `public`: the trial's
    network policy is, so that the provider may reach out for it. `agent` may have a login of its
    own.
    """

    trial: str
    models: tuple[ModelName, ...]
    ledger: Ledger
    rewrite: Mapping[str, ModelName] = field(default_factory=dict)
    dialects: frozenset[Dialect] = DIALECTS
    public: bool = False
    max_streams: int = MAX_STREAMS
    agent: str | None = None

    def infos(self) -> list[ModelInfo]:
        """What is known of the allowed models."""
        return [self.ledger.catalogue.find(model) for model in self.models]

    def meant(self, asked: str) -> list[ModelInfo]:
        """The allowed models that a name means here, of one or more providers.

        Raises Refused where it means none.
        """
        infos = self.infos()
        named = [i for i in infos if asked in (i.wire_name, i.id.name, str(i.id))]
        rewritten = next((m for p, m in self.rewrite.items() if fnmatchcase(asked, p)), None)
        if found := named or [info for info in infos if info.id == rewritten]:
            return found
        allowed = ", ".join(str(model) for model in self.models) or "none"
        raise Refused(MODEL, f"model {asked!r} is not allowed in this trial; allowed: {allowed}")


@dataclass(frozen=True, slots=True)
class Token:
    """What the box gets for a key: worth nothing anywhere else."""

    value: str = field(repr=False)


@dataclass(slots=True, eq=False)
class Admitted:
    """A living token: its grant, and the scopes of what it has under way."""

    token: Token
    grant: Grant
    under_way: set[anyio.CancelScope] = field(default_factory=set)
    dead: bool = False


class Grants:
    """All living tokens. They are found by digest, so that looking takes as long for any guess."""

    def __init__(self) -> None:
        self._admitted: dict[bytes, Admitted] = {}

    def add(self, grant: Grant) -> Token:
        """Make a new token."""
        token = Token(PREFIX + secrets.token_urlsafe(32))
        self._admitted[_digest(token.value)] = Admitted(token, grant)
        return token

    def revoke(self, token: Token) -> None:
        """Kill a token and all it has under way; a dead one stays dead."""
        admitted = self._admitted.pop(_digest(token.value), None)
        if admitted is not None:
            admitted.dead = True
            for scope in tuple(admitted.under_way):
                scope.cancel()

    def admit(self, headers: Iterable[tuple[bytes, bytes]]) -> Admitted:
        """Find who asks, by a header that SDKs use or by our own. Raises Refused."""
        for presented in _presented(headers):
            admitted = self._admitted.get(_digest(presented))
            if admitted and hmac.compare_digest(presented, admitted.token.value):
                return admitted
        raise Refused(TOKEN, "no living token of a trial came with this request")


def _presented(headers: Iterable[tuple[bytes, bytes]]) -> list[str]:
    read: Mapping[bytes, Callable[[bytes], bytes]] = {
        b"x-api-key": bytes.strip,
        b"authorization": lambda value: value.removeprefix(b"Bearer").strip(),
        TOKEN_HEADER.encode(): bytes.strip,
    }
    found = [read[name](value) for name, value in headers if name in read]
    return [value.decode("ascii") for value in found if value.isascii()]


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
