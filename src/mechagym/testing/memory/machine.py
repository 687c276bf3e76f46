"""The mini machine: a file tree, a table of processes, and commands that run in them."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup

from mechagym.sandbox.base import ExecOptions, ExecResult, Stream
from mechagym.sandbox.capture import Capture
from mechagym.testing.memory.builtins import BUILTINS
from mechagym.testing.memory.files import Tree
from mechagym.testing.memory.kernel import Fds, Program
from mechagym.testing.memory.process import Process, Sink, Text, hold
from mechagym.testing.memory.programs import PROGRAMS
from mechagym.testing.memory.shell import Shell

SIGKILL = 9


class _Tap:
    """One stream of one command: kept and passed on until the command has ended."""

    def __init__(self, stream: Stream, options: ExecOptions) -> None:
        self.capture = Capture(options.limit_bytes)
        self._stream: Stream = stream
        self._tell = options.on_output
        self.open = True

    def take(self, data: bytes) -> None:
        """Keep it, unless it comes from what the command left behind."""
        if self.open and data:
            self.capture.add(data)
            if self._tell is not None:
                self._tell(self._stream, data)


@dataclass(slots=True, eq=False, kw_only=True)
class Machine:
    """One machine. Its processes are tasks of the group."""

    tree: Tree
    tasks: TaskGroup
    workdir: str
    env: dict[str, str]
    user: str
    pids: int
    programs: dict[str, Program] = field(default_factory=lambda: PROGRAMS)
    builtins: dict[str, Program] = field(default_factory=lambda: BUILTINS)
    _table: dict[int, Process] = field(default_factory=dict)
    _next: int = 2

    def processes(self) -> dict[int, Process]:
        """All that live, by pid."""
        return self._table

    def spawn(
        self, parent: Process, body: Callable[[Process], Awaitable[int]], fds: Fds
    ) -> Process:
        """Start a child. Raises OSError at the limit of processes."""
        child = Process(
            pid=self._pid(),
            job=parent.job,
            fds=dict(fds),
            cwd=parent.cwd,
            env=dict(parent.env),
            user=parent.user,
            ignored=parent.ignored,
        )
        return self._started(child, body)

    async def exec(self, argv: Sequence[str], options: ExecOptions) -> ExecResult:
        """Run a command as `Box.exec` says."""
        began = time.monotonic()
        out, err = _Tap("stdout", options), _Tap("stderr", options)
        process = self._first(argv, options, out, err)
        if options.background:
            return ExecResult(exit_code=None, pid=process.pid)
        timed_out = False
        try:
            with anyio.move_on_after(options.timeout_s) as limit:
                await process.done.wait()
            timed_out = limit.cancelled_caught
        finally:
            if not process.done.is_set():
                with anyio.CancelScope(shield=True):
                    await self._kill(process.job)
            out.open = err.open = False
        return ExecResult(
            exit_code=None if timed_out else process.status,
            signal=None if timed_out else process.signal,
            stdout=out.capture.bytes(),
            stderr=err.capture.bytes(),
            stdout_total=out.capture.total,
            stderr_total=err.capture.total,
            timed_out=timed_out,
            duration_s=time.monotonic() - began,
        )

    def _first(self, argv: Sequence[str], options: ExecOptions, out: _Tap, err: _Tap) -> Process:
        pid = self._pid()
        process = Process(
            pid=pid,
            job=pid,
            fds={
                0: (Text(options.stdin or b""), False),
                1: (Sink(out.take), True),
                2: (Sink(err.take), True),
            },
            cwd=options.cwd or self.workdir,
            env={**self.env, **options.env},
            user=options.user or self.user,
        )

        async def body(process: Process) -> int:
            shell = Shell(self, process, ["exec"])
            shell.last = True
            try:
                self.tree.folder(process.cwd)
                return await shell.execute(list(argv))
            except OSError as error:
                await shell.complain(f"{error.filename}: {error.strerror}")
                return 126

        return self._started(process, body)

    def _started(self, process: Process, body: Callable[[Process], Awaitable[int]]) -> Process:
        async def live() -> None:
            try:
                await process.run(body)
            finally:
                self._table.pop(process.pid, None)

        hold(process.fds, 1)
        self._table[process.pid] = process
        self.tasks.start_soon(live)
        return process

    def _pid(self) -> int:
        if len(self._table) >= self.pids:
            raise BlockingIOError(11, "Resource temporarily unavailable", "fork")
        self._next += 1
        return self._next

    async def _kill(self, job: int) -> None:
        """End every process that came from one exec."""
        while members := [p for p in self._table.values() if p.job == job]:
            for process in members:
                process.kill(SIGKILL)
            for process in members:
                await process.done.wait()
