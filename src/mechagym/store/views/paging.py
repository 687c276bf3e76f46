"""Pages of lists that stay whole while rows arrive: each goes on from the keys of the last row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, and_, or_

T = TypeVar("T")
Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """Some rows of a list. `next` are the keys to go on from; None: this is the end."""

    items: tuple[T, ...]
    next: Key | None = None


def page_of(found: Sequence[tuple[T, Key]], limit: int) -> Page[T]:
    """A page from `limit` rows and one more, which only says that there is more."""
    kept = found[:limit]
    more = len(found) > limit
    return Page(items=tuple(item for item, _ in kept), next=kept[-1][1] if more else None)


def below(columns: Sequence[ColumnElement[Any]], keys: Key) -> ColumnElement[bool]:
    """What comes after a row whose keys these are, where all columns fall and none is null."""
    ways = []
    for place, column in enumerate(columns):
        same = [other == key for other, key in zip(columns[:place], keys, strict=False)]
        ways.append(and_(*same, column < keys[place]))
    return or_(*ways)


def above(columns: Sequence[ColumnElement[Any]], keys: Key) -> ColumnElement[bool]:
    """The same where all columns rise."""
    ways = []
    for place, column in enumerate(columns):
        same = [other == key for other, key in zip(columns[:place], keys, strict=False)]
        ways.append(and_(*same, column > keys[place]))
    return or_(*ways)
