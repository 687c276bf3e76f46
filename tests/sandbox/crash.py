"""Controllers to be killed. Each is forked from a process that has everything imported, so that a
round takes what it tests and not the start of an interpreter.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import anyio


class Controllers:
    """Forks controllers of one driver."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._turn = threading.Lock()

    @contextmanager
    def one(self, *args: object) -> Iterator[int]:
        """A controller, just begun; its pid. It is killed at the end at the latest."""
        lines, words = self._process.stdin, self._process.stdout
        assert lines is not None
        assert words is not None
        with self._turn:
            lines.write(json.dumps(args).encode() + b"\n")
            lines.flush()
            word, _, pid = words.readline().decode().partition(" ")
        assert word == "ready", self._process.returncode
        try:
            yield int(pid)
        finally:
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


@contextmanager
def controllers(driver: Path) -> Iterator[Controllers]:
    """Start a driver, a module that calls `serve`."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    pipe = subprocess.PIPE
    argv = [sys.executable, str(driver)]
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, env=env) as process:
        yield Controllers(process)


def is_alive(pid: int) -> bool:
    """Whether a controller still is there."""
    return Path(f"/proc/{pid}").is_dir()


def serve(main: Callable[..., Awaitable[None]]) -> None:
    """Fork a controller that runs `main` for each line of arguments."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            anyio.run(main, *json.loads(line))
            os._exit(0)
