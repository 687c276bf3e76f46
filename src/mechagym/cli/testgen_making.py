"""Making suites for a person: boxes and a model are opened, each run is shown, its end is told."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click

from mechagym import wiring
from mechagym.budget import Budget, Meter
from mechagym.cli.model_names import named
from mechagym.cli.sources import datasets_of
from mechagym.cli.terminal.page import Page
from mechagym.cli.terminal.testgen_board import TestgenBoard
from mechagym.cli.terminal.testgen_page import run_json
from mechagym.cli.terminal.testgen_screens import QuietTestgen, screen
from mechagym.config import Settings
from mechagym.errors import ConfigError
from mechagym.llm.names import ModelName
from mechagym.records.testgen import Category, GenerationContext
from mechagym.run.hostenv import named_secrets
from mechagym.store import Store
from mechagym.tasks.model import Task
from mechagym.testgen.config import config_of
from mechagym.testgen.limits import preset
from mechagym.testgen.service import About, SavedRun, TestGenRequest, TestGenService
from mechagym.testgen.suite import files_of
from mechagym.testgen.types import TestGenConfig, TestSuite
from mechagym.trajectory.redact import Redactor
from mechagym.wiring.testgen import Ground, OpenBox, OpenNamed, open_models, writers

READY, NOT_READY = 0, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a person asks for by `testgen generate`."""

    names: tuple[str, ...]
    instruction: str | None
    image: str | None
    context: GenerationContext
    categories: tuple[Category, ...]
    preset: str
    model: str | None
    budget: str | None
    allow_unpriced: bool
    digest: str | None
    output: str | None
    trusts_host: bool
    as_json: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """What a suite is made for."""

    name: str
    instruction: str
    open_box: OpenBox
    about: About = field(default_factory=About)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """All that is open while suites are made."""

    store: Store
    service: TestGenService
    ground: Ground
    opened: OpenNamed
    model: ModelName
    meter: Meter


@asynccontextmanager
async def workshop(
    settings: Settings, asked: str | None, *, budget: Meter, unpriced: bool, trusts_host: bool
) -> AsyncIterator[Workshop]:
    """Open it. Raises ConfigError, SandboxUnusable, PriceUnknown before anything is made."""
    text = asked or settings.llm.default_model
    if text is None:
        raise ConfigError("a model writes the tests, and none is named", remedy="name one with -m")
    (model,) = named(settings, [text]).models
    keys = wiring.credentials(settings)
    secrets = keys.to_hide([settings.llm.providers[model.provider]])
    redactor = Redactor({**named_secrets(settings.environ), **secrets})
    async with AsyncExitStack() as stack:
        opened = await stack.enter_async_context(
            open_models(settings, [model], keys=keys, allow_unpriced=unpriced)
        )
        chosen = await stack.enter_async_context(
            wiring.open_sandbox(settings.sandbox, settings, trusts_host=trusts_host)
        )
        store = await stack.enter_async_context(Store.open(settings.store, redact=redactor.text))
        service = await stack.enter_async_context(TestGenService.open(store))
        yield Workshop(
            store=store,
            service=service,
            ground=Ground.of(chosen.sandbox),
            opened=opened,
            model=model,
            meter=budget,
        )


def meter_of(budget: str | None) -> Meter:
    """A meter of so many dollars. Raises ConfigError."""
    try:
        return Meter(budget=Budget(usd=None if budget is None else float(budget)))
    except ValueError as error:
        raise ConfigError(f"--budget {budget}: a number of dollars is expected") from error


async def make(settings: Settings, wanted: Wanted) -> int:
    """Make a suite for each piece of work; gives the exit code."""
    _check(wanted)
    tasks = tasks_named(settings, wanted.names) if wanted.names else []
    shown = screen(settings.terminal, quiet=wanted.as_json)
    made: list[SavedRun] = []
    async with workshop(
        settings,
        wanted.model,
        budget=meter_of(wanted.budget),
        unpriced=wanted.allow_unpriced,
        trusts_host=wanted.trusts_host,
    ) as shop:
        for piece in _pieces(wanted, tasks, shop.ground):
            config, version = await chosen_config(shop, wanted.digest, piece.instruction)
            run = await make_one(shop, piece, _request(shop, piece, wanted, config, version), shown)
            made.append(run)
            if wanted.output:
                write_suite(run.suite, _folder(Path(wanted.output), piece, tasks))
            if not wanted.as_json:
                _tell(Page(settings.terminal), run)
    if wanted.as_json:
        Page(settings.terminal).json([run_json(run.row, run.parts) for run in made])
    return READY if all(run.row.ready for run in made) else NOT_READY


async def make_one(
    shop: Workshop, piece: Piece, request: TestGenRequest, shown: QuietTestgen
) -> SavedRun:
    """Make one suite, shown as it comes."""
    run_id = shop.service.start(request)
    board = TestgenBoard(title=f"{piece.name}  {run_id}")
    with shown.showing(board):
        async for event in shop.service.watch(run_id):
            shown.take(board, event.body)
    shown.ended(board)
    return await shop.service.result(run_id)


async def chosen_config(
    shop: Workshop, digest: str | None, instruction: str
) -> tuple[TestGenConfig, str]:
    """The one that is asked for, else the best for this kind of work. Raises ConfigError."""
    if digest is None:
        return await shop.service.config_for(instruction)
    row = await shop.store.testgen.config(digest)
    return config_of(row.body), row.version


def tasks_named(settings: Settings, names: Sequence[str]) -> list[Task]:
    """The tasks of these sources. Raises ConfigError where there is none."""
    tasks = [task for dataset in datasets_of(settings, names) for task in dataset.tasks]
    if not tasks:
        raise ConfigError(f"no task in {', '.join(names)}")
    return tasks


def piece_of(task: Task, ground: Ground) -> Piece:
    """A task as work to make tests for: the instruction of its first step, and its box."""
    return Piece(
        name=task.task_id,
        instruction=task.steps[0].instruction,
        open_box=ground.of_task(task),
        about=About(task_id=task.task_id, task_digest=task.digest),
    )


def write_suite(suite: TestSuite, folder: Path) -> None:
    """Write the files of a suite. Raises ConfigError where the folder holds something else."""
    if folder.exists() and any(folder.iterdir()) and not (folder / "suite.json").exists():
        raise ConfigError(f"{folder} is not empty and holds no suite", remedy="name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files_of(suite).items():
        (folder / name).write_text(text, encoding="utf-8", errors="replace")
    click.echo(f"{folder}: {len(suite.tests)} tests", err=True)


def _check(wanted: Wanted) -> None:
    if bool(wanted.names) == bool(wanted.instruction):
        raise ConfigError("name tasks, or an --instruction with its --image")
    if bool(wanted.instruction) != bool(wanted.image):
        raise ConfigError("--instruction and --image belong together")


def _pieces(wanted: Wanted, tasks: Sequence[Task], ground: Ground) -> Iterator[Piece]:
    if wanted.instruction and wanted.image:
        text = Path(wanted.instruction).read_text(encoding="utf-8")
        box = ground.of_image(wanted.image)
        yield Piece(name=Path(wanted.instruction).name, instruction=text, open_box=box)
    for task in tasks:
        yield piece_of(task, ground)


def _request(
    shop: Workshop, piece: Piece, wanted: Wanted, config: TestGenConfig, version: str
) -> TestGenRequest:
    return TestGenRequest(
        instruction=piece.instruction,
        config=config,
        version=version,
        limits=preset(wanted.preset),
        open_box=piece.open_box,
        open_writer=writers(shop.opened, shop.model, config),
        meter=shop.meter,
        context=wanted.context,
        categories=wanted.categories,
        about=piece.about,
    )


def _folder(output: Path, piece: Piece, tasks: Sequence[Task]) -> Path:
    """One task's suite goes right there; those of several stand beside each other."""
    return output / piece.name.replace("/", "_") if len(tasks) > 1 else output


def _tell(page: Page, run: SavedRun) -> None:
    for note in run.row.notes:
        page.note(f"  {note}")
