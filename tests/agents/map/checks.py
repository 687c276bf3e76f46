"""Checks whose files are what runs, so that an edit shows, and that can be made to say anything."""

import shlex
from dataclasses import dataclass, field

from mechagym.agents.map.types import CheckRequest
from mechagym.records.checks import CheckSuite
from mechagym.records.reports import CaseStatus, TestCase, TestReport
from mechagym.sandbox.base import Box, ExecOptions
from mechagym.sandbox.scripts import clear

FOLDER = "/tmp/.mechagym-map/checks"


@dataclass
class FileChecks:
    """Satisfies `Checks`. `goals` and `guards`: name → shell text that exits 0 where it holds.

    `statuses` overrides what a check says, one value per run, for tests of flaky ones.
    """

    goals: dict[str, str]
    guards: dict[str, str] = field(default_factory=dict)
    statuses: dict[str, list[CaseStatus]] = field(default_factory=dict)
    exit_code: int | None = None
    fault: str | None = None
    ran_in: list[str] = field(default_factory=list)

    async def lay(self, box: Box) -> CheckSuite:
        """Put them into the box."""
        await self._put(box)
        return CheckSuite(
            digest="d", folder=FOLDER, goals=tuple(self.goals), guards=tuple(self.guards)
        )

    async def prepare(self, request: CheckRequest) -> CheckSuite:
        """See `Checks`."""
        return await self.lay(request.box)

    async def run(self, box: Box, suite: CheckSuite) -> TestReport:
        """Restore, run each, report."""
        await self._put(box)
        self.ran_in.append(box.info.box_id)
        rows = tuple([await self._row(box, name) for name in (*suite.goals, *suite.guards)])
        clean = all(row.status == "passed" for row in rows)
        code = self.exit_code if self.exit_code is not None else 0 if clean else 1
        return TestReport(source="runner", tests=rows, exit_code=code, fault=self.fault)

    async def remove(self, box: Box) -> None:
        """See `Checks`."""
        await clear(box, FOLDER)

    async def _put(self, box: Box) -> None:
        for name, text in (self.goals | self.guards).items():
            await box.put(text.encode(), f"{FOLDER}/{name}.sh")

    async def _row(self, box: Box, name: str) -> TestCase:
        if self.statuses.get(name):
            return TestCase(name=name, status=self.statuses[name].pop(0))
        script = f"cd /app && . {shlex.quote(f'{FOLDER}/{name}.sh')}"
        result = await box.exec(("sh", "-c", script), ExecOptions(timeout_s=20.0))
        said = result.stderr.decode("utf-8", "replace").strip()
        return TestCase(name=name, status="passed" if result.ok else "failed", message=said)
