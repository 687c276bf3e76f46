"""Evolution for a person: search tasks and a model become a bench, and Ctrl-C ends it in order."""

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import anyio
import click
from anyio.abc import TaskStatus

from mechagym.cli.found import find_job
from mechagym.cli.terminal.figures import counted
from mechagym.cli.terminal.page import Page
from mechagym.cli.terminal.testgen_screens import QuietTestgen, screen
from mechagym.cli.testgen_calibrating import sealed_by_then
from mechagym.cli.testgen_config import STREAM, find_config
from mechagym.cli.testgen_making import (
    Piece,
    Workshop,
    make_one,
    meter_of,
    piece_of,
    tasks_named,
    workshop,
)
from mechagym.cli.testgen_trying import tasks_of
from mechagym.config import Settings
from mechagym.events import TestgenReflection
from mechagym.store.testgen_rows import RunFilter
from mechagym.tasks.leaks import LeakList
from mechagym.tasks.model import Task
from mechagym.testgen.calibration import ENOUGH_STATES, Sealed, agreement, look_at
from mechagym.testgen.config import FIRST_VERSION, config_of
from mechagym.testgen.evolution import Basis, Contender, Course, Ended, Evolution
from mechagym.testgen.limits import preset
from mechagym.testgen.meta import SHOWN_RUNS, Proposed, SeenRun, propose
from mechagym.testgen.service import TestGenRequest
from mechagym.wiring.testgen import sealed_trials, writers

DONE, STOPPED = 0, 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Evolving:
    """What a person asks for by `testgen evolve`."""

    names: tuple[str, ...]
    holdout: tuple[str, ...]
    job: str | None
    preset: str
    max_runs: int
    sleep_ms: int
    dry_run: bool
    model: str | None
    budget: str | None
    allow_unpriced: bool
    trusts_host: bool
    as_json: bool

    def course(self, tasks: Sequence[Task]) -> Course:
        """Raises ConfigError where a task of the hold-out is among them."""
        return Course(
            tasks=tuple(task.task_id for task in tasks),
            holdout=frozenset(self.holdout),
            max_runs=self.max_runs,
            sleep_s=self.sleep_ms / 1000,
        )


def evolve_shown(settings: Settings, asked: Evolving) -> int:
    """Run it, or say what would be run; gives the exit code."""
    names = [name for names in asked.names for name in names.split(",") if name]
    tasks = tasks_named(settings, names)
    course = asked.course(tasks)
    if asked.dry_run:
        _plan(Page(settings.terminal), course, as_json=asked.as_json)
        return DONE
    return anyio.run(_evolve, settings, asked, tasks, course)


@dataclass(slots=True, kw_only=True)
class ShopBench:
    """See `Bench`: suites are made in the workshop; with end states their agreement counts."""

    shop: Workshop
    pieces: Mapping[str, Piece]
    preset: str
    shown: QuietTestgen
    leaks: LeakList
    states: Mapping[str, Sequence[Sealed]] = field(default_factory=dict)

    @property
    def basis(self) -> Basis:
        """Agreement with sealed verdicts, where there are enough of them."""
        return "agreement" if self.states else "internal"

    async def measure(self, contender: Contender, task: str, repetition: int) -> float | None:  # noqa: ARG002
        """Make a suite for a task; its score, or how far it agrees with the task's verdicts."""
        piece = self.pieces[task]
        made = await make_one(self.shop, piece, self._request(contender, piece), self.shown)
        if not self.states:
            return None if made.row.score is None else float(made.row.score)
        if not made.row.ready:
            return 0.0
        run = self.shop.service.run
        seen = [await look_at(one, made.suite, run) for one in self.states.get(task, ())]
        return agreement([one.state for one in seen])

    async def propose(self, current: Contender) -> Proposed:
        """Ask the model of the workshop, paid by its meter."""
        shelf = self.shop.store.testgen
        rows = await shelf.runs(RunFilter(config_digest=current.digest, limit=SHOWN_RUNS))
        runs = [
            SeenRun(
                row=row,
                parts=await shelf.parts(row.run_id),
                reflections=await self._reflections(row.stream_id, row.run_id),
            )
            for row in rows
        ]
        counts = await shelf.calibration(current.digest)
        model = self.shop.opened(self.shop.model, self.shop.meter, self.shop.store.emitter(STREAM))
        return await propose(model, current.config, runs, counts)

    def refusal(self, text: str) -> str | None:
        """By which rule a text leaks something of the tasks."""
        return self.leaks.rule_of(text)

    async def _reflections(self, stream: str, run_id: str) -> tuple[str, ...]:
        events = await self.shop.store.events(stream, limit=1_000_000)
        bodies = [event.body for event in events if isinstance(event.body, TestgenReflection)]
        return tuple(b.text for b in bodies if b.run_id == run_id and b.purpose == "refining")

    def _request(self, contender: Contender, piece: Piece) -> TestGenRequest:
        return TestGenRequest(
            instruction=piece.instruction,
            config=contender.config,
            version=contender.version,
            limits=preset(self.preset),
            open_box=piece.open_box,
            open_writer=writers(self.shop.opened, self.shop.model, contender.config),
            meter=self.shop.meter,
            about=replace(piece.about, proposal_id=contender.proposal_id),
        )


async def _evolve(
    settings: Settings, asked: Evolving, tasks: Sequence[Task], course: Course
) -> int:
    async with workshop(
        settings,
        asked.model,
        budget=meter_of(asked.budget),
        unpriced=asked.allow_unpriced,
        trusts_host=asked.trusts_host,
    ) as shop:
        bench = ShopBench(
            shop=shop,
            pieces={task.task_id: piece_of(task, shop.ground) for task in tasks},
            preset=asked.preset,
            shown=screen(settings.terminal, quiet=asked.as_json),
            leaks=LeakList.of(tasks),
            states=await _states(settings, shop, asked.job, tasks) if asked.job else {},
        )
        row = await shop.store.testgen.current_config()
        current = Contender(
            config=config_of(await find_config(shop.store, None)),
            version=row.version if row else FIRST_VERSION,
        )
        interrupts = Interrupts()
        evolution = Evolution(
            bench=bench,
            course=course,
            emit=shop.store.emitter(STREAM),
            stopping=lambda: interrupts.count > 0,
        )
        best, ended = await until_interrupted(evolution, current, interrupts)
        await shop.store.flush()
    _tell(Page(settings.terminal), evolution, best, ended, as_json=asked.as_json)
    return DONE if ended == "max_runs" else STOPPED


@dataclass(slots=True)
class Interrupts:
    """How often a person pressed Ctrl-C."""

    count: int = 0


async def until_interrupted(
    evolution: Evolution, current: Contender, interrupts: Interrupts
) -> tuple[Contender, Ended]:
    """The first Ctrl-C lets the present run end, the second cancels it."""
    best: tuple[Contender, Ended] = (current, "stopped")
    async with anyio.create_task_group() as tasks:

        async def listen(*, task_status: TaskStatus[None]) -> None:
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                task_status.started()
                async for _ in signals:
                    interrupts.count += 1
                    if interrupts.count > 1:
                        tasks.cancel_scope.cancel()
                    click.echo("ending after the present run; once more ends it now", err=True)

        await tasks.start(listen)
        best = await evolution.run(current)
        tasks.cancel_scope.cancel()
    return best


async def _states(
    settings: Settings, shop: Workshop, called: str, tasks: Sequence[Task]
) -> dict[str, list[Sealed]]:
    """The kept end states of a job's search tasks; none where they are too few to judge by."""
    job = await find_job(shop.store, called)
    trials = await sealed_by_then(shop.store, job)
    found, _ = sealed_trials(job, trials, tasks_of(settings, job), shop.ground)
    wanted = {task.task_id for task in tasks}
    states: dict[str, list[Sealed]] = {}
    for one in found:
        if one.task_id in wanted:
            states.setdefault(one.task_id, []).append(one)
    kept = sum(map(len, states.values()))
    if kept < ENOUGH_STATES:
        click.echo(
            f"{counted(kept, 'end state')} of {ENOUGH_STATES}: accepting by score, not agreement",
            err=True,
        )
        return {}
    return states


def _plan(page: Page, course: Course, *, as_json: bool) -> None:
    rounds = max(0, course.max_runs - 5) // course.comparison_runs
    if as_json:
        page.json(
            {
                "tasks": course.tasks,
                "compared_on": course.compared,
                "runs_per_comparison": course.comparison_runs,
                "comparisons": rounds,
                "max_runs": course.max_runs,
            }
        )
        return
    page.line(f"tasks: {', '.join(course.tasks)}")
    page.line(f"a comparison: {course.comparison_runs} runs on {len(course.compared)} tasks")
    page.line(f"within {course.max_runs} runs: {counted(rounds, 'comparison')}")


def _tell(
    page: Page, evolution: Evolution, best: Contender, ended: Ended, *, as_json: bool
) -> None:
    told = {
        "ended": ended,
        "runs": evolution.runs,
        "accepted": evolution.accepted,
        "current": best.digest,
        "version": best.version,
        "basis": evolution.bench.basis,
    }
    if as_json:
        page.json(told)
        return
    page.line(
        f"{ended}: {counted(evolution.runs, 'run')}, {counted(len(evolution.accepted), 'change')}"
        f" accepted by {evolution.bench.basis} measure; current {best.digest[:16]} {best.version}"
    )
