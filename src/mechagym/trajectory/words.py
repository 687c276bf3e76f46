"""The words that our own records are made of: names of fields, kinds of events, outcomes.

A value among them is no secret that redaction could hide: it would stand in every file all the
same, and to replace it would make the records unreadable.
"""

from collections.abc import Iterator
from functools import cache

from mechagym.events import EventBody
from mechagym.records import Json, adapter


def is_ours(text: str) -> bool:
    """Whether a text is one of our words or a part of one."""
    return text in _vocabulary()


@cache
def _vocabulary() -> str:
    return "\n".join(sorted(set(_words(adapter(EventBody).json_schema()))))


def _words(schema: Json) -> Iterator[str]:
    match schema:
        case dict():
            yield from schema.get("properties", ())
            yield from (str(word) for word in schema.get("enum", ()))
            yield str(schema.get("const", ""))
            for part in schema.values():
                yield from _words(part)
        case list():
            for part in schema:
                yield from _words(part)
