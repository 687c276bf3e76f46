"""Which headers pass, and in whose name: the caller's token stays here, the credential goes out."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime

from mechagym.llm.credentials import TOKEN_HEADER, Credential
from mechagym.llm.gateway.refusals import Headers
from mechagym.llm.providers import Dialect, Provider
from mechagym.records import now

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_OURS = frozenset({b"host", b"content-length", b"accept-encoding", b"expect"})
_CREDENTIALS = frozenset(
    {b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key", TOKEN_HEADER.encode()}
)
_ACCOUNT = frozenset(
    {
        b"cookie",
        b"set-cookie",
        b"openai-organization",
        b"openai-project",
        b"chatgpt-account-id",
        b"anthropic-organization-id",
        b"anthropic-workspace-id",
        b"forwarded",
        b"via",
    }
)
_DROPPED = HOP_BY_HOP | _OURS | _CREDENTIALS | _ACCOUNT
_BETA = b"anthropic-beta"


def outward(
    headers: Headers, *, dialect: Dialect, provider: Provider, credential: Credential | None
) -> Headers:
    """The headers of a request as the provider gets them."""
    named = _named_by_connection(headers)
    kept = [
        (name, value)
        for name, value in headers
        if name not in _DROPPED and name not in named and not name.startswith(b"x-forwarded-")
    ]
    ours = _encoded(provider.headers) + (
        _opening(credential, dialect=dialect) if credential is not None else []
    )
    told = {name for name, _ in ours}
    betas = [value for name, value in (*kept, *ours) if name == _BETA]
    return [
        *((n, v) for n, v in kept if n not in told and n != _BETA),
        *((n, v) for n, v in ours if n != _BETA),
        *([(_BETA, b",".join(betas))] if betas else []),
        (b"accept-encoding", b"identity"),
    ]


def inward(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """The headers of an answer as the caller gets them; its length is told as the provider did."""
    read = [(name.lower(), value) for name, value in headers]
    named = _named_by_connection(read)
    gone = HOP_BY_HOP | _ACCOUNT | named
    return [(name, value) for name, value in read if name not in gone]


def _opening(credential: Credential, *, dialect: Dialect) -> Headers:
    secret = credential.secret.reveal().encode("latin-1")
    if credential.scheme == "api-key" and dialect == "anthropic":
        key = (b"x-api-key", secret)
    else:
        key = (b"authorization", b"Bearer " + secret)
    return [key, *_encoded(credential.headers)]


def _encoded(headers: Mapping[str, str]) -> Headers:
    return [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in headers.items()]


def _named_by_connection(headers: Headers) -> frozenset[bytes]:
    """What a `Connection` header makes hop-by-hop too."""
    values = b",".join(value for name, value in headers if name == b"connection")
    return frozenset(part.strip().lower() for part in values.split(b","))


def retry_after_s(headers: Headers) -> float | None:
    """When a provider wants us again: in milliseconds, in seconds or as a date; None: unsaid."""
    said = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
    with suppress(ValueError):
        if "retry-after-ms" in said:
            return float(said["retry-after-ms"]) / 1000
    after = said.get("retry-after", "")
    with suppress(ValueError):
        return float(after)
    with suppress(ValueError):
        return max(0.0, (parsedate_to_datetime(after) - now()).total_seconds())
    return None
