"""What an input file holds, from its first bytes: format, shape and a sample. Pure.

The shape says what a test wants to know: rows, columns, keys, events, ranges. A file that is not
what its name says is told as text or by its type.
"""

import csv
import io
import json
import re
import sqlite3
import tomllib
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from xml.parsers import expat

import yaml

SAMPLE_CHARS = 600
_SQLITE = b"SQLite format 3\x00"
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (_SQLITE, "sqlite"),
    (b"\x89PNG", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"%PDF", "pdf"),
    (b"PK\x03\x04", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"\x7fELF", "elf"),
    (b"GIF8", "gif"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ", "xz"),
)
_SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".toml": "toml",
    ".ics": "ics",
    ".xml": "xml",
    ".html": "html",
    ".htm": "html",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The beginning of a file, and how long all of it is."""

    path: str
    head: bytes
    size_bytes: int

    @property
    def whole(self) -> bool:
        """Whether nothing is cut."""
        return len(self.head) >= self.size_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What was seen in it."""

    format: str
    shape: str
    sample: str


def read_facts(file: Opened) -> Read:
    """Say what a file is. Nothing that a file holds makes it fail."""
    for magic, name in _MAGIC:
        if file.head.startswith(magic):
            shape = _sqlite(file) if name == "sqlite" else f"{file.size_bytes} bytes"
            return Read(format=name, shape=shape, sample="")
    text, encoding = _decoded(file)
    if text is None:
        return Read(format="binary", shape=f"{file.size_bytes} bytes", sample="")
    wanted = _SUFFIXES.get(PurePosixPath(file.path).suffix.lower(), "")
    reader = _READERS.get(wanted)
    told = _tried(reader, text, whole=file.whole) if reader else None
    if told is None:
        wanted, told = "text", _text(text)
    cut = "" if file.whole else f", first {len(file.head)} of {file.size_bytes} bytes"
    return Read(format=wanted, shape=f"{told}, {encoding}{cut}", sample=text[:SAMPLE_CHARS])


def _decoded(file: Opened) -> tuple[str | None, str]:
    if b"\x00" in file.head:
        return None, ""
    head = file.head if file.whole else file.head.rpartition(b"\n")[0] or file.head
    for encoding, told in (("utf-8-sig", "UTF-8"), ("cp1252", "Latin-1"), ("latin-1", "Latin-1")):
        try:
            text = head.decode(encoding)
        except UnicodeDecodeError:
            continue
        bom = " with BOM" if head.startswith(b"\xef\xbb\xbf") else ""
        return text, "ASCII" if told == "UTF-8" and text.isascii() else told + bom
    return None, ""


Reader = Callable[[str, bool], str | None]


def _tried(reader: Reader, text: str, *, whole: bool) -> str | None:
    """The shape; None where the file is not what its name says."""
    try:
        return reader(text, whole)
    except (ValueError, csv.Error, yaml.YAMLError, expat.ExpatError, RecursionError):
        return None


def _table(text: str, delimiter: str) -> str | None:
    rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row]
    if not rows:
        return "empty"
    header, body = rows[0], rows[1:]
    ranges = [_range(name, [row[i] for row in body if i < len(row)])
              for i, name in enumerate(header[:20])]  # fmt: skip
    known = [told for told in ranges if told]
    told = f"; {', '.join(known)}" if known else ""
    uneven = sum(len(row) != len(header) for row in body)
    odd = f"; {uneven} rows of another length" if uneven else ""
    return f"{len(body)} rows, columns {', '.join(header[:20])} (by {delimiter!r}){told}{odd}"


def _range(name: str, values: Sequence[str]) -> str:
    """Where all values are numbers, their range."""
    try:
        numbers = [float(value) for value in values if value.strip()]
    except ValueError:
        return ""
    return f"{name} {min(numbers):g}..{max(numbers):g}" if numbers else ""


def _csv(text: str, _whole: bool) -> str | None:
    first = text.split("\n", 1)[0]
    return _table(text, max(",;\t|", key=first.count))


def _tsv(text: str, _whole: bool) -> str | None:
    return _table(text, "\t")


def _json(text: str, whole: bool) -> str | None:
    if whole:
        return _value(json.loads(text))
    keys = list(dict.fromkeys(re.findall(r'"([^"\\\n]{1,60})"\s*:', text)))
    return f"JSON with keys {', '.join(keys[:30])}"


def _jsonl(text: str, _whole: bool) -> str | None:
    lines = text.splitlines()
    rows = [json.loads(line) for line in lines if line.strip()]
    keys = list(dict.fromkeys(key for row in rows if isinstance(row, dict) for key in row))
    blank = sum(not line.strip() for line in lines)
    told = f", {blank} blank lines" if blank else ""
    return f"{len(rows)} rows, keys {', '.join(map(str, keys[:30]))}{told}"


def _yaml(text: str, whole: bool) -> str | None:
    if not whole:
        return _text(text)
    documents = list(yaml.safe_load_all(text))
    return _value(documents[0] if len(documents) == 1 else documents)


def _toml(text: str, _whole: bool) -> str | None:
    return _value(tomllib.loads(text))


def _value(value: Any) -> str:
    """A tree of values: its kind, its keys, and how many of each list."""
    match value:
        case dict():
            inner = [
                f"{key}: {len(item)} items{_keys_of(item)}" if isinstance(item, list) else str(key)
                for key, item in list(value.items())[:30]
            ]
            return f"object with {len(value)} keys: {', '.join(inner)}"
        case list():
            return f"list of {len(value)} items{_keys_of(value)}"
        case _:
            return f"one {type(value).__name__}"


def _keys_of(items: Sequence[Any]) -> str:
    keys = list(dict.fromkeys(str(key) for item in items if isinstance(item, dict) for key in item))
    return f" (keys {', '.join(keys[:20])})" if keys else ""


def _ics(text: str, _whole: bool) -> str | None:
    if "BEGIN:VCALENDAR" not in text:
        return None
    events = text.count("BEGIN:VEVENT")
    starts = sorted(re.findall(r"^DTSTART[^:\n]*:(\S+)", text, re.MULTILINE))
    todos, rules = text.count("BEGIN:VTODO"), text.count("RRULE")
    span = f", from {starts[0]} to {starts[-1]}" if starts else ""
    return f"{events} events{span}, {rules} recurrence rules, {todos} todos"


def _xml(text: str, whole: bool) -> str | None:
    counts: dict[str, int] = {}
    attributes: dict[str, None] = {}

    def begin(tag: str, attrs: Mapping[str, str]) -> None:
        counts[tag] = counts.get(tag, 0) + 1
        attributes.update(dict.fromkeys(attrs))

    parser = expat.ParserCreate()
    parser.StartElementHandler = begin
    parser.Parse(re.sub(r"^<\?xml[^>]*\?>", "", text), whole)
    told = ", ".join(f"{count} <{tag}>" for tag, count in list(counts.items())[:20])
    return f"{told}; attributes {', '.join(list(attributes)[:20])}" if attributes else told


def _html(text: str, _whole: bool) -> str | None:
    tags = re.findall(r"<([a-zA-Z][\w-]*)", text)
    if not tags:
        return None
    counts = {tag: tags.count(tag) for tag in dict.fromkeys(map(str.lower, tags))}
    ids = re.findall(r'\bid="([^"]+)"', text)
    told = ", ".join(f"{count} <{tag}>" for tag, count in list(counts.items())[:20])
    return f"{told}; ids {', '.join(ids[:20])}" if ids else told


def _text(text: str) -> str:
    lines = text.splitlines()
    return f"{len(lines)} lines, longest {max(map(len, lines), default=0)} characters"


def _sqlite(file: Opened) -> str:
    """The schema; and how many rows, where the whole file is at hand and sound."""
    try:
        with closing(sqlite3.connect(":memory:")) as database:
            database.deserialize(file.head)
            database.execute("PRAGMA trusted_schema = OFF")
            rows = database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'")
            tables = [(name, sql or "") for name, sql in rows.fetchall()]
            told = [f"{' '.join(sql.split())} ({_count(database, name)})" for name, sql in tables]
    except sqlite3.Error as error:
        found = re.findall(rb"CREATE (?:TABLE|VIEW)[^\x00]{1,400}?\)", file.head, re.IGNORECASE)
        told = [" ".join(sql.decode("utf-8", "replace").split()) for sql in found]
        return f"{'; '.join(told) or 'no schema'} (SQLite says: {error})"
    return "; ".join(told) or "no tables"


def _count(database: sqlite3.Connection, table: str) -> str:
    quoted = table.replace('"', '""')
    try:
        (count,) = database.execute(f'SELECT count(*) FROM "{quoted}"').fetchone()  # noqa: S608
    except sqlite3.Error as error:
        return str(error)
    return f"{count} rows"


_READERS: Mapping[str, Reader] = {
    "csv": _csv,
    "tsv": _tsv,
    "json": _json,
    "jsonl": _jsonl,
    "yaml": _yaml,
    "toml": _toml,
    "ics": _ics,
    "xml": _xml,
    "html": _html,
}
