"""Reads along with an answer that is passed on: its usage, why it ended, whether it was whole.

It may fail, and then the call is unmeasured; it never keeps more than a bounded part, and never
holds the answer up.
"""

import json
import re
from collections.abc import Mapping

from mechagym.llm.providers import Dialect
from mechagym.llm.usage import UsageSoFar
from mechagym.records import Json, Usage

KEPT_BYTES = 256 * 1024
TAIL_BYTES = 64 * 1024

_TELLING = re.compile(rb'"usage"\s*:\s*\{|"(?:finish|stop)_reason"\s*:\s*"|"type"\s*:\s*"error"')
_USAGE = re.compile(rb'"usage"\s*:\s*(?=\{)')
_ENDS = ("response.completed", "response.incomplete", "response.failed")


class Tee:
    """The reader of one answer. `finish`: why the model stopped, in the provider's word."""

    def __init__(self, dialect: Dialect, *, stream: bool) -> None:
        self.finish: str | None = None
        self._dialect = dialect
        self._stream = stream
        self._usage = UsageSoFar(dialect)
        self._kept = bytearray()
        self._cut = False

    def saw(self, chunk: bytes) -> None:
        """Read a chunk that was passed on."""
        self._kept += chunk
        if self._stream:
            *lines, rest = self._kept.split(b"\n")
            if lines:
                for line in lines:
                    self._line(line)
                    self._cut = False
                self._kept = rest
        if len(self._kept) > KEPT_BYTES:
            self._cut = True
            del self._kept[:-TAIL_BYTES]

    def ended(self) -> None:
        """Read what is left: the answer is over."""
        if self._stream:
            self._line(self._kept)
        else:
            self._read(bytes(self._kept))
        self._kept = bytearray()

    @property
    def usage(self) -> Usage | None:
        """What the whole answer used; None where it was not said, or the end did not come."""
        return self._usage.usage if self.finish is not None else None

    def _line(self, line: bytearray) -> None:
        if (self._cut or line.startswith(b"data:")) and _TELLING.search(line):
            self._read(bytes(line.removeprefix(b"data:")))

    def _read(self, text: bytes) -> None:
        try:
            event = _tail(text) if self._cut else json.loads(text)
            self._usage.saw({"response": event} if self._is_response(event) else event)
            self.finish = self._finish(event) or self.finish
        except (ValueError, RecursionError, LookupError, AttributeError, TypeError):
            return  # what cannot be read is not measured

    def _is_response(self, event: Mapping[str, Json]) -> bool:
        """Whether this is a response itself, and not an event with one in it."""
        return self._dialect == "openai-responses" and "response" not in event

    def _finish(self, event: Mapping[str, Json]) -> str | None:
        found: Json
        match self._dialect:
            case "anthropic":
                found = event.get("delta", event).get("stop_reason")
            case "openai-chat":
                choices = event.get("choices") or [{}]
                found = choices[0].get("finish_reason")
            case "openai-responses":
                found = _ended(event)
        return found if isinstance(found, str) else None


def _ended(event: Mapping[str, Json]) -> Json:
    """The state of a response that is over."""
    response = event.get("response", event)
    over = event.get("type") in _ENDS or event.get("object") == "response" or "cut" in event
    return response.get("status", "cut") if over else None


def _tail(text: bytes) -> Json:
    """What the last part of a long answer says of its usage; it stands near the end."""
    places = [found.end() for found in _USAGE.finditer(text)]
    usage, _ = json.JSONDecoder().raw_decode(text[places[-1] :].decode(errors="replace"))
    return {
        "usage": usage,
        "cut": True,
        "stop_reason": "cut",
        "choices": [{"finish_reason": "cut"}],
    }
