"""One run from outside: its time, its faults, its end. Whatever happens the box is tidied up and
the last event says what it came to.
"""

import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio

from mechagym.agents.map import heartbeat
from mechagym.agents.map.actor import is_too_long
from mechagym.agents.map.base import Checks
from mechagym.agents.map.gate import self_passed
from mechagym.agents.map.result import progress_of, since
from mechagym.agents.map.site import Site
from mechagym.agents.map.state import ended
from mechagym.agents.map.types import ExecutionState, MapResult, StopReason
from mechagym.errors import AgentError, BudgetExhausted, MechagymError, ModelError
from mechagym.events.map import MapError, MapHeartbeat, MapRunComplete
from mechagym.sandbox.base import ExecOptions

if TYPE_CHECKING:
    from mechagym.agents.map.loop import Loop

TIDY_S = 8.0
_OURS = "mechagym.agents.map."


class Run:
    """`loop` is set once the first turn can begin; `result` once it is over."""

    def __init__(self, site: Site, checks: Checks | None) -> None:
        self._site, self._checks = site, checks
        self._began, self._before = time.monotonic(), site.context.meter.settled
        self._stop: StopReason = "cancelled"
        self._error: MechagymError | None = None
        self.loop: Loop | None = None
        self.result: MapResult = progress_of(None)

    async def carried(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do the work in time, and end it well.

        Raises SandboxError, ModelError; AgentError for a bug of ours, naming the module.
        """
        try:
            self._stop = await self._in_time(work)
        except BudgetExhausted as error:
            self._stop, self._error = "budget", error
        except ModelError as error:
            self._stop = "context_exhausted" if is_too_long(error) else "model_error"
            self._error = error
            raise
        except MechagymError as error:
            self._error = error
            raise
        except Exception as bug:
            self._error = AgentError(f"agent map: {_where(bug)}: {bug!r}", reason="bug")
            raise self._error from bug
        finally:
            await self._end()

    async def _in_time(self, work: Callable[[], Awaitable[None]]) -> StopReason:
        emit, left_s = self._site.context.emit, self._site.clock.left_s
        with anyio.move_on_after(None if left_s == math.inf else left_s) as time_left:
            async with heartbeat.beating(emit, self._beat, every_s=heartbeat.EVERY_S):
                await work()
        if time_left.cancelled_caught or self.loop is None:
            return "deadline"
        return self.loop.ended or "deadline"

    def _beat(self) -> MapHeartbeat:
        state = self._state
        return MapHeartbeat(
            turn=state.total_turns if state else 0,
            max_turns=state.max_turns if state else self._site.config.max_turns,
            progress=state.progress if state else None,
            best_progress=state.best_progress if state else None,
            elapsed_s=time.monotonic() - self._began,
        )

    async def _end(self) -> None:
        emit = self._site.context.emit
        with anyio.CancelScope(shield=True), anyio.move_on_after(TIDY_S):
            await self._tidy()
        if self._error is not None:
            told = type(self._error).__name__
            emit(MapError(error=told, message=str(self._error), recoverable=False))
        self.result = self._result()
        emit(MapRunComplete(result=self.result))

    async def _tidy(self) -> None:
        """Leave no trace: our folder goes, services of the work stay."""
        box = self._site.context.box
        try:
            if self._checks is not None:
                await self._checks.remove(box)
            folder = self._site.place.helper
            options = ExecOptions(cwd="/", user="root", timeout_s=TIDY_S)
            await box.exec(("rm", "-rf", "--", folder), options)
        except MechagymError as error:  # the box is gone, or no longer ours: so is our folder
            self._site.context.emit(
                MapError(error=type(error).__name__, message=str(error), recoverable=True)
            )

    @property
    def _state(self) -> ExecutionState | None:
        return self.loop.state if self.loop else None

    def _result(self) -> MapResult:
        spent = since(self._site.context.meter.settled, self._before)
        answer = self.loop.answer if self.loop else None
        state = self._state
        passed = self_passed(state) if state else None
        if state is not None and self._stop != "completed":
            state = ended(state, well=False)
        return replace(
            progress_of(state),
            self_passed=answer.self_passed if answer and self._stop == "completed" else passed,
            stop_reason=self._stop,
            duration_s=time.monotonic() - self._began,
            usage=spent.usage,
            cost_usd=spent.cost_usd,
            summary=self.loop.summary if self.loop else "",
            error=str(self._error) if self._error else "",
        )


def _where(bug: BaseException) -> str:
    """The innermost module of ours that a bug came through."""
    place, found = bug.__traceback__, "agents.map"
    while place is not None:
        name = str(place.tb_frame.f_globals.get("__name__", ""))
        if name.startswith(_OURS):
            found = name.removeprefix("mechagym.")
        place = place.tb_next
    return found
