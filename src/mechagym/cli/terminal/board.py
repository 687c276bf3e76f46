"""The state of a running job as a fold over its events: what progress shows, whatever the screen.

It never asks the job anything: fed with the recorded events it gives the same picture again.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mechagym.events import (
    EventBody,
    MessageSaid,
    PhaseStarted,
    ToolCalled,
    TrialEnded,
    TryEnded,
    TryStarted,
    spent_in,
)
from mechagym.records import Outcome, TryRecord, is_graded


@dataclass(slots=True)
class Row:
    """A trial that runs now."""

    name: str
    since: float
    number: int = 1
    phase: str = "queue"
    turn: int = 0
    tool: str = ""
    tokens: int = 0
    cost_nano: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A trial that ended, with the try that counts (None where it was lost)."""

    name: str
    outcome: Outcome
    tries: int
    record: TryRecord | None


@dataclass(slots=True, kw_only=True)
class Board:
    """`names`: this start's trials by id; `sealed` of `total` were finished by an earlier one."""

    names: Mapping[str, str] = field(default_factory=dict)
    total: int = 0
    sealed: int = 0
    clock: Callable[[], float] = time.monotonic
    running: dict[str, Row] = field(default_factory=dict)
    done: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    rewards: list[float] = field(default_factory=list)
    settled_nano: int = 0
    _last: dict[str, TryRecord] = field(default_factory=dict)
    _began: float | None = None

    def begin(self, names: Mapping[str, str], total: int) -> None:
        """Learn what is to be done, before the first event."""
        self.names, self.total, self.sealed = names, total, total - len(names)
        self._began = self.clock()

    def take(self, subject: str, body: EventBody) -> Done | None:
        """Fold one event in; gives the trial that ended by it."""
        if subject not in self.names:
            return None
        match body:
            case TryStarted(number=number):
                name = self.names[subject]
                self.running[subject] = Row(name, self.clock(), number)
            case TryEnded(record=record):
                self._last[subject] = record
                self.settled_nano += record.spend.billed_nano
                self.running.pop(subject, None)
            case TrialEnded(outcome=outcome, tries=tries):
                return self._end(subject, outcome, tries)
            case _:
                if row := self.running.get(subject):
                    _work(row, body)
        return None

    @property
    def ended(self) -> int:
        """How many trials are over, those of earlier starts too."""
        return self.sealed + self.done

    @property
    def cost_usd(self) -> float:
        """What was spent so far, running trials included."""
        return (self.settled_nano + sum(r.cost_nano for r in list(self.running.values()))) / 1e9

    @property
    def projected_usd(self) -> float | None:
        """The cost of this start if the rest is like what ended; None before the first."""
        if not self.done:
            return None
        return self.settled_nano / 1e9 * (self.total - self.sealed) / self.done

    @property
    def elapsed_s(self) -> float:
        """Since the first event."""
        return 0.0 if self._began is None else self.clock() - self._began

    @property
    def eta_s(self) -> float | None:
        """Seconds to the end at the pace so far; None before the first trial ended."""
        if not self.done:
            return None
        return self.elapsed_s * (self.total - self.ended) / self.done

    def _end(self, trial: str, outcome: Outcome, tries: int) -> Done:
        record = self._last.pop(trial, None)
        self.running.pop(trial, None)
        self.outcomes[outcome] += 1
        if record and record.verdict and is_graded(outcome, verified=True):
            self.rewards.append(record.verdict.reward)
        self.done += 1
        return Done(name=self.names[trial], outcome=outcome, tries=tries, record=record)


def _work(row: Row, body: object) -> None:
    if (spent := spent_in(body)) is not None:
        row.tokens += spent.usage.tokens
        row.cost_nano += spent.billed_nano
    match body:
        case PhaseStarted(phase=phase):
            row.phase = phase.value
        case MessageSaid(source="agent", parent_call_id=None):
            row.turn += 1
        case ToolCalled(tool=tool):
            row.tool = tool
