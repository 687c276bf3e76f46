"""A run, from the survey to the frozen suite: which move comes next, and what ends it.

A bad reply, a rejected test and a failing test are data. A limit, a model that fails for good and a
dead box end the run with what is valid; fork and folder are closed on every way out.
"""

import secrets
from collections import Counter
from dataclasses import dataclass, field, replace

import anyio

from mechagym.budget import Meter
from mechagym.errors import BoxDied, BudgetError, MechagymError, ModelError, SandboxError
from mechagym.events import (
    Emit,
    TestgenConfigSaved,
    TestgenError,
    TestgenInputs,
    TestgenMatrix,
    TestgenReflection,
    TestgenStart,
    TestgenSurvey,
)
from mechagym.records import now, to_dict
from mechagym.records.survey import Survey
from mechagym.records.testgen import Category, GenerationContext, ProhibitedTool, StoppedBy
from mechagym.sandbox.base import Box
from mechagym.sandbox.survey import survey
from mechagym.testgen.analysis import Analysis, analyse
from mechagym.testgen.asking import Voice
from mechagym.testgen.config import FIRST_VERSION, body_of
from mechagym.testgen.inputs import look, missing_outputs, open_inputs
from mechagym.testgen.limits import Quota, categories_of, quota
from mechagym.testgen.paths import named_paths
from mechagym.testgen.prohibited import look_for, prohibited_in
from mechagym.testgen.proposals import Ground
from mechagym.testgen.readiness import inputs_unused, open_cells, valid_in
from mechagym.testgen.result import conclude
from mechagym.testgen.rounds import Gap, Run, Special, Stop
from mechagym.testgen.running import runner_for
from mechagym.testgen.task_types import task_type
from mechagym.testgen.types import GenerationInput, OpenWriter, TestGenResult, digest_of
from mechagym.testgen.validity import Bench, judge_together

SURVEY_S = 20.0
FOLDER = "/tmp/mechagym-testgen"  # noqa: S108 – in the box
_OF_LIMIT: dict[str, StoppedBy] = {
    "budget_tokens": "tokens",
    "budget_seconds": "seconds",
    "budget_usd": "usd",
}
_RESULTS: tuple[Category, ...] = ("correctness", "boundary", "integration")


def new_run_id() -> str:
    """`tg-YYYYMMDD-HHMMSS-<6 hex>`."""
    return f"tg-{now():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What kind of run is wanted, and where its helper folder stands in the box."""

    context: GenerationContext = "benchmark"
    categories: tuple[Category, ...] = ()
    run_id: str = field(default_factory=new_run_id)
    folder: str = FOLDER


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """Who writes, who pays, who hears of it."""

    open_writer: OpenWriter
    meter: Meter
    emit: Emit


async def generate(given: GenerationInput, box: Box, means: Means, order: Order) -> TestGenResult:
    """Make a suite for an instruction in an untouched box, which stays untouched.

    Raises ConfigError for limits that cannot hold; all else is told in the result.
    """
    config = given.config
    wanted = quota(config, given.limits, categories_of(order.context, config, order.categories))
    with means.meter.spend(wanted.budget) as meter:
        run = _begin(given, box, replace(means, meter=meter), order, wanted)
        try:
            ended = await _to_an_end(run)
        except anyio.get_cancelled_exc_class():
            conclude(run, "cancelled")
            raise
        return conclude(run, ended)


def _begin(given: GenerationInput, box: Box, means: Means, order: Order, wanted: Quota) -> Run:
    config = given.config
    writer, reviewer = (
        means.open_writer("primary", means.meter),
        means.open_writer("reflection", means.meter),
    )
    run = Run(
        run_id=order.run_id,
        given=given,
        quota=wanted,
        meter=means.meter,
        emit=means.emit,
        writer=Voice(model=writer, temperature=config.temperature, max_tokens=config.max_tokens),
        reviewer=Voice(
            model=reviewer, temperature=config.temperature, max_tokens=config.max_tokens
        ),
        bench=Bench(
            box=box,
            folder=order.folder,
            ground=Ground(instruction=given.instruction, runner="sh"),
            outputs=(),
            run_id=order.run_id,
            emit=means.emit,
            suite_timeout_s=given.limits.suite_timeout_s,
        ),
        analysis=Analysis(),
    )
    if run.writer.name == run.reviewer.name:
        run.notes.append(f"{run.writer.name} both writes the tests and judges them")
    known = digest_of(config)
    means.emit(TestgenConfigSaved(digest=known, version=FIRST_VERSION, body=body_of(config)))
    means.emit(
        TestgenStart(
            run_id=order.run_id,
            context=order.context,
            config_digest=known,
            task_type=task_type(given.instruction),
            limits=to_dict(given.limits),
            categories=wanted.categories,
            models=tuple(dict.fromkeys((run.writer.name, run.reviewer.name))),
        )
    )
    return run


async def _to_an_end(run: Run) -> StoppedBy:
    """Go through it, and say what ended it; what is valid then stays."""
    ended: StoppedBy = "seconds"
    with anyio.move_on_after(run.quota.limits.seconds):
        try:
            ended = await _through(run)
        except Stop as stop:
            ended = stop.by
        except (BudgetError, ModelError, SandboxError) as error:
            ended = _ended_by(error)
            run.emit(
                TestgenError(run_id=run.run_id, error=type(error).__name__, message=error.message)
            )
            run.notes.append(error.message)
    if ended in {"seconds", "sandbox_error"}:
        return ended
    with anyio.move_on_after(2 * run.bench.suite_timeout_s):  # it runs twice
        try:
            run.replace_tests(await judge_together(run.bench, run.tests))
        except SandboxError as error:
            run.notes.append(error.message)
            return "sandbox_error"
        return ended
    run.notes.append("the suite takes longer than it may: it was not looked at as a whole")
    return "seconds"


def _ended_by(error: MechagymError) -> StoppedBy:
    match error:
        case BudgetError():
            return _OF_LIMIT.get(error.reason, "budget")
        case ModelError():
            return "seconds" if error.reason == "no_time" else "model_error"
        case _:
            return "sandbox_error"


async def _through(run: Run) -> StoppedBy:
    """All moves, in order."""
    await _look_around(run)
    await _split(run)
    for index, category in enumerate(run.quota.categories):
        await _fill(run, category, later=len(run.quota.categories) - index - 1)
    await _fill_cells(run)
    await _use_inputs(run)
    return await _refine(run)


async def _look_around(run: Run) -> None:
    """Survey, prohibited tools and inputs: all from the box, before any model is asked."""
    given, box = run.given, run.bench.box
    found, why = given.survey, ""
    if found is None:
        found, why = await _survey(box)
    if why:
        run.notes.append(why)
    named = prohibited_in(given.instruction)
    run.prohibited = await look_for(box, named) if found else named
    run.emit(
        TestgenSurvey(run_id=run.run_id, survey=found, prohibited=run.prohibited, why_none=why)
    )
    facts = given.input_facts or await open_inputs(box, given.instruction, found)
    run.given = replace(given, survey=found, input_facts=facts)
    run.emit(TestgenInputs(run_id=run.run_id, facts=facts))
    workdir = found.workdir if found else box.info.workdir
    present = await look(box, named_paths(given.instruction, workdir))
    ground = replace(run.bench.ground, runner=runner_for(found), survey=found, facts=facts)
    outputs = missing_outputs(given.instruction, present, workdir)
    run.bench = replace(run.bench, ground=ground, outputs=outputs)


async def _survey(box: Box) -> tuple[Survey | None, str]:
    """No survey, no claim: why there is none is told."""
    try:
        return await survey(box, timeout_s=SURVEY_S), ""
    except BoxDied:
        raise
    except SandboxError as error:
        return None, error.message


async def _split(run: Run) -> None:
    """Requirements and matrix; a tool that a model finds prohibited joins those of the rules."""
    run.analysis = found = await analyse(run.writer, run.given)
    if found.note:
        run.notes.append(found.note)
    known = {tool.name.lower() for tool in run.prohibited}
    more: list[ProhibitedTool] = [t for t in found.prohibited if t.name.lower() not in known]
    if more and run.given.survey:
        more = list(await look_for(run.bench.box, more))
    run.prohibited = (*run.prohibited, *more)
    ground = replace(run.bench.ground, requirements=found.requirements, ticks=found.matrix.ticks)
    run.bench = replace(run.bench, ground=ground)
    run.emit(
        TestgenMatrix(
            run_id=run.run_id,
            requirements=found.requirements,
            matrix=found.matrix,
            uncovered=found.uncovered,
            dropped=found.dropped,
        )
    )


async def _fill(run: Run, category: Category, *, later: int) -> None:
    """Rounds of one category, with a round kept back for each `later` one."""
    limits = run.quota.limits
    while run.may_go_on() and not run.complete(category):
        started = run.rounds_of[category] > 0
        if started and run.rounds >= limits.rounds - later:
            return
        if started and run.valid >= limits.tests_target:
            return
        await run.round(category)
        if not run.complete(category):
            await run.reflect(category)


async def _fill_cells(run: Run) -> None:
    """Rounds for cells that are open, as long as they close some; then for a suite too small."""
    while (cells := open_cells(run.analysis.matrix, run.tests)) and run.may_go_on():
        await run.round(_thinnest(run), Special(cells=True))
        if len(open_cells(run.analysis.matrix, run.tests)) == len(cells):
            break
    while run.valid < run.quota.limits.tests_min and run.may_go_on():
        before = run.valid
        thinnest = _thinnest(run, all_of_them=True)
        if run.rounds_of[thinnest] >= run.quota.rounds_per_category:
            return
        await run.round(thinnest)
        if run.valid == before:
            return


async def _use_inputs(run: Run) -> None:
    """One round for just that, where inputs are given and no correctness test reads one."""
    unused = inputs_unused(run.given.input_facts, run.tests, run.bench.box.info.workdir)
    if unused and "correctness" in run.quota.categories and run.may_go_on():
        await run.round("correctness", Special(only_inputs=True))


def _thinnest(run: Run, *, all_of_them: bool = False) -> Category:
    """The category with the fewest valid tests, of those that test results where there are any."""
    categories = run.quota.categories
    wanted = [name for name in categories if all_of_them or name in _RESULTS] or list(categories)
    return min(wanted, key=lambda name: valid_in(run.tests, name))


async def _refine(run: Run) -> StoppedBy:
    """Rate the whole, and close the gaps that are named, where the rating is too low."""
    config, limits = run.given.config, run.quota.limits
    gaps = await run.assess()
    while (
        run.comprehensiveness is not None
        and run.comprehensiveness < config.min_comprehensiveness
        and run.refinements < limits.refinements
        and run.may_go_on()
    ):
        run.refinements += 1
        category = _where(gaps) or _thinnest(run)
        told = tuple(gap.text for gap in gaps if gap.category == category)
        await run.round(category, Special(gaps=told or ("the rating is too low",)))
        gaps = await run.assess()
    return _verdict(run)


def _verdict(run: Run) -> StoppedBy:
    """Complete; or at its target; or at the limit of rounds with something open."""
    cells = open_cells(run.analysis.matrix, run.tests)
    rating, target = run.comprehensiveness, run.given.config.target_comprehensiveness
    if rating is not None:
        run.emit(
            TestgenReflection(
                run_id=run.run_id, purpose="complete", text="", comprehensiveness=rating
            )
        )
    if rating is not None and rating >= target and not cells:
        return "target"
    minimum = run.quota.category_min
    thin = any(valid_in(run.tests, name) < minimum for name in run.quota.categories)
    spent = run.rounds >= run.quota.limits.rounds
    return "rounds" if spent and (cells or thin) else "complete"


def _where(gaps: tuple[Gap, ...]) -> Category | None:
    """The category in which most gaps are."""
    counts = Counter(gap.category for gap in gaps)
    return counts.most_common(1)[0][0] if counts else None
