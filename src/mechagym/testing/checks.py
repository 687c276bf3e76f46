"""Checks of a piece of work as shell lines, for tests of whoever runs checks: a line that ends with
0 passes.

It is a real maker of checks, only that nobody thinks: the lines are given. They stand as one file
in the box, are run there, and an edited file is put back before it runs.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from mechagym.records.checks import CheckSuite
from mechagym.records.reports import TestCase, TestReport
from mechagym.sandbox.base import Box, ExecOptions

RUN_S = 60.0


class Request(Protocol):
    """The part of a request that is needed here."""

    @property
    def box(self) -> Box:
        """The untouched box."""
        ...

    @property
    def folder(self) -> str:
        """Where the checks shall stand."""
        ...


@dataclass(slots=True, kw_only=True)
class ShellChecks:
    """`lines`: name → shell line. `runs` counts how often the suite ran, `removed` its removals."""

    lines: Mapping[str, str]
    runs: int = field(default=0, init=False)
    removed: int = field(default=0, init=False)
    _folder: str = field(default="", init=False)

    async def prepare(self, request: Request) -> CheckSuite:
        """Write the file; what fails now is a goal, what passes a guard."""
        self._folder = request.folder
        await request.box.put(self._text(), f"{request.folder}/checks.json")
        report = await self._run(request.box)
        return CheckSuite(
            digest=hashlib.sha256(self._text()).hexdigest(),
            folder=request.folder,
            goals=tuple(case.name for case in report.tests if case.status != "passed"),
            guards=tuple(case.name for case in report.tests if case.status == "passed"),
        )

    async def run(self, box: Box, suite: CheckSuite) -> TestReport:
        """Run all lines in a box."""
        self.runs += 1
        await box.put(self._text(), f"{suite.folder}/checks.json")
        return await self._run(box)

    async def remove(self, box: Box) -> None:
        """Take the file away."""
        self.removed += 1
        if self._folder:
            await box.exec(("rm", "-rf", "--", self._folder), ExecOptions(cwd="/"))

    async def _run(self, box: Box) -> TestReport:
        cases, took_s = [], 0.0
        for name, line in self.lines.items():
            result = await box.exec(("sh", "-c", line), ExecOptions(timeout_s=RUN_S))
            said = (result.stdout + result.stderr).decode("utf-8", "replace").strip()
            took_s += result.duration_s
            cases.append(
                TestCase(name=name, status="passed" if result.ok else "failed", message=said)
            )
        failed = any(case.status != "passed" for case in cases)
        return TestReport(
            source="runner", tests=tuple(cases), exit_code=int(failed), duration_s=took_s
        )

    def _text(self) -> bytes:
        return json.dumps(dict(self.lines), indent=1).encode()
