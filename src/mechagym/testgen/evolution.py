"""Loop 2: which config makes better suites? Propose, clamp, compare on the same tasks, decide.

A change is accepted only where the lower bound of the paired difference is above 0, on search tasks
alone. Both sides run the same tasks as often, by turns, so that drift of a provider hits both. All
proposals are told, refused ones too.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import anyio

from mechagym.errors import ConfigError
from mechagym.events import (
    Emit,
    TestgenConfigAccepted,
    TestgenConfigSaved,
    TestgenProposal,
)
from mechagym.records import new_id
from mechagym.testgen.config import body_of, changed_fields, digest, guard, next_version
from mechagym.testgen.meta import Proposed
from mechagym.testgen.pairing import ALPHA, Difference, paired, per_task
from mechagym.testgen.types import TestGenConfig

TASKS, REPETITIONS, FIRST_LOOK = 8, 2, 5
Basis = Literal["agreement", "internal"]
Ended = Literal["max_runs", "stopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A config with what it is known by; `proposal_id` is that of the proposal it came from."""

    config: TestGenConfig
    version: str
    parent_digest: str | None = None
    proposal_id: str | None = None

    @property
    def digest(self) -> str:
        """Over all fields."""
        return digest(self.config)


class Bench(Protocol):
    """What the loop is handed: it knows neither boxes nor models."""

    @property
    def basis(self) -> Basis:
        """What `measure` gives: agreement with sealed verdicts, or the suite's own score."""
        ...

    async def measure(self, contender: Contender, task: str, repetition: int) -> float | None:
        """Make and save one suite, and give what it is worth; None: it could not be measured."""
        ...

    async def propose(self, current: Contender) -> Proposed:
        """Ask for a change of the current config. Raises ModelError, BudgetError."""
        ...

    def refusal(self, text: str) -> str | None:
        """The name of the rule by which a proposed text is refused; None: it may stand."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How long and on what. `tasks` are search tasks; `holdout` names those never to be used."""

    tasks: tuple[str, ...]
    holdout: frozenset[str] = frozenset()
    max_runs: int = 100
    sleep_s: float = 0.0
    alpha: float = ALPHA

    def __post_init__(self) -> None:
        if not self.tasks:
            raise ConfigError("testgen evolve: no task to measure on")
        if used := sorted(self.holdout & set(self.tasks)):
            raise ConfigError(
                f"testgen evolve: {', '.join(used)} belong to the hold-out",
                remedy="name search tasks only: what is tuned on a task proves nothing on it",
            )

    @property
    def compared(self) -> tuple[str, ...]:
        """The tasks that a comparison runs on."""
        return self.tasks[:TASKS]

    @property
    def comparison_runs(self) -> int:
        """How many runs one comparison takes."""
        return 2 * REPETITIONS * len(self.compared)


@dataclass(slots=True, kw_only=True)
class Evolution:
    """One call of `evolve`. `stopping` is asked before each run."""

    bench: Bench
    course: Course
    emit: Emit
    stopping: Callable[[], bool] = lambda: False
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    runs: int = 0
    accepted: list[str] = field(default_factory=list)
    _tried: set[str] = field(default_factory=set)

    async def run(self, current: Contender) -> tuple[Contender, Ended]:
        """Improve a config until the runs are used up or a person stops it.

        Raises ModelError, BudgetError.
        """
        self._save(current)
        for number in range(min(FIRST_LOOK, self.course.max_runs)):
            if await self._measure(current, number) is _STOPPED:
                return current, "stopped"
        while self.course.max_runs - self.runs >= self.course.comparison_runs:
            if self.stopping():
                return current, "stopped"
            challenger = await self._challenger(current)
            if challenger is None:
                self.runs += 1  # a proposal that changes nothing must not go on for ever
                continue
            found = await self._compare(current, challenger)
            if found is None:
                return current, "stopped"
            if self._decide(current, challenger, found):
                current = challenger.contender
        return current, "max_runs"

    async def _challenger(self, current: Contender) -> "_Challenger | None":
        """The next config to try; None where the proposal leaves nothing new to try."""
        proposed = await self.bench.propose(current)
        guarded = guard(current.config, proposed.kind, proposed.changes)
        proposal_id = new_id(16)
        contender = Contender(
            config=guarded.config,
            version=next_version(current.version),
            parent_digest=current.digest,
            proposal_id=proposal_id,
        )
        clamps = [*guarded.clamps, *self._refusals(current, contender)]
        refused = len(clamps) > len(guarded.clamps)
        idle = refused or contender.digest in {current.digest, *self._tried}
        told = TestgenProposal(
            proposal_id=proposal_id,
            from_digest=current.digest,
            to_digest=current.digest if refused else contender.digest,
            change=proposed.kind,
            changes={} if refused else dict(proposed.changes),
            clamps=tuple(clamps),
            reasoning="" if refused else proposed.reasoning,
            expected_improvement=proposed.expected_improvement,
            accepted=False if idle else None,
        )
        self.emit(told)
        if idle:
            return None
        self._tried.add(contender.digest)
        self._save(contender)
        return _Challenger(contender=contender, told=told)

    def _refusals(self, current: Contender, contender: Contender) -> list[str]:
        """Texts that may not stand: what they say is not told, only by which rule."""
        changed = changed_fields(current.config, contender.config)
        rules = {
            name: self.bench.refusal(new)
            for name, (_, new) in changed.items()
            if isinstance(new, str)
        }
        return [f"{name}: refused by {rule}" for name, rule in rules.items() if rule]

    async def _compare(self, current: Contender, challenger: "_Challenger") -> Difference | None:
        """Both sides on the same tasks, by turns; None where it was stopped."""
        values: dict[bool, dict[str, list[float]]] = {
            side: defaultdict(list) for side in (True, False)
        }
        for repetition in range(REPETITIONS):
            for number, task in enumerate(self.course.compared):
                first = (number + repetition) % 2 == 0
                for is_new in (first, not first):
                    side = challenger.contender if is_new else current
                    worth = await self._one(side, task, repetition)
                    if worth is _STOPPED:
                        return None
                    if isinstance(worth, float):
                        values[is_new][task].append(worth)
        differences = per_task(values[True], values[False])
        return paired(list(differences.values()), self.course.alpha)

    def _decide(self, current: Contender, challenger: "_Challenger", found: Difference) -> bool:
        contender = challenger.contender
        self.emit(
            replace(
                challenger.told,
                actual_improvement=found.mean,
                low=found.low,
                high=found.high,
                basis=self.bench.basis,
                accepted=found.better,
            )
        )
        if found.better:
            self.accepted.append(contender.digest)
            self.emit(
                TestgenConfigAccepted(
                    digest=contender.digest,
                    version=contender.version,
                    body=body_of(contender.config),
                    parent_digest=current.digest,
                )
            )
        return found.better

    async def _measure(self, contender: Contender, number: int) -> "float | _Stopped | None":
        task = self.course.tasks[number % len(self.course.tasks)]
        return await self._one(contender, task, number // len(self.course.tasks))

    async def _one(
        self, contender: Contender, task: str, repetition: int
    ) -> "float | _Stopped | None":
        """One run, with the pause before it; told apart from one that a person stopped."""
        if self.stopping():
            return _STOPPED
        if self.runs and self.course.sleep_s:
            await self.sleep(self.course.sleep_s)
        if self.stopping():
            return _STOPPED
        self.runs += 1
        return await self.bench.measure(contender, task, repetition)

    def _save(self, contender: Contender) -> None:
        self.emit(
            TestgenConfigSaved(
                digest=contender.digest,
                version=contender.version,
                body=body_of(contender.config),
                parent_digest=contender.parent_digest,
                created_by="meta" if contender.proposal_id else "person",
            )
        )


class _Stopped:
    """A person stopped it before the run began."""


_STOPPED = _Stopped()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Challenger:
    contender: Contender
    told: TestgenProposal
