"""A request's body as JSON that knows where its top-level values stand, so that one of them can be
replaced and every other byte stays.

A body that two readers could understand differently is refused: a name given twice, no UTF-8.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from mechagym.llm.gateway.refusals import INVALID, TOO_LARGE, Refused
from mechagym.records import Json

MAX_PARTS = 2_000_000
"""Values in one body: 32 MB of brackets and commas would be gigabytes of objects."""

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class Body:
    """One JSON object. `spans` says where in `text` each top-level value stands."""

    raw: bytes
    text: str
    values: Mapping[str, Json]
    spans: Mapping[str, tuple[int, int]]

    def with_values(self, changes: Mapping[str, Json]) -> bytes:
        """The body with these values: replaced where they stand, else put in front."""
        if not changes:
            return self.raw
        text = self.text
        there = [name for name in changes if name in self.spans]
        for name in sorted(there, key=lambda name: self.spans[name], reverse=True):
            start, end = self.spans[name]
            text = text[:start] + json.dumps(changes[name]) + text[end:]
        new = "".join(
            f"{json.dumps(name)}:{json.dumps(value)},"
            for name, value in changes.items()
            if name not in self.spans
        )
        brace = text.index("{") + 1
        return (text[:brace] + new + text[brace:]).encode()


def read_body(raw: bytes) -> Body:
    """Read a body. Raises Refused."""
    if sum(raw.count(sign) for sign in (b"{", b"[", b",")) > MAX_PARTS:
        raise Refused(TOO_LARGE, f"a request's body has at most {MAX_PARTS:,} values")
    try:
        text = raw.decode("utf-8")
        values, spans = _read(text)
    except (ValueError, RecursionError, IndexError) as error:
        raise Refused(INVALID, f"the request's body is no JSON object: {error}") from None
    return Body(raw, text, values, spans)


def _read(text: str) -> tuple[dict[str, Json], dict[str, tuple[int, int]]]:
    values: dict[str, Json] = {}
    spans: dict[str, tuple[int, int]] = {}
    at = _expect(text, 0, "{")
    while text[at] != "}" or values:
        if text[at : at + 1] != '"':
            raise ValueError(f"a name is expected at character {at}")
        name, at = _DECODER.raw_decode(text, at)
        if name in values:
            raise ValueError(f"{name!r} is given twice")
        start = _expect(text, at, ":")
        values[name], end = _DECODER.raw_decode(text, start)
        spans[name] = (start, end)
        at = _skip(text, end)
        if text[at] != ",":
            break
        at = _skip(text, at + 1)
    if _expect(text, at, "}") != len(text):
        raise ValueError("something follows it")
    return values, spans


def _expect(text: str, at: int, sign: str) -> int:
    """Step over a sign and the space around it."""
    at = _skip(text, at)
    if text[at : at + 1] != sign:
        raise ValueError(f"{sign} expected at character {at}")
    return _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
