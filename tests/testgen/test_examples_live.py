"""Suites for example tasks: they fail before the work, pass on the oracle's, and see wrong work.

The tests come from scripted models that saw instruction and survey alone (see `writers`).
"""

from pathlib import Path

import pytest

from mechagym.budget import Meter
from mechagym.sandbox.base import Box
from mechagym.testgen.limits import preset
from mechagym.testgen.loop import FOLDER, Means, Order, generate
from mechagym.testgen.mutation import Wanted, mutate
from mechagym.testgen.running import aside, laid, run_suite
from mechagym.testgen.types import GenerationInput, TestGenConfig, TestGenResult
from tests.testgen.boxes import python_box, tree_of
from tests.testgen.writers import from_file, opener

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.timeout(600)]
TASKS = Path(__file__).parents[2] / "examples" / "tasks"
EXAMPLES = {
    "merge-stock-lists": ("/app/merge.py",),
    "regex-failed-logins": ("/app/pattern.txt",),
    "timetable-offline": ("/app/plan.json",),
}


async def made(name: str, box: Box) -> TestGenResult:
    given = GenerationInput(
        instruction=(TASKS / name / "instruction.md").read_text("utf-8"),
        config=TestGenConfig(),
        limits=preset("map"),
    )
    means = Means(open_writer=opener(from_file(name)), meter=Meter(), emit=lambda _: None)
    return await generate(given, box, means, Order())


@pytest.mark.must("testgen-30")
@pytest.mark.parametrize("name", EXAMPLES)
async def test_a_suite_means_something(name: str):
    task = TASKS / name
    async with python_box(task / "environment", digest=f"testgen-{name}") as box:
        before = await tree_of(box, "/app", "/tmp", "/root")
        result = await made(name, box)
        assert await tree_of(box, "/app", "/tmp", "/root") == before
        assert result.totals.unready == ()
        assert {t.status for t in result.tests} == {"valid"}, result.tests
        async with aside(box) as same, laid(same, FOLDER, result.suite):
            untouched = await run_suite(result.suite, same, FOLDER, total_s=120)
        assert (untouched.passing, untouched.passed) == (0, False)
        async with aside(box) as solved:
            await solve(solved, task)
            async with laid(solved, FOLDER, result.suite):
                report = await run_suite(result.suite, solved, FOLDER, total_s=120)
            assert report.passed, [case for case in report.tests if case.status != "passed"]
            found = await mutate(
                solved,
                result.suite,
                Wanted(paths=EXAMPLES[name], folder=FOLDER, total_s=100),
            )
    assert len(found.made) >= 4
    alive = [mutant for n, mutant in enumerate(found.made) if not found.killed_by[n]]
    assert found.score is not None
    assert found.score >= 0.7, alive


async def solve(box: Box, task: Path) -> None:
    """Do the work as the task's author would."""
    await box.put(task / "solution", "/solution")
    done = await box.exec(["bash", "/solution/solve.sh"])
    assert done.ok, done.stderr
    await box.exec(["rm", "-rf", "/solution"])
