"""Test generation for the command line, the pages and whoever else has a box and a model.

Each run is a task of the service, told in a stream of its own, and saved whether it was good or
not. Whoever watches sees each event once and in order, however late. At the end of the service what
still runs is cancelled, and that is told too.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import anyio
from anyio.abc import TaskGroup

from mechagym.budget import Meter
from mechagym.errors import ConfigError, MechagymError, SandboxError
from mechagym.events import (
    Emit,
    Event,
    EventBody,
    TestgenComplete,
    TestgenConfigSaved,
    TestgenError,
    TestgenStart,
    TestgenSurvey,
)
from mechagym.events.testgen import GLOBAL
from mechagym.records import to_dict
from mechagym.records.reports import TestReport
from mechagym.records.testgen import Category, GenerationContext, StoppedBy, TestTotals
from mechagym.sandbox.base import Box
from mechagym.store import Store
from mechagym.store.testgen_rows import RunFilter, RunParts, RunRow
from mechagym.testgen.config import FIRST_VERSION, body_of, config_of, digest
from mechagym.testgen.limits import categories_of, quota
from mechagym.testgen.loop import FOLDER, Means, Order, generate, new_run_id
from mechagym.testgen.running import laid, run_suite, runner_for
from mechagym.testgen.suite import freeze
from mechagym.testgen.task_types import task_type
from mechagym.testgen.types import (
    GenerationInput,
    GenerationLimits,
    TestGenConfig,
    TestSuite,
    WriterRole,
    digest_of,
)

if TYPE_CHECKING:
    from pydantic_ai.models import Model

_SUITE_S = 600.0


OpenFor = Callable[[WriterRole, Meter, Emit], "Model"]
"""Opens a model for a run: paid by its meter, its calls told in the run's stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a run is for: kept with it, and never shown to a model."""

    task_id: str | None = None
    task_digest: str | None = None
    trial_id: str | None = None
    proposal_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TestGenRequest:
    """What is wanted. `open_box` opens an untouched box, which the service closes.

    `version` is that of the config where nobody has used it yet.
    """

    __test__ = False

    instruction: str
    config: TestGenConfig
    limits: GenerationLimits
    open_box: Callable[[], AbstractAsyncContextManager[Box]]
    open_writer: OpenFor
    meter: Meter
    context: GenerationContext = "benchmark"
    categories: tuple[Category, ...] = ()
    about: About = About()
    version: str = FIRST_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedRun:
    """A run that ended, as the store has it; the suite is as it was frozen."""

    row: RunRow
    parts: RunParts
    suite: TestSuite


@dataclass(slots=True)
class _Work:
    teller: "_Teller"
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    done: anyio.Event = field(default_factory=anyio.Event)
    error: ConfigError | None = None


class TestGenService:
    """See the module. Made by `open`."""

    __test__ = False

    def __init__(self, store: Store, tasks: TaskGroup) -> None:
        self._store, self._tasks = store, tasks
        self._works: dict[str, _Work] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, store: Store) -> "AsyncIterator[TestGenService]":
        """Serve as long as the body lasts."""
        error: Exception | None = None
        async with anyio.create_task_group() as tasks:
            service = cls(store, tasks)
            try:
                yield service
            except Exception as raised:  # noqa: BLE001 – raised below: the group would wrap it
                error = raised
            tasks.cancel_scope.cancel()
        for work in service._works.values():
            work.teller.close()  # of a run that was cancelled before its first step
        if error is not None:
            raise error

    def start(self, request: TestGenRequest) -> str:
        """Begin a run and return its id. Raises ConfigError where its limits cannot hold."""
        categories = categories_of(request.context, request.config, request.categories)
        quota(request.config, request.limits, categories)
        run_id = new_run_id()
        teller = _Teller(run_id, request, categories, self._store.emitter(run_id))
        self._works[run_id] = _Work(teller)
        self._tasks.start_soon(self._run, run_id, request)
        return run_id

    async def watch(self, run_id: str, *, after: int = 0) -> AsyncIterator[Event]:
        """The events of a run with `seq` > after, as they come, to its end. Raises ConfigError."""
        subject = await self._stream_of(run_id)
        async with self._store.watch() as commits:
            while True:
                for event in await self._store.events(subject, after=after):
                    after = event.seq
                    if getattr(event.body, "run_id", run_id) == run_id:
                        yield event
                        if isinstance(event.body, TestgenComplete):
                            return
                await commits.wait()

    async def result(self, run_id: str) -> SavedRun:
        """Wait for the end of a run of this service, and give what it came to.

        Raises ConfigError where there is no such run, or what it was asked for cannot be.
        """
        if work := self._works.get(run_id):
            await work.done.wait()
            if work.error is not None:
                raise work.error
        await self._store.flush()
        row = await self._store.testgen.run(run_id)
        if row is None:
            raise _unknown(run_id)
        parts = await self._store.testgen.parts(run_id)
        return SavedRun(row=row, parts=parts, suite=await self._suite(row, parts))

    async def stop(self, run_id: str) -> None:
        """End a run of this service; what is valid by then is kept. Raises ConfigError."""
        work = self._works.get(run_id)
        if work is None:
            raise _unknown(run_id)
        work.scope.cancel()
        await work.done.wait()

    async def run(self, suite: TestSuite, box: Box) -> TestReport:
        """Run a suite in a box, and take it out again. Raises SandboxError."""
        async with laid(box, FOLDER, suite):
            return await run_suite(suite, box, FOLDER, total_s=_SUITE_S)

    async def list(self, query: RunFilter) -> Sequence[RunRow]:
        """Runs, newest first."""
        return await self._store.testgen.runs(query)

    async def config_for(self, instruction: str) -> tuple[TestGenConfig, str]:
        """The config for this kind of work, with its version.

        The best of its type, else the best of all others, else the current one, else the shipped.
        """
        shelf = self._store.testgen
        best = {row.task_type: row.config_digest for row in await shelf.best_configs()}
        found = best.get(task_type(instruction)) or best.get(GLOBAL)
        row = await (shelf.config(found) if found else shelf.current_config())
        return (config_of(row.body), row.version) if row else (TestGenConfig(), FIRST_VERSION)

    async def _run(self, run_id: str, request: TestGenRequest) -> None:
        work = self._works[run_id]
        teller = work.teller
        try:
            with work.scope:
                await _generate(run_id, request, teller)
        except MechagymError as error:
            work.error = error if isinstance(error, ConfigError) else None
            boxes = isinstance(error, SandboxError)
            teller.failed(error, "sandbox_error" if boxes else "model_error")
        finally:
            teller.close()
            work.done.set()

    async def _stream_of(self, run_id: str) -> str:
        if run_id in self._works:
            return run_id
        row = await self._store.testgen.run(run_id)
        if row is None:
            raise _unknown(run_id)
        return row.stream_id

    async def _suite(self, row: RunRow, parts: RunParts) -> TestSuite:
        events = await self._store.events(row.stream_id, limit=1_000_000)
        bodies = [e.body for e in events if isinstance(e.body, TestgenSurvey)]
        survey = next((body.survey for body in bodies if body.run_id == row.run_id), None)
        return freeze(
            parts.tests,
            runner=runner_for(survey),
            survey_digest=digest_of(survey) if survey else None,
            config_digest=row.config_digest,
            ready=row.ready,
        )


async def _generate(run_id: str, request: TestGenRequest, emit: Emit) -> None:
    given = GenerationInput(
        instruction=request.instruction, config=request.config, limits=request.limits
    )
    order = Order(run_id=run_id, context=request.context, categories=request.categories)

    def open_writer(role: WriterRole, meter: Meter) -> "Model":
        return request.open_writer(role, meter, emit)

    means = Means(open_writer=open_writer, meter=request.meter, emit=emit)
    async with request.open_box() as box:
        await generate(given, box, means, order)


class _Teller:
    """Tells what a run does, with what it is for; a run that never began is told all the same."""

    def __init__(
        self, run_id: str, request: TestGenRequest, categories: tuple[Category, ...], emit: Emit
    ) -> None:
        self._run_id, self._request, self._emit = run_id, request, emit
        self._categories = categories
        self._began = self._ended = False

    def __call__(self, body: EventBody) -> None:
        """Pass an event on, with what only the service knows."""
        if isinstance(body, TestgenConfigSaved):
            body = replace(body, version=self._request.version)
        if isinstance(body, TestgenStart):
            self._began = True
            about = self._request.about
            body = replace(
                body,
                task_id=about.task_id,
                task_digest=about.task_digest,
                trial_id=about.trial_id,
                proposal_id=about.proposal_id,
            )
        self._ended = self._ended or isinstance(body, TestgenComplete)
        self._emit(body)

    def failed(self, error: MechagymError, by: StoppedBy) -> None:
        """Tell what ended a run that could not tell it itself."""
        self._begin()
        told = TestgenError(run_id=self._run_id, error=type(error).__name__, message=error.message)
        self._emit(told)
        self._complete("failed", by)

    def close(self) -> None:
        """Tell the end, where nobody has: it was cancelled before it began."""
        self._begin()
        self._complete("limited", "cancelled")

    def _begin(self) -> None:
        if not self._began:
            request = self._request
            known, body = digest(request.config), body_of(request.config)
            self(TestgenConfigSaved(digest=known, version=request.version, body=body))
            self(
                TestgenStart(
                    run_id=self._run_id,
                    context=request.context,
                    config_digest=known,
                    limits=to_dict(request.limits),
                    categories=self._categories,
                    task_type=task_type(request.instruction),
                )
            )

    def _complete(self, status: Literal["limited", "failed"], by: StoppedBy) -> None:
        if not self._ended:
            totals = TestTotals(
                tests_total=0, tests_valid=0, ready=False, stopped_by=by, suite_digest=""
            )
            self(TestgenComplete(run_id=self._run_id, status=status, totals=totals))


def _unknown(run_id: str) -> ConfigError:
    return ConfigError(f"testgen: there is no run {run_id}", remedy="see `mechagym testgen list`")
