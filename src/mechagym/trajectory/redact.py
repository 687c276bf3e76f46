"""Keeps secrets out of everything that is written: by value, in each form a value takes on its way.

A `Redactor` knows the values that we injected and replaces each, and its Base64, URL and JSON
forms, by `[redacted:NAME]`; also the larger part of one, since texts are cut head and tail by many
hands before they are kept. `scan` looks for the shapes of keys nobody told us of; it is
for use before an export.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, AnyStr, Generic
from urllib.parse import quote, quote_plus

from mechagym.errors import ConfigError
from mechagym.records import over_strings
from mechagym.trajectory.words import is_ours

MIN_CHARS = 6
"""A shorter value would be found by chance in honest text."""

PART_CHARS = 12
"""A text may be cut in the middle of a secret: from this length on a part of one is hidden too."""

LINE_CHARS = 16
"""The lines of a secret of several (a private key) are hidden each, from this length on."""


def can_hide(value: str) -> bool:
    """Whether a value can be told from honest text and from the words of our own records."""
    return len(value.strip()) >= MIN_CHARS and not is_ours(value.strip())


class Redactor:
    """Replaces the values of `secrets` (name → value) wherever they stand."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        """Raise ConfigError, naming the secret and never its value, where one cannot be hidden."""
        marks: dict[str, str] = {}
        for name, value in secrets.items():
            if not can_hide(value):
                raise ConfigError(
                    f"secret {name}: a value of fewer than {MIN_CHARS} characters, or a word of our"
                    " own records, cannot be redacted safely",
                    remedy="Use a longer one, or do not declare it as a secret.",
                    reason="secret_too_plain",
                )
            for form in _forms(value):
                marks.setdefault(form, f"[redacted:{_plain(name)}]")
        in_bytes = {form.encode(): mark.encode() for form, mark in marks.items()}
        self._text = _Finder(marks, re.compile("|".join(map(re.escape, _needles(marks)))))
        self._bytes = _Finder(in_bytes, re.compile(b"|".join(map(re.escape, _needles(in_bytes)))))
        self.longest_bytes = max(map(len, in_bytes), default=0)

    def text(self, text: str) -> str:
        """Redact a text; the very same comes back where there is nothing to redact."""
        return self._text.replaced(text)

    def counted(self, text: str) -> tuple[str, int]:
        """Redact a text, and what has the shape of a key too; say how much was redacted."""
        done = _SHAPE.sub(lambda found: f"[redacted:{_rule(found)}]", self.text(text))
        return done, done.count("[redacted:") - text.count("[redacted:")

    def data(self, data: bytes) -> bytes:
        """Redact bytes, whatever they are; the very same come back where nothing is."""
        return self._bytes.replaced(data)

    def value(self, value: Any) -> Any:
        """Redact a JSON value: in its strings only, so that it stays what it is."""
        return over_strings(value, self.text)

    def line(self, line: str) -> str:
        """Redact a JSON text: in its strings only, so that it stays JSON whatever a secret is."""
        if self.text(line) == line:
            return line
        return json.dumps(self.value(json.loads(line)), ensure_ascii=False)

    def stream(self) -> "RedactingStream":
        """Redact bytes that come in pieces."""
        return RedactingStream(self)

    def _split(self, data: bytes, safe: int) -> tuple[bytes, bytes]:
        """Redact what starts before `safe`; return that and the rest."""
        done: list[bytes] = []
        at = 0
        for start, end, mark in self._bytes.find(data):
            if start >= safe:
                break
            done += [data[at:start], mark]
            at = end
        at_least = max(at, safe)
        done.append(data[at:at_least])
        return b"".join(done), data[at_least:]


class _Finder(Generic[AnyStr]):
    """Finds secrets in a text: whole, or the beginning or end of one that was cut in two."""

    def __init__(self, marks: Mapping[AnyStr, AnyStr], pattern: re.Pattern[AnyStr]) -> None:
        """`marks`: what stands for each form; `pattern` finds the needles of all forms."""
        self._marks: Mapping[AnyStr, AnyStr] = marks
        self._pattern: re.Pattern[AnyStr] = pattern
        self._needles: list[AnyStr] = _needles(marks)
        self._heads: dict[AnyStr, list[AnyStr]] = {}
        self._tails: dict[AnyStr, list[AnyStr]] = {}
        for form in marks:
            self._heads.setdefault(form[:PART_CHARS], []).append(form)
            self._tails.setdefault(form[-PART_CHARS:], []).append(form)

    def replaced(self, text: AnyStr) -> AnyStr:
        """The text with marks in it, or itself."""
        done: list[AnyStr] = []
        at = 0
        for start, end, mark in self.find(text):
            done += [text[at:start], mark]
            at = end
        if not done:
            return text
        done.append(text[at:])
        return text[:0].join(done)

    def find(self, text: AnyStr) -> Iterator[tuple[int, int, AnyStr]]:
        """Start, end and mark of each, in order. Nearly every text holds nothing: that is quick."""
        if not any(needle in text for needle in self._needles):
            return
        at = 0
        while found := self._pattern.search(text, at):
            start, at, form = max(
                self._widened(text, found, at), key=lambda span: (span[1] - span[0], -len(span[2]))
            )
            yield start, at, self._marks[form]

    def _widened(
        self, text: AnyStr, found: re.Match[AnyStr], at: int
    ) -> Iterator[tuple[int, int, AnyStr]]:
        """As far as each form goes that the needle is a part of; never back before `at`."""
        start, end = found.span()
        for form in self._heads.get(found[0], ()):
            yield start, start + _shared(text[start : start + len(form)], form), form
        for form in self._tails.get(found[0], ()):
            first = max(at, end - len(form))
            yield end - _shared(text[first:end][::-1], form[::-1]), end, form


class RedactingStream:
    """Redacts across the borders of chunks: what could begin a secret is held back until clear."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk, give what is safe to write."""
        data = self._held + chunk
        safe = max(0, len(data) - max(0, self._redactor.longest_bytes - 1))
        done, self._held = self._redactor._split(data, safe)
        return done

    def through(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """All of a source, redacted."""
        for chunk in chunks:
            yield self.feed(chunk)
        yield self.finish()

    def finish(self) -> bytes:
        """Give what is still held."""
        rest, self._held = self._held, b""
        return self._redactor.data(rest)


def _needles(forms: Iterable[AnyStr]) -> list[AnyStr]:
    """The beginnings and ends that show where a form stands, the longest first."""
    ends = {end for form in forms for end in (form[:PART_CHARS], form[-PART_CHARS:])}
    return sorted(ends, key=len, reverse=True)


def _shared(one: AnyStr, other: AnyStr) -> int:
    """How many characters both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)


def _forms(value: str) -> Iterator[str]:
    lines = (line for line in value.split("\n") if len(line) >= LINE_CHARS)
    for text in dict.fromkeys((value, value.strip(), *lines)):
        yield text
        yield json.dumps(text)[1:-1]
        yield json.dumps(text, ensure_ascii=False)[1:-1]
        for quoted in (quote(text, safe=""), quote(text), quote_plus(text)):
            yield quoted
            yield re.sub("%..", lambda found: found[0].lower(), quoted)
        data = text.encode()
        yield from chain.from_iterable(_base64_forms(data, shift) for shift in range(3))


def _base64_forms(data: bytes, shift: int) -> Iterator[str]:
    """The characters of Base64 that depend on `data` alone, when `shift` bytes stand before it."""
    first = -(-shift * 8 // 6)
    last = (shift + len(data)) * 8 // 6
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(bytes(shift) + data).decode()[first:last]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that looks like a key. `sample` shows its first characters only."""

    rule: str
    start: int
    sample: str


_SHAPES = {
    "anthropic": r"sk-ant-[A-Za-z0-9_-]{16,}",
    "openai": r"sk-(?!ant-)(?:proj-|svcacct-|or-v1-)?[A-Za-z0-9_-]{20,}",
    "aws": r"(?:AKIA|ASIA)[A-Z0-9]{16}",
    "github": r"(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{40,})",
    "google": r"AIza[A-Za-z0-9_-]{35}",
    "huggingface": r"hf_[A-Za-z0-9]{30,}",
    "slack": r"xox[abprs]-[A-Za-z0-9-]{10,}",
    "jwt": r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
    "private-key": r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----",
}
_SHAPE = re.compile(
    "|".join(
        f"(?P<{rule.replace('-', '_')}>(?<![A-Za-z0-9_]){shape})" for rule, shape in _SHAPES.items()
    )
)


def scan(text: str) -> list[Finding]:
    """Find what looks like a key, in order."""
    return [
        Finding(
            rule=_rule(found),
            start=found.start(),
            sample=f"{found[0][:8]}…",
        )
        for found in _SHAPE.finditer(text)
    ]


def hide_shapes(text: str) -> tuple[str, int]:
    """Take out what looks like a key; gives the text and how many there were."""
    return _SHAPE.subn(lambda found: f"[redacted:{_rule(found)}]", text)


def _rule(found: re.Match[str]) -> str:
    return (found.lastgroup or "").replace("_", "-")
