"""What a named query is given, and what it may hand back beside its answer."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import Connection, func, select

from mechagym.store.blobs import Blobs
from mechagym.store.tables import events

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A consistent snapshot of the store, for as long as one query function runs."""

    connection: Connection
    blobs: Blobs


@dataclass(frozen=True, slots=True, kw_only=True)
class At(Generic[T]):
    """An answer, and the position up to which it knows everything: whoever goes on from there
    misses nothing and sees nothing twice.
    """

    position: int
    value: T


def position(reading: Reading) -> int:
    """The position of the newest event; 0 without any."""
    return reading.connection.execute(select(func.max(events.c.position))).scalar() or 0
