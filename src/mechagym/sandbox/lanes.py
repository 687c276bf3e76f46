"""How commands run in a box: on *lanes*, shells as old as the box that are fed over their stdin.

One command at a time runs on a lane; a second one takes a further lane of the same user. A backend
only says how to start a program in the box with piped stdio (`Spawn`). The invariants:

- an exec ends when its own command ends; a process left behind that still holds the lane's output
  makes the lane *retired*: read and thrown away until the box closes, so that it never mixes with
  later output and the process gets no SIGPIPE;
- after a timeout or a cancel no process of the command is alive (`processes.kill_tree`, by the
  control lane, which is a shell of root's that exists before anything else could eat all pids);
- what cannot run on a lane (stdin, `fallback`, a lane that cannot be had) runs in a shell of its
  own, by the same text and the same reader.

PID 1 of the box must not be a lane: what a command leaves behind must not become a lane's child.
"""

import contextlib
import secrets
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import anyio

from mechagym.errors import BoxDied, ImageError, SandboxError
from mechagym.sandbox import shell
from mechagym.sandbox.base import ExecOptions, ExecResult
from mechagym.sandbox.capture import Taps
from mechagym.sandbox.control import Control
from mechagym.sandbox.lane import OPEN_S, Channel, Lane, LaneLost, Machine, Shells, Spawn
from mechagym.sandbox.proc import Process, descendants
from mechagym.sandbox.processes import kill_tree

__all__ = ["Channel", "LanePool", "Machine", "Spawn"]

KILL_S = 5.0
SETTLE_S = 2.0
AGAIN_S = 0.1
_KILLED = 128 + 9
_BY_SIGNAL = range(129, 129 + 64)


class LanePool:
    """The lanes of one box, owned by `async with`. `processes`: the box's process table."""

    def __init__(self, machine: Machine, main: Channel | None = None) -> None:
        """`main`: the stdio of a shell that runs already and whose end is the box's end."""
        self._shells = Shells(machine)
        self._machine = machine
        self._main = main
        self._idle: list[Lane] = []
        self._tasks = anyio.create_task_group()
        self._guarded = anyio.Event()
        self.processes = Control(self._shells)

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        try:
            if self._main is not None:
                with anyio.fail_after(OPEN_S):
                    lane = Lane(channel=self._main, user=None, main=True)
                    self._idle.append(await self._shells.adopt(lane))
            self._tasks.start_soon(self._guard)
        except BaseException as error:
            await self.__aexit__(None, None, None)
            if isinstance(error, LaneLost | TimeoutError):
                raise _no_shell(str(error)) from error
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        self._tasks.cancel_scope.cancel()
        try:
            return await self._tasks.__aexit__(kind, error, trace)
        finally:
            for lane in list(self._shells.lanes):
                await self._shells.close(lane)

    async def exec(self, argv: Sequence[str], options: ExecOptions | None = None) -> ExecResult:
        """Run a command as `Box.exec` says. Raises BoxDied, SandboxError."""
        options = options or ExecOptions()
        words = [*argv, options.cwd or "", *options.env, *options.env.values()]
        if not argv or any("\0" in word for word in words):
            raise ValueError("a command needs a word, and no word can hold a NUL byte")
        await self._guarded.wait()
        ways = [False, True] if not options.fallback and options.stdin is None else [True]
        for once in ways:
            try:
                lane = await self._take(options.user, once=once)
                return await self._run(lane, argv, options)
            except LaneLost:
                continue
        if not await self._machine.alive():
            raise BoxDied("the box is gone")
        raise SandboxError("no shell can be started in the box: its `sh` is missing or broken")

    async def retire(self) -> None:
        """Use no shell again that was there until now: the agent's may be spoilt."""
        idle, self._idle = self._idle, []
        for lane in list(self._shells.lanes):
            lane.retired = True
        for lane in idle:
            if lane.main:
                self._tasks.start_soon(self._drain, lane)
            else:
                await self._shells.close(lane)
        await self.processes.forget()

    async def script(self, text: str) -> bytes:
        """Run shell text of ours on a lane of the box's own user, with no process of its own.

        Returns its stdout. Raises SandboxError where no shell is to be had.
        """
        await self._guarded.wait()
        taps = Taps(secrets.token_hex(16), ExecOptions())
        lost = True
        lane = None
        try:
            lane = await self._take(None, once=False)
            await lane.run(f"{text}{shell.said(taps.nonce)}", taps)
            lost = False
        except LaneLost as error:
            raise SandboxError("no shell can be started in the box") from error
        finally:
            if lane is not None:
                await self._give_back(lane, taps, lost=lost and not taps.started)
        return taps.stdout.capture.bytes()

    async def _guard(self) -> None:
        """Have a control lane; no command runs before it is there, or cannot be."""
        try:
            await self.processes.ready()
        finally:
            self._guarded.set()

    async def _take(self, user: str | None, *, once: bool) -> Lane:
        if not once:
            for lane in self._idle:
                if lane.user == user:
                    self._idle.remove(lane)
                    return lane
        return await self._shells.open(user, once=once)

    async def _run(self, lane: Lane, argv: Sequence[str], options: ExecOptions) -> ExecResult:
        taps = Taps(secrets.token_hex(16), options)
        text = self._text(lane, argv, options, taps.nonce)
        began = time.monotonic()
        timed_out = lost = False
        try:
            with anyio.move_on_after(options.timeout_s):
                await lane.run(text, taps, options.stdin)
            if not taps.ended:
                timed_out = True
                await self._kill(lane, taps)
        except LaneLost:
            lost = True
            if not taps.started and not lane.main:
                raise
            if lane.main or not await self._machine.alive():
                raise BoxDied("the box died while a command ran in it") from None
        except BaseException:
            with anyio.CancelScope(shield=True), contextlib.suppress(SandboxError):
                await self._kill(lane, taps)
            raise
        finally:
            await self._give_back(lane, taps, lost=lost)
        return self._result(taps, options, time.monotonic() - began, timed_out)

    def _text(self, lane: Lane, argv: Sequence[str], options: ExecOptions, nonce: str) -> str:
        # without a subreaper, the pid that is returned is the command's own
        subreaper = None if options.background else self._machine.subreaper
        text = shell.body(argv, options, subreaper)
        ours = self._shells.pids
        if options.background:
            text = shell.background(text, nonce)
        else:
            text = shell.foreground(text, nonce, ours, stdin=options.stdin is not None)
        if not lane.main:  # with that one, the box is gone, whatever it had begun
            text = shell.begun(nonce) + text
        return text + shell.LINGER if lane.end else text

    def _result(
        self, taps: Taps, options: ExecOptions, duration_s: float, timed_out: bool
    ) -> ExecResult:
        # a lane that was killed from inside the box took the command's exit code with it
        code = taps.code if taps.ended else _KILLED
        if options.background:
            self._shells.background.add(code)
        ended = not timed_out and not options.background
        return ExecResult(
            exit_code=code if ended else None,
            signal=code - 128 if ended and code in _BY_SIGNAL else None,
            stdout=taps.stdout.capture.bytes(),
            stderr=taps.stderr.capture.bytes(),
            stdout_total=taps.stdout.capture.total,
            stderr_total=taps.stderr.capture.total,
            timed_out=timed_out,
            duration_s=duration_s,
            pid=code if options.background else None,
        )

    async def _kill(self, lane: Lane, taps: Taps) -> None:
        """Kill what runs on a lane until its shell is done with it, and read what was on its way.

        At the first look the shell may not have begun it.
        """

        async def under_lane(table: list[Process]) -> set[int]:
            kept = self._shells.background
            roots = [p.pid for p in table if p.ppid == lane.pid and p.pid not in kept]
            return descendants(table, roots)

        try:
            with anyio.fail_after(KILL_S):
                await kill_tree(self.processes, under_lane)
        except TimeoutError:
            raise SandboxError(f"a command's processes were not dead after {KILL_S:g} s") from None
        with anyio.move_on_after(SETTLE_S):
            while not taps.ended:
                with anyio.move_on_after(AGAIN_S):
                    await lane.listen(taps)
                if not taps.ended:
                    await kill_tree(self.processes, under_lane)
        taps.flush()

    async def _give_back(self, lane: Lane, taps: Taps, *, lost: bool) -> None:
        settled = taps.ended and not taps.strays
        if lost or (settled and lane.end):
            await self._shells.close(lane)
        elif settled and not lane.retired:
            self._idle.append(lane)
        else:
            lane.retired = True
            self._tasks.start_soon(self._drain, lane)

    async def _drain(self, lane: Lane) -> None:
        await lane.drain()
        await self._shells.close(lane)


def _no_shell(said: str) -> SandboxError:
    if "exec sh failed" in said:  # the subreaper's words
        return ImageError("the image has no `sh`, which every box needs", reason="no_shell")
    return SandboxError(f"the box's first shell did not come up; it said: {said or 'nothing'}")
