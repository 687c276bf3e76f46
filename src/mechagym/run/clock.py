"""The times of a try's phases. One phase ends in the instant the next begins, so they add up."""

import time
from datetime import datetime

from mechagym.events import Emit, PhaseEnded, PhaseStarted
from mechagym.records import Phase, PhaseTime, now


class PhaseClock:
    """Walks through the phases of one try and keeps their times; phases may come again (steps)."""

    def __init__(self, emit: Emit, *, queued_at: datetime | None = None) -> None:
        """`queued_at`: since when the trial waited for its turn; the clock starts there."""
        self._emit = emit
        self._times: list[PhaseTime] = []
        self._phase: Phase | None = None
        self.started_at = queued_at or now()
        self._wall = self.started_at
        waited_s = (now() - self.started_at).total_seconds()
        self._mark = time.monotonic() - waited_s

    @property
    def phase(self) -> Phase | None:
        """The phase that runs now."""
        return self._phase

    @property
    def times(self) -> tuple[PhaseTime, ...]:
        """The finished phases in order; equal neighbours are one."""
        return tuple(self._times)

    def enter(self, phase: Phase) -> None:
        """End the running phase and begin another."""
        if phase is self._phase:
            return
        self.stop()
        self._phase = phase
        self._emit(PhaseStarted(phase=phase))

    def stop(self) -> None:
        """End the running phase."""
        if self._phase is None:
            return
        mark = time.monotonic()
        lasted_s = mark - self._mark
        self._times.append(PhaseTime(phase=self._phase, started_at=self._wall, duration_s=lasted_s))
        self._emit(PhaseEnded(phase=self._phase, duration_s=lasted_s))
        self._mark, self._wall, self._phase = mark, now(), None
