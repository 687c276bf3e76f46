"""The tape: what models were asked and what they answered, one exchange a line, without secrets.

The first line is the header. Everything is redacted before it reaches the disk; the header counts
how much was. A tape that can be read stays readable: kinds are never renamed.
"""

import base64
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from mechagym.errors import ConfigError
from mechagym.llm.canonical import key_of, last_user_text, turn_of
from mechagym.records import Json, adapter, from_json, now, over_strings, to_json

VERSION = 1
KEPT_HEADERS = frozenset(
    {
        "content-type",
        "retry-after",
        "retry-after-ms",
        "x-should-retry",
        "request-id",
        "x-request-id",
    }
)
"""The headers of an answer that a tape keeps; no other one is written."""

_DIGITS = 12
"""Room in the header for the count to grow."""

Redact = Callable[[str], tuple[str, int]]
"""Takes the secrets out of a text and says how many they were."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TapeHeader:
    """What a tape is. `redactions` counts the secrets that were taken out.

    `normalise`: patterns whose matches count for nothing when requests are compared.
    """

    version: int = VERSION
    recorded_at: datetime = field(default_factory=now)
    redactions: int = 0
    normalise: tuple[str, ...] = ()
    kind: Literal["tape"] = "tape"

    @property
    def patterns(self) -> tuple[re.Pattern[str], ...]:
        """The patterns, ready for use."""
        return tuple(map(re.compile, self.normalise))


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A piece of an answer's body and when it came. `base64`: it is no text by itself."""

    ms: float
    text: str | None = None
    base64: str | None = None

    @classmethod
    def of(cls, data: bytes, ms: float) -> "Chunk":
        """Keep bytes as text where they are text."""
        try:
            return cls(ms=ms, text=data.decode())
        except UnicodeDecodeError:
            return cls(ms=ms, base64=base64.b64encode(data).decode())

    @property
    def data(self) -> bytes:
        """The bytes as they came."""
        if self.base64 is not None:
            return base64.b64decode(self.base64)
        return (self.text or "").encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelExchange:
    """One exchange of an agent in our process: `response` is the library's own."""

    key: str
    model: str
    request: Json
    response: Json
    total_ms: float = 0.0
    kind: Literal["model"] = "model"

    @property
    def dialect(self) -> str:
        """In which words it was asked."""
        return "library"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpExchange:
    """One exchange through the gateway, to the byte. `request` is canonical."""

    key: str
    dialect: str
    path: str
    model: str
    request: Json
    status: int
    headers: Mapping[str, str]
    chunks: tuple[Chunk, ...]
    kind: Literal["http"] = "http"

    @property
    def body(self) -> bytes:
        """The whole body of the answer."""
        return b"".join(chunk.data for chunk in self.chunks)


Exchange = ModelExchange | HttpExchange


class TapeWriter:
    """Writes a new tape; each exchange is on the disk when `add` returns."""

    def __init__(self, path: Path, redact: Redact, *, normalise: Iterable[str] = ()) -> None:
        """Raise ConfigError: the file is there already, cannot be made, or a pattern is none."""
        self._header = TapeHeader(normalise=tuple(normalise))
        try:
            self.patterns = self._header.patterns
        except re.error as error:
            raise ConfigError(f"normalise: {error.pattern!r} is no pattern: {error}") from error
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        try:
            self._file = os.fdopen(os.open(path, flags, 0o600), "wb", buffering=0)
        except OSError as error:
            remedy = "name a file that is not there yet"
            raise ConfigError(
                f"{path}: no tape can be made here: {error}", remedy=remedy
            ) from error
        self._redact = redact
        self._header_bytes = len(to_json(self._header).encode()) + _DIGITS
        self._file.write(self._first_line())

    def add(self, exchange: Exchange) -> None:
        """Append one exchange, without its secrets."""
        before = self._header.redactions
        clean = self._clean(asdict(_joined_if_secret(exchange, self._redact)))
        self._file.write(json.dumps(clean, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
        if self._header.redactions != before:
            os.pwrite(self._file.fileno(), self._first_line(), 0)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _first_line(self) -> bytes:
        """The header: always as long, so that its count can be written anew."""
        return to_json(self._header).encode().ljust(self._header_bytes) + b"\n"

    def _clean(self, value: Json) -> Json:
        count = 0

        def clean(text: str) -> str:
            nonlocal count
            text, found = self._redact(text)
            count += found
            return text

        cleaned = over_strings(value, clean)
        self._header = replace(self._header, redactions=self._header.redactions + count)
        return cleaned


def read_tape(path: Path) -> tuple[TapeHeader, list[Exchange]]:
    """Read a tape whole. A last line that was cut off is left out.

    Raises ConfigError, naming the line.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise ConfigError(f"{path}: the tape cannot be read: {error}") from error
    try:
        header = from_json(TapeHeader, lines[0])
    except ValueError as error:
        raise ConfigError(f"{path}: this is no tape") from error
    if header.version > VERSION:
        raise ConfigError(f"{path}: a tape of version {header.version}; we read up to {VERSION}")
    exchanges: list[Exchange] = []
    for number, line in enumerate(lines[1:-1], start=2):
        try:
            exchanges.append(_exchanges().validate_json(line))
        except ValueError as error:
            raise ConfigError(f"{path}:{number}: no exchange of a tape: {error}") from error
    return header, exchanges


def same_turn(exchange: Exchange) -> tuple[str, int, str]:
    """What a lenient player goes by where no key fits: dialect, turn, the user's last words."""
    return exchange.dialect, turn_of(exchange.request), last_user_text(exchange.request)


def http_exchange(
    *, dialect: str, path: str, model: str, request: Json, answer: tuple[int, Mapping[str, str]]
) -> HttpExchange:
    """An exchange of the gateway without its body yet; `answer` is its status and headers."""
    status, headers = answer
    kept = {k.lower(): v for k, v in headers.items() if k.lower() in KEPT_HEADERS}
    return HttpExchange(
        key=key_of(request),
        dialect=dialect,
        path=path,
        model=model,
        request=request,
        status=status,
        headers=kept,
        chunks=(),
    )


def _exchanges() -> Any:
    from pydantic import Field

    return adapter(Annotated[Exchange, Field(discriminator="kind")])


def _joined_if_secret(exchange: Exchange, redact: Redact) -> Exchange:
    """An answer with a secret in it as one chunk, since the secret may lie across two."""
    if isinstance(exchange, ModelExchange):
        return exchange
    text = exchange.body.decode("utf-8", "replace")
    if not redact(text)[1]:
        return exchange
    return replace(exchange, chunks=(Chunk(ms=exchange.chunks[-1].ms, text=text),))


def chunks_of(pieces: Iterable[tuple[bytes, float]]) -> tuple[Chunk, ...]:
    """The pieces of a body with their milliseconds, as a tape keeps them."""
    return tuple(Chunk.of(data, ms) for data, ms in pieces)
