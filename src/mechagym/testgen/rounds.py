"""The moves of a run: one round of tests, a reflection, an assessment. `loop` decides which.

All that a run knows is here, and all that it says goes through `emit`.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from mechagym.budget import Limit, Meter
from mechagym.events import Emit, TestgenProgress, TestgenReflection, TestgenTest
from mechagym.records.testgen import (
    Category,
    GeneratedTest,
    ProhibitedTool,
    Provenance,
    StoppedBy,
)
from mechagym.testgen.analysis import Analysis
from mechagym.testgen.asking import Unusable, Voice, ask_for_tests, ask_typed
from mechagym.testgen.limits import Quota
from mechagym.testgen.prompts import (
    REVIEWER,
    WRITER,
    Brief,
    assess_prompt,
    cross_check_prompt,
    reflection_prompt,
    round_prompt,
)
from mechagym.testgen.proposals import Numbered, Proposal, screen
from mechagym.testgen.readiness import open_cells, valid_in
from mechagym.testgen.types import GenerationInput
from mechagym.testgen.validity import Bench, judge

ROUND_MIN, ROUND_MAX = 2, 5
CELLS_PER_ROUND = 5
REFLECTION_TOKENS = 512
REFLECTION_CHARS = 2_000
NOTE_AT = 0.8
_LIMITS: tuple[Limit, ...] = ("tokens", "seconds", "usd")


class Stop(Exception):
    """Nothing more is made."""

    def __init__(self, by: StoppedBy) -> None:
        super().__init__(by)
        self.by = by


@dataclass(frozen=True, slots=True, kw_only=True)
class Reflection:
    """What a model misses. No gap means that it misses nothing."""

    gaps: tuple[str, ...] = ()
    weak_tests: tuple[str, ...] = ()
    untested_cells: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Something that no test shows, and the category in which one would."""

    category: Category
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """A rating of the whole, from 1 to 10."""

    comprehensiveness: float
    gaps: tuple[Gap, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """An expected value, said by a model that has not seen the test."""

    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Special:
    """What makes a round another than the usual one of its category."""

    cells: bool = False
    only_inputs: bool = False
    gaps: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class Run:
    """A run under way. `given` grows by tests and reflections; the rest of it stays."""

    run_id: str
    given: GenerationInput
    quota: Quota
    meter: Meter
    emit: Emit
    writer: Voice
    reviewer: Voice
    bench: Bench
    analysis: Analysis
    prohibited: tuple[ProhibitedTool, ...] = ()
    rounds: int = 0
    refinements: int = 0
    rounds_of: Counter[Category] = field(default_factory=Counter)
    satisfied: dict[Category, bool] = field(default_factory=dict)
    comprehensiveness: float | None = None
    notes: list[str] = field(default_factory=list)
    _noted: set[Limit] = field(default_factory=set)

    @property
    def tests(self) -> tuple[GeneratedTest, ...]:
        """All that were proposed."""
        return self.given.tests_so_far

    @property
    def valid(self) -> int:
        """How many valid tests there are."""
        return sum(test.status == "valid" for test in self.tests)

    def may_go_on(self) -> bool:
        """Whether a further round is allowed. Raises Stop at a limit that ends the run."""
        left = self.meter.left("seconds")
        if left is not None and left <= 0:
            raise Stop("seconds")
        if self.valid >= self.quota.limits.tests_max:
            raise Stop("tests")
        return self.rounds < self.quota.limits.rounds

    async def round(self, category: Category, special: Special = Special()) -> None:
        """One prompt, its tests, and what the box says of them. Raises as the model and the box."""
        brief = self._brief(category, special)
        prompt = round_prompt(self.given, brief)
        self.rounds += 1
        self.rounds_of[category] += 1
        self._progress(category, special)
        said = await ask_for_tests(self.writer, WRITER, prompt)
        self._note_spending()
        if isinstance(said, Unusable):
            self.notes.append(f"round {self.rounds} ({category}) is empty: {said.why}")
            return
        digest = hashlib.sha256(prompt.encode("utf-8", "replace")).hexdigest()[:16]
        made = self._screened(said.tests[: brief.count], category, digest)
        judged = await judge(self.bench, made)
        self._add([await self._cross_checked(test) for test in judged])
        self._progress(category, special)

    async def reflect(self, category: Category) -> None:
        """Write down what is missing: it is part of every later prompt."""
        brief = self._brief(category, Special())
        voice = replace(self.reviewer, max_tokens=REFLECTION_TOKENS)
        prompt = reflection_prompt(self.given, brief)
        said = await ask_typed(voice, REVIEWER, prompt, Reflection)
        self._note_spending()
        self.satisfied[category] = False
        if isinstance(said, Unusable):
            self.notes.append(f"no reflection on {category}: {said.why}")
            return
        self.satisfied[category] = not said.gaps
        text = _told(category, said)
        self.given = replace(self.given, reflections=(*self.given.reflections, text))
        self.emit(
            TestgenReflection(
                run_id=self.run_id, purpose="refining", text=text, gaps=said.gaps, category=category
            )
        )

    async def assess(self) -> tuple[Gap, ...]:
        """Have the whole rated; the gaps that are named."""
        brief = self._brief(self.quota.categories[0], Special())
        said = await ask_typed(
            self.reviewer, REVIEWER, assess_prompt(self.given, brief), Assessment
        )
        self._note_spending()
        if isinstance(said, Unusable):
            self.notes.append(f"comprehensiveness is unknown: {said.why}")
            self.comprehensiveness = None
            return ()
        self.comprehensiveness = min(10.0, max(1.0, said.comprehensiveness))
        self.emit(
            TestgenReflection(
                run_id=self.run_id,
                purpose="assessing",
                text="; ".join(gap.text for gap in said.gaps)[:REFLECTION_CHARS],
                comprehensiveness=self.comprehensiveness,
                gaps=tuple(gap.text for gap in said.gaps),
            )
        )
        return tuple(gap for gap in said.gaps if gap.category in self.quota.categories)

    def complete(self, category: Category) -> bool:
        """At its target, at its last round, or at its minimum with no gap and no open cell."""
        have = valid_in(self.tests, category)
        if have >= self.quota.category_target:
            return True
        if self.rounds_of[category] >= self.quota.rounds_per_category:
            return True
        enough = have >= self.quota.category_min and self.satisfied.get(category, False)
        return enough and not self._cells_of(category)

    def replace_tests(self, tests: Sequence[GeneratedTest]) -> None:
        """Take over a later judgement; what changed is told."""
        for before, after in zip(self.tests, tests, strict=True):
            if before != after:
                self.emit(TestgenTest(run_id=self.run_id, test=after))
        self.given = replace(self.given, tests_so_far=tuple(tests))

    def _cells_of(self, category: Category) -> bool:
        """Whether a cell is open that a test of this category was meant to show."""
        meant = {c for test in self.tests if test.category == category for c in test.cells}
        return any(tick.cell in meant for tick in open_cells(self.analysis.matrix, self.tests))

    def _brief(self, category: Category, special: Special) -> Brief:
        config, limits = self.given.config, self.quota.limits
        cells = open_cells(self.analysis.matrix, self.tests)
        shown = cells[:CELLS_PER_ROUND] if special.cells else cells
        missing = len(shown) if special.cells else self._missing(category)
        room = max(1, limits.tests_max - self.valid)
        count = min(ROUND_MAX, max(ROUND_MIN, missing), room)
        return Brief(
            category=category,
            count=count,
            exact=round(count * config.precision_weight),
            runner=self.bench.ground.runner,
            requirements=self.analysis.requirements,
            matrix=self.analysis.matrix,
            open_cells=shown,
            prohibited=self.prohibited,
            only_inputs=special.only_inputs,
            gaps=special.gaps,
        )

    def _missing(self, category: Category) -> int:
        """How many tests a category lacks; of anti-cheat as many as the config's weight asks."""
        target = self.quota.category_target
        if category == "anti_cheat":
            config = self.given.config
            target = min(target, max(1, round(config.max_tests * config.anti_cheat_weight)))
        return target - valid_in(self.tests, category)

    def _screened(
        self, said: Sequence[Proposal], category: Category, prompt_digest: str
    ) -> list[GeneratedTest]:
        made: list[GeneratedTest] = []
        for step, proposal in enumerate(said, start=1):
            place = Numbered(
                number=len(self.tests) + step,
                category=category,
                provenance=Provenance(
                    run_id=self.run_id,
                    round=self.rounds,
                    step=step,
                    model=self.writer.name,
                    prompt_digest=prompt_digest,
                ),
            )
            earlier = (*self.tests, *made)
            made.append(screen(proposal, place, self.bench.ground, earlier))
        return made

    async def _cross_checked(self, test: GeneratedTest) -> GeneratedTest:
        """Advisory where somebody who sees only requirement and input expects something else."""
        wanted = test.expected_output
        if not self.given.config.cross_check or test.status != "valid" or wanted is None:
            return test
        quotes = [r.quote for r in self.analysis.requirements if r.id in test.requirement_ids]
        prompt = cross_check_prompt(test, self.given, quotes)
        said = await ask_typed(self.reviewer, REVIEWER, prompt, Expected)
        if isinstance(said, Unusable) or " ".join(said.value.split()) == " ".join(wanted.split()):
            return test
        why = f"somebody else expects {said.value[:100]!r}"
        return replace(test, status="advisory", reject_reason=why)

    def _add(self, made: Sequence[GeneratedTest]) -> None:
        for test in made:
            self.emit(TestgenTest(run_id=self.run_id, test=test))
        self.given = replace(self.given, tests_so_far=(*self.tests, *made))

    def _progress(self, category: Category, special: Special) -> None:
        phase = "cells" if special.cells else "inputs" if special.only_inputs else "category"
        self.emit(
            TestgenProgress(
                run_id=self.run_id,
                phase="refining" if special.gaps else phase,  # type: ignore[arg-type]
                category=category,
                round=self.rounds_of[category],
                rounds=self.quota.rounds_per_category,
                made=valid_in(self.tests, category),
                target=self.quota.category_target,
                tests=self.valid,
                tokens=self.meter.settled.usage.tokens,
                cost_usd=self.cost_usd,
            )
        )

    @property
    def cost_usd(self) -> float | None:
        """What was spent; None where a call had no price."""
        settled = self.meter.settled
        return None if settled.unpriced_calls else settled.cost_usd

    def _note_spending(self) -> None:
        """Say once that most of a limit is used."""
        for name in _LIMITS:
            limit = self.meter.budget.limit(name)
            if limit and name not in self._noted and self.meter.used(name) >= NOTE_AT * limit:
                self._noted.add(name)
                note = f"{NOTE_AT:.0%} of the limit of {name} is used"
                self.emit(TestgenProgress(run_id=self.run_id, phase="category", note=note))


def _told(category: Category, said: Reflection) -> str:
    parts = {
        "gaps": said.gaps,
        "weak tests": said.weak_tests,
        "untested cells": said.untested_cells,
    }
    told = "; ".join(f"{name}: {', '.join(found)}" for name, found in parts.items() if found)
    return f"{category}: {told or 'nothing is missing'}"[:REFLECTION_CHARS]
