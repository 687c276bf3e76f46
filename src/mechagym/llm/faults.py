"""What went wrong with one try of a call: how often it is worth trying, and who keeps the hold.

The table of retries, for both doors. A hold is released only where the provider cannot have worked
for us; in doubt it is settled, since what may be billed counts as spent.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

FaultKind = Literal[
    "rate_limited",
    "unavailable",
    "not_sent",
    "server",
    "lost",
    "empty",
    "undecodable",
    "unauthorised",
    "quota",
    "rejected",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How many tries in all, and whether the hold of a failed one is given back."""

    tries: int
    released: bool


RULES: Mapping[FaultKind, Rule] = {
    "rate_limited": Rule(tries=6, released=True),
    "unavailable": Rule(tries=6, released=True),
    "not_sent": Rule(tries=6, released=True),
    "server": Rule(tries=4, released=True),
    "lost": Rule(tries=3, released=False),
    "empty": Rule(tries=3, released=False),
    "undecodable": Rule(tries=2, released=False),
    "unauthorised": Rule(tries=1, released=True),  # one more where the key can be read again
    "quota": Rule(tries=1, released=True),
    "rejected": Rule(tries=1, released=True),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One failed try. `error` is the class of who reported it, `message` is for a person.

    `may_retry` False: the provider said that trying again is of no use.
    """

    kind: FaultKind
    message: str
    error: str = ""
    status: int | None = None
    retry_after_s: float | None = None
    may_retry: bool = True

    @property
    def tries(self) -> int:
        """How many tries in all this kind is worth."""
        return RULES[self.kind].tries if self.may_retry else 1

    @property
    def released(self) -> bool:
        """Whether the hold of this try is given back."""
        return RULES[self.kind].released


def kind_of_status(status: int) -> FaultKind:
    """What an HTTP status from a provider means."""
    match status:
        case 429:
            return "rate_limited"
        case 503 | 529:
            return "unavailable"
        case 401:
            return "unauthorised"
        case 402:
            return "quota"
        case 408 | 409:
            return "server"
        case _:
            return "server" if status >= 500 else "rejected"


class TryFailed(Exception):
    """A try that failed in our own eyes, within the wrappers; who retries tells the caller."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


def fault_of(error: BaseException) -> Fault | None:
    """Read what a call was left by; None where that is no failed try."""
    if isinstance(error, TryFailed):
        return error.fault
    from pydantic_ai import exceptions as library

    if isinstance(error, library.ModelAPIError | library.UnexpectedModelBehavior):
        return read_fault(error)
    return None


def read_fault(error: Exception) -> Fault:
    """Read an error of the model library, or our own about a try."""
    if isinstance(error, TryFailed):
        return error.fault
    hint = getattr(error, "provider_retry_hint", None)
    return Fault(
        kind=_kind_of(error),
        error=type(error).__name__,
        message=_said(error),
        status=getattr(error, "status_code", None),
        retry_after_s=getattr(error, "retry_after", None),
        may_retry=hint is not False,
    )


def _said(error: Exception) -> str:
    """Its words, and where a connection failed also why: libraries say that one below."""
    from pydantic_ai import exceptions as library

    said = str(error)
    if not isinstance(error, library.ModelConnectionError):
        return said
    why = next((str(cause) for cause in _causes(error) if str(cause) not in ("", said)), "")
    return f"{said.removesuffix('.')}: {why}" if why else said


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause = error.__cause__
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _kind_of(error: Exception) -> FaultKind:
    import httpx2
    from pydantic_ai import exceptions as library

    match error:
        case library.ModelQuotaExceededError():
            return "quota"
        case library.ModelRateLimitError():
            return "rate_limited"
        case library.ModelUnavailableError():
            return "unavailable"
        case library.ModelHTTPError(status_code=status):
            return kind_of_status(status)
        case library.ModelServerError():
            return "server"
        case library.ModelConnectionError(phase="pool" | "connect"):
            return "not_sent"
        case library.ModelConnectionError() if any(
            isinstance(cause, httpx2.ProxyError) for cause in _causes(error)
        ):
            return "not_sent"  # the proxy did not let us through
        case library.ModelConnectionError() | library.ModelRequestTimeout():
            return "lost"
        case library.ModelRequestRejectedError() | library.ContentFilterError():
            return "rejected"
        case _:
            return "undecodable"
