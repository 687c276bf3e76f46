"""The seams between the modules of the planner. Each can be another's work, and switched off.

Nothing here is implemented; what is handed over is in `types`. Money is spent only by those who
are given a meter or a model that has one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from mechagym.agents.map.types import (
    ActorTurn,
    CandidateBrief,
    CheckRequest,
    Decision,
    Decomposition,
    EpisodeEnd,
    EvaluatorResult,
    ExecutionState,
    MonitorDecision,
    SampleOutcome,
    Surroundings,
    TaskView,
    ToolAction,
    Trigger,
    TurnContext,
)
from mechagym.budget import Meter
from mechagym.events import Emit
from mechagym.records import Spend
from mechagym.records.checks import CheckSuite
from mechagym.records.reports import TestReport
from mechagym.sandbox.base import Box


class Decomposer(Protocol):
    """Makes the plan, once, before the first turn."""

    async def split(self, task: TaskView) -> Decomposition:
        """Split the work. Raises ModelError, BudgetError; never fails over a bad plan."""
        ...


class Actor(Protocol):
    """The model that does the work."""

    async def act(self, context: TurnContext) -> ActorTurn:
        """Get one reply. Raises ModelError, BudgetExhausted."""
        ...


class Monitor(Protocol):
    """A guard rail before each action, in one box. The box is the wall."""

    async def review(self, action: ToolAction, state: ExecutionState) -> MonitorDecision:
        """Allow or deny; may look into the box, changes nothing in it. Raises SandboxError."""
        ...


MakeMonitor = Callable[[Box, int | None], Monitor]
"""A monitor for a box: the trial's (None), or the fork of a candidate, by its index."""


class Evaluator(Protocol):
    """Runs the checks of the work and says what they say."""

    async def evaluate(self, box: Box, trigger: Trigger) -> EvaluatorResult:
        """Run them in the box, or say again what they said of this revision. Raises SandboxError.

        Who calls it tells of the start and the end; its own event is `map_checks_tampered`.
        """
        ...


class Orchestrator(Protocol):
    """Decides after each turn, from the state alone."""

    def decide(self, state: ExecutionState) -> Decision:
        """Pure."""
        ...


class Episode(Protocol):
    """Lets one candidate work in its fork, with the same tools, monitor and prompts."""

    async def play(self, box: Box, brief: CandidateBrief, meter: Meter) -> EpisodeEnd:
        """At most `brief.max_turns` turns, paid by `meter`. Raises BoxDied."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRequest:
    """What the sampler works with; `episode` lets one candidate work in one fork.

    `with_present`: how the box stands now takes part as candidate 0, `turn_spend` and `turn_s` the
    means of a turn so far, `left_s` the time until the run stops (None: no end).
    """

    box: Box
    state: ExecutionState
    surroundings: Surroundings
    episode: Episode
    evaluator: Evaluator | None
    meter: Meter
    emit: Emit
    n: int
    temperatures: tuple[float, ...]
    turn_spend: Spend
    turn_s: float
    left_s: Callable[[], float | None] = lambda: None
    with_present: bool = True


class Sampler(Protocol):
    """Tries several ways in forks of the box and keeps the best."""

    async def sample(self, request: SampleRequest) -> SampleOutcome:
        """Fork, let candidates work, verify, select, apply, close. Raises SandboxError.

        A refused reservation or want of time is an outcome with a reason, not an error.
        """
        ...


class Checks(Protocol):
    """The port to whatever makes checks of a piece of work; wiring hands it in."""

    async def prepare(self, request: CheckRequest) -> CheckSuite:
        """Make a suite in `request.folder` of the untouched box. Raises ModelError, BudgetError."""
        ...

    async def run(self, box: Box, suite: CheckSuite) -> TestReport:
        """Run it in a box; an edited suite is restored first."""
        ...

    async def remove(self, box: Box) -> None:
        """Take everything of it out of the box."""
        ...
