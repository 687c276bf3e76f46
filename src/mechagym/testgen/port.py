"""Checks for a planner that knows nothing of test generation: its port, handed in by wiring.

`prepare` leaves the suite in the folder that is asked for, `run` puts it there afresh, so that an
edited one never decides, and `remove` takes it away. Without a valid goal the suite is of no use as
a measure, and says so by having none.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from mechagym.budget import Meter
from mechagym.events import Emit, TestgenProgress
from mechagym.records.checks import CheckSuite
from mechagym.records.reports import TestReport
from mechagym.sandbox.base import Box
from mechagym.sandbox.scripts import clear
from mechagym.testgen.limits import preset, within
from mechagym.testgen.loop import Means, Order, generate
from mechagym.testgen.running import lay, run_suite
from mechagym.testgen.suite import counted
from mechagym.testgen.types import (
    GenerationInput,
    TestGenConfig,
    TestGenResult,
    TestSuite,
    WriterRole,
)

if TYPE_CHECKING:
    from pydantic_ai.models import Model

ROLE = "testgen"
"""The role of both models: in a trial its job chooses them, and a config that names others is told
so; what wrote a test is kept with it."""

ConfigOf = Callable[[str], Awaitable[TestGenConfig]]
"""A config by its digest; an empty one is the config as it is shipped. Raises ConfigError."""


class Asked(Protocol):
    """What a planner asks with: its own request has these and more."""

    @property
    def instruction(self) -> str:
        """Word for word."""
        ...

    @property
    def box(self) -> Box:
        """Untouched as yet."""
        ...

    @property
    def folder(self) -> str:
        """Where the suite is to lie in the box."""
        ...

    @property
    def open_model(self) -> "Callable[[str, Meter | None], Model]":
        """Opens a role's model, paid by a meter."""
        ...

    @property
    def meter(self) -> Meter:
        """What may be spent."""
        ...

    @property
    def emit(self) -> Emit:
        """Who hears of it."""
        ...

    @property
    def timeout_s(self) -> float:
        """How long it may take."""
        ...

    @property
    def suite_timeout_s(self) -> float:
        """How long a run of the suite may take."""
        ...

    @property
    def config_digest(self) -> str:
        """Which config; empty: the current one."""
        ...


async def shipped(_digest: str) -> TestGenConfig:
    """The config as it is shipped, whatever is asked for."""
    return TestGenConfig()


@dataclass(slots=True, eq=False)
class GeneratedChecks:
    """Makes and runs checks for one trial. `results` are those of its runs, newest last."""

    config_of: ConfigOf = shipped
    results: list[TestGenResult] = field(default_factory=list)
    _suites: dict[str, tuple[str, TestSuite, float]] = field(default_factory=dict, init=False)

    async def prepare(self, request: Asked) -> CheckSuite:
        """Generate a suite and leave it in the box. Raises ConfigError, SandboxError."""
        limits = within(
            preset("map"), seconds=request.timeout_s, suite_timeout_s=request.suite_timeout_s
        )
        given = GenerationInput(
            instruction=request.instruction,
            config=await self.config_of(request.config_digest),
            limits=limits,
        )

        def opened(_role: WriterRole, meter: Meter) -> "Model":
            return request.open_model(ROLE, meter)

        means = Means(open_writer=opened, meter=request.meter, emit=request.emit)
        order = Order(folder=request.folder)
        if given.config.primary_model or given.config.reflection_model:
            note = f"the trial says which model writes tests (role {ROLE}), not the config"
            request.emit(TestgenProgress(run_id=order.run_id, phase="survey", note=note))
        result = await generate(given, request.box, means, order)
        self.results.append(result)
        suite = result.suite
        goals = tuple(test.function for test in counted(suite) if test.role == "goal")
        if goals:
            await lay(request.box, request.folder, suite)
        self._suites[suite.digest] = (request.folder, suite, request.suite_timeout_s)
        return CheckSuite(
            digest=suite.digest,
            folder=request.folder,
            goals=goals,
            guards=tuple(test.function for test in counted(suite) if test.role == "guard"),
            rejected=sum(test.status in {"rejected", "quarantined"} for test in result.tests),
        )

    async def run(self, box: Box, suite: CheckSuite) -> TestReport:
        """Put the suite there as it was made, and run it. Raises SandboxError."""
        folder, ours, total_s = self._suites[suite.digest]
        await lay(box, folder, ours)
        return await run_suite(ours, box, folder, total_s=total_s)

    async def remove(self, box: Box) -> None:
        """Take every suite of ours out of the box. Raises SandboxError."""
        folders = dict.fromkeys(folder for folder, _, _ in self._suites.values())
        if folders:
            await clear(box, *folders)
