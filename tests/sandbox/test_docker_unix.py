"""The stream to an engine's socket: cancelled at any moment, broken off, closed under a reader."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import anyio
import pytest

from mechagym.sandbox.docker.unix import UnixStream, connect


@pytest.fixture
def pair() -> Iterator[tuple[UnixStream, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield UnixStream(ours), theirs


async def test_a_cancel_in_the_turn_in_which_data_comes(pair):
    """The event loop has nothing to complain of (the test's runner would raise it), and what came
    is still there.
    """
    stream, theirs = pair
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stream.receive)
        await anyio.wait_all_tasks_blocked()
        asyncio.get_running_loop().call_soon(tasks.cancel_scope.cancel)
        theirs.send(b"data")
    assert await stream.receive() == b"data"


async def test_more_than_fits_goes_through_both_ways(pair):
    stream, theirs = pair
    theirs.setblocking(False)
    data = bytes(3_000_000)
    other = UnixStream(theirs)

    async def echo() -> None:
        with contextlib.suppress(anyio.EndOfStream):
            while True:
                await other.send(await other.receive())
        await other.send_eof()

    async def send() -> None:
        await stream.send(data)
        await stream.send_eof()

    got = bytearray()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(echo)
        tasks.start_soon(send)
        with contextlib.suppress(anyio.EndOfStream):
            while True:
                got += await stream.receive()
    assert got == data


async def test_what_ended_and_what_broke_are_told_apart(pair):
    stream, theirs = pair
    theirs.close()
    with pytest.raises(anyio.EndOfStream):
        await stream.receive()
    with pytest.raises(anyio.BrokenResourceError):
        await stream.send(b"x")
    await stream.send_eof()
    await stream.aclose()
    await stream.aclose()
    with pytest.raises(anyio.ClosedResourceError):
        await stream.receive()


async def test_a_close_wakes_its_reader(pair):
    stream, _ = pair
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_read_until_closed, stream)
        await anyio.wait_all_tasks_blocked()
        await stream.aclose()


async def _read_until_closed(stream: UnixStream) -> None:
    with anyio.fail_after(10), pytest.raises(anyio.ClosedResourceError):
        await stream.receive()


async def test_a_full_queue_is_waited_for_and_a_missing_socket_is_an_error(tmp_path):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(path)
        listener.listen(0)
        first.connect(path)

        async def make_room() -> None:
            await anyio.sleep(0.1)
            listener.accept()[0].close()

        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(make_room)
                await (await connect(path)).aclose()
    with pytest.raises(FileNotFoundError):
        await connect(str(tmp_path / "no"))
