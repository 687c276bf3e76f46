"""Locks between processes, on files: each ends with its process, however that ends."""

import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio

_PAUSE_S = 0.02


@asynccontextmanager
async def alone(path: Path) -> AsyncIterator[None]:
    """Hold a lock that nobody else holds, waiting for it; its file is made if absent."""
    descriptor = await _waited(path, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


@asynccontextmanager
async def together(path: Path) -> AsyncIterator[None]:
    """Hold a lock that others may hold at the same time, waiting while somebody is `alone`."""
    descriptor = await _waited(path, fcntl.LOCK_SH)
    try:
        yield
    finally:
        os.close(descriptor)


@asynccontextmanager
async def in_use(path: Path) -> AsyncIterator[bool]:
    """Keep the thing that a file stands for from being removed (see `unused`).

    False where there is no such file, or where it was removed while this waited for it.
    """
    with _opened(path) as descriptor:
        if descriptor is not None:
            await _until_taken(descriptor, fcntl.LOCK_SH)
        yield _is_there(descriptor)


@contextmanager
def unused(path: Path) -> Iterator[bool]:
    """Be alone with the thing that a file stands for, to remove it and then its file.

    False, at once, where somebody uses it, or where it is gone.
    """
    with _opened(path) as descriptor:
        is_free = descriptor is not None and _taken(descriptor, fcntl.LOCK_EX)
        yield is_free and _is_there(descriptor)


@contextmanager
def _opened(path: Path) -> Iterator[int | None]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_there(descriptor: int | None) -> bool:
    return descriptor is not None and os.fstat(descriptor).st_nlink > 0


async def _waited(path: Path, how: int) -> int:
    """An open, locked file, for the caller to close."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        await _until_taken(descriptor, how)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


async def _until_taken(descriptor: int, how: int) -> None:
    while not _taken(descriptor, how):  # noqa: ASYNC110 – the holder may be another process
        await anyio.sleep(_PAUSE_S)


def _taken(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
