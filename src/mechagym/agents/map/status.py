"""The one line that ends each turn: where the work stands, and what is left of time and money."""

from dataclasses import dataclass

from mechagym.agents.map.clock import Clock
from mechagym.agents.map.prompts import NO_NEW_WORK, SAVE_NOW
from mechagym.agents.map.types import ExecutionState
from mechagym.budget import Meter

LATE_SHARE = 0.25
VARYING = (
    r"(?:seconds|usd) left: (?:[\d.]+|no limit|unknown)",
    r"# The machine, as it is now\n\n[\s\S]*?(?=\n\n# |\Z)",
)
"""What is told of time, money and the host: another in each run, so that a tape overlooks it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """The money of the trial, as it was at the beginning and is now."""

    meter: Meter
    whole_usd: float | None

    @classmethod
    def of(cls, meter: Meter) -> "Purse":
        """What a meter still has."""
        return cls(meter=meter, whole_usd=meter.left("usd"))

    @property
    def left_usd(self) -> float | None:
        """None: no limit binds."""
        return self.meter.left("usd")

    @property
    def is_late(self) -> bool:
        """Whether three quarters are used."""
        whole, left = self.whole_usd, self.left_usd
        return bool(whole and left is not None and left <= LATE_SHARE * whole)

    @property
    def told(self) -> str:
        """For the status line; a call without a price makes what is left unknown."""
        if self.meter.settled.unpriced_calls:
            return "unknown"
        return "no limit" if self.left_usd is None else f"{self.left_usd:.2f}"


def status_line(state: ExecutionState, clock: Clock, purse: Purse) -> str:
    """The line."""
    left_s = "no limit" if clock.left_s == float("inf") else f"{clock.left_s:.0f}"
    parts = [
        f"turn {state.total_turns}/{state.max_turns}",
        f"part: {state.subtask.name} (turn {state.subtask_turns}/{state.subtask.max_turns})",
        _progress(state),
        f"seconds left: {left_s}",
        f"usd left: {purse.told}",
    ]
    return f"[{' · '.join(filter(None, parts))}]"


def deadline_note(clock: Clock, purse: Purse) -> str:
    """What must be said as time or money runs out; nothing before."""
    if clock.is_last:
        return NO_NEW_WORK
    late = [
        what for what, is_late in (("time", clock.is_late), ("money", purse.is_late)) if is_late
    ]
    return SAVE_NOW.format(what=" and the ".join(late)) if late else ""


def _progress(state: ExecutionState) -> str:
    said = state.last_evaluation
    if said is None or said.progress is None:
        return ""
    stale = "" if state.evaluation else ", before the last changes"
    return (
        f"self-check {said.tests_passing}/{said.tests_total}{stale},"
        f" best {state.best_passing}/{said.tests_total}"
    )
