"""The stdio of a process in a box as three pipes: the channel that lanes speak over."""

import os
import select
from contextlib import suppress

import anyio

from mechagym.sandbox.base import Stream

CHUNK = 65_536


class Pipes:
    """Our ends (a `lanes.Channel`); `theirs` are given to the process and then closed by
    `handed_over`.

    Both outputs stand in one epoll, so that one wait serves two pipes and nothing is read ahead.
    """

    def __init__(self) -> None:
        stdin, self._write = os.pipe()
        self._stdout, stdout = os.pipe()
        self._stderr, stderr = os.pipe()
        self.theirs = [stdin, stdout, stderr]
        self._streams: dict[int, Stream] = {self._stdout: "stdout", self._stderr: "stderr"}
        self._ready = select.epoll()
        self._stdin_open = True
        self._closed = False
        for ours in (self._write, *self._streams):
            os.set_blocking(ours, False)
        for descriptor in self._streams:
            self._ready.register(descriptor, select.EPOLLIN)

    def handed_over(self) -> None:
        """Close our copies of the ends that the process has now."""
        while self.theirs:
            os.close(self.theirs.pop())

    async def send(self, data: bytes) -> None:
        """Write all. Raises BrokenResourceError where nobody reads any more."""
        view = memoryview(data)
        while view:
            if not self._stdin_open:
                raise anyio.ClosedResourceError
            try:
                view = view[os.write(self._write, view) :]
            except BlockingIOError:
                await anyio.wait_writable(self._write)
            except OSError as error:
                raise anyio.BrokenResourceError from error

    async def send_eof(self) -> None:
        """Close the process's stdin."""
        if self._stdin_open:
            self._stdin_open = False
            os.close(self._write)

    async def receive(self) -> tuple[Stream, bytes]:
        """Read what comes next of either output. Raises EndOfStream when both have ended."""
        while True:
            if self._closed:
                raise anyio.ClosedResourceError
            if not self._streams:
                raise anyio.EndOfStream
            for descriptor, _ in self._ready.poll(0):
                data = self._read(descriptor)
                if data:
                    return self._streams[descriptor], data
                if data is not None:
                    self._ready.unregister(descriptor)
                    del self._streams[descriptor]
            if self._streams and not self._ready.poll(0):
                await anyio.wait_readable(self._ready.fileno())

    async def aclose(self) -> None:
        """Close our ends."""
        self.close()

    def close(self) -> None:
        """Close our ends; again is no error."""
        if self._closed:
            return
        self._closed = True
        self.handed_over()
        if self._stdin_open:
            self._stdin_open = False
            os.close(self._write)
        anyio.notify_closing(self._ready.fileno())
        self._ready.close()
        for descriptor in (self._stdout, self._stderr):
            os.close(descriptor)

    @staticmethod
    def _read(descriptor: int) -> bytes | None:
        with suppress(BlockingIOError):
            return os.read(descriptor, CHUNK)
        return None
