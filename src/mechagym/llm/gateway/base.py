"""The seam behind the gateway: whoever answers a call, a provider over the network or a tape."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from mechagym.llm.faults import Fault
from mechagym.llm.gateway.refusals import Headers
from mechagym.llm.names import ModelName
from mechagym.llm.providers import Dialect, Provider


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbound:
    """A request as it leaves: `path` is the caller's, `url` where it goes.

    `free`: no model works for it, tokens are counted.
    """

    model: ModelName
    provider: Provider
    dialect: Dialect
    path: str
    url: str
    headers: Headers
    body: bytes
    stream: bool = False
    free: bool = False


class UpstreamError(Exception):
    """No answer, or no more of it; `fault` says whether the request was sent."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class Answer(Protocol):
    """The head of an answer, and its body as it comes."""

    @property
    def status(self) -> int: ...  # noqa: D102

    @property
    def headers(self) -> Headers: ...  # noqa: D102

    def chunks(self) -> AsyncIterator[bytes]:
        """The body, byte for byte, in the pieces in which it comes. Raises UpstreamError."""
        ...


class Upstream(Protocol):
    """Who answers."""

    def send(self, outbound: Outbound) -> AbstractAsyncContextManager[Answer]:
        """Send a request once; leaving the context gives up what has not come yet.

        Raises UpstreamError.
        """
        ...
