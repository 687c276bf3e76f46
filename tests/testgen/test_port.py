"""The planner's port: checks are left where they are asked for, run as they were made, and go."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from mechagym.agents.map.types import CheckRequest
from mechagym.budget import Meter
from mechagym.events import EventBody, TestgenComplete, TestgenProgress
from mechagym.testgen.port import GeneratedChecks
from mechagym.testgen.types import TestGenConfig
from tests.actors import QUICK_BOXES, open_box
from tests.testgen.boxes import tree_of
from tests.testgen.test_loop import INSTRUCTION, NUMBERS, Day
from tests.testgen.writers import model_of

if TYPE_CHECKING:
    from mechagym.agents.map.base import Checks

FOLDER = "/tmp/map-checks"


@dataclass(slots=True)
class Asker:
    """Makes a planner's request and remembers which role was asked for."""

    day: Day = field(default_factory=Day)
    roles: list[str] = field(default_factory=list)
    meters: list[Meter | None] = field(default_factory=list)
    events: list[EventBody] = field(default_factory=list)

    def request(self, box: Any, **changes: Any) -> CheckRequest:
        def open_model(role: str, meter: Meter | None):
            self.roles.append(role)
            self.meters.append(meter)
            return model_of(self.day)

        fields: dict[str, Any] = {
            "instruction": INSTRUCTION,
            "box": box,
            "folder": FOLDER,
            "open_model": open_model,
            "meter": Meter(),
            "emit": self.events.append,
            "timeout_s": 60.0,
            "suite_timeout_s": 30.0,
            **changes,
        }
        return CheckRequest(**fields)


@pytest.mark.must("testgen-30")
@pytest.mark.parametrize("name", QUICK_BOXES)
async def test_checks_are_made_run_and_taken_away(name: str):
    asker, port = Asker(), GeneratedChecks()
    checks: Checks = port  # by its shape alone: neither knows the other
    async with open_box(name) as box:
        await box.put(NUMBERS, "/app/in.txt")
        before = await tree_of(box, "/app", "/tmp", "/root")
        suite = await checks.prepare(asker.request(box))
        assert suite.usable
        assert (suite.folder, suite.guards) == (FOLDER, ())
        assert suite.digest == port.results[0].suite.digest
        report = await checks.run(box, suite)
        assert {case.name for case in report.tests} == set(suite.goals)
        assert report.passing == 0
        async with box.fork() as solved:
            await solved.put(b"6\n", "/app/sum.txt")
            done = await checks.run(solved, suite)
        await box.exec(["sh", "-c", f"for f in {FOLDER}/*.sh; do echo exit 0 > $f; done"])
        assert (await checks.run(box, suite)).passing == 0
        await checks.remove(box)
        assert await tree_of(box, "/app", "/tmp", "/root") == before
    assert done.passing == done.total > 0
    assert set(asker.roles) == {"testgen"}
    assert all(meter is not None and meter.parent is not None for meter in asker.meters)


async def test_example_3_no_valid_test_is_no_use_and_leaves_nothing():
    stub = {"title": "t", "code": "true"}
    asker, port = Asker(day=Day(replies={"tests": {"tests": [stub] * 5}})), GeneratedChecks()
    async with open_box("memory") as box:
        before = await tree_of(box, "/app", "/tmp")
        suite = await port.prepare(asker.request(box))
        assert await tree_of(box, "/app", "/tmp") == before
        await port.remove(box)
    assert (suite.usable, suite.goals) == (False, ())
    assert suite.rejected > 0


async def test_the_callers_time_and_config_hold():
    asked: list[str] = []

    async def config_of(digest: str) -> TestGenConfig:
        asked.append(digest)
        return TestGenConfig(primary_model="a:writer", reflection_model="a:reviewer")

    asker, port = Asker(), GeneratedChecks(config_of=config_of)
    async with open_box("memory") as box:
        await port.prepare(asker.request(box, config_digest="abc", timeout_s=0.0))
    assert asked == ["abc"]
    assert asker.roles == ["testgen", "testgen"]
    first = asker.events[0]
    assert isinstance(first, TestgenProgress)
    assert first.note.startswith("the trial says which model writes")
    last = asker.events[-1]
    assert isinstance(last, TestgenComplete)
    assert last.totals.stopped_by == "seconds"
