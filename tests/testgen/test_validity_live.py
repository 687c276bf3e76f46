"""What a real box with Python says of a test: each rule with a bad test and a good one."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from mechagym.events import EventBody, TestgenResult
from mechagym.records.testgen import Category, GeneratedTest
from mechagym.sandbox.base import Box
from mechagym.testgen.mutants import Artifact, mutants_of
from mechagym.testgen.mutation import Mutation, Wanted, mutate, without_blunt
from mechagym.testgen.proposals import Ground, Proposal, screen
from mechagym.testgen.running import laid, run_suite
from mechagym.testgen.suite import freeze
from mechagym.testgen.validity import Bench, judge, judge_together
from tests.testgen.boxes import python_box, tree_of
from tests.testgen.test_screen import PLACE

pytestmark = pytest.mark.live
INSTRUCTION = "Write the module shelf to /app/shelf.py, and its log to /app/shelf.log."
GROUND = Ground(instruction=INSTRUCTION, runner="python")
FOLDER = "/tmp/mechagym-testgen"
MISSING = "assert open('/app/shelf.py').read() == 'x'"
TRIED: list[tuple[str, str, dict[str, object], tuple[str, str | None]]] = [
    ("good", MISSING, {}, ("valid", None)),
    ("good by a module of the work", "import shelf\nassert shelf.get(1) == 2", {}, ("valid", None)),
    (
        "random",
        "import os\nassert os.urandom(1)[0] < 64 or not os.listdir('/app')",
        {},
        ("?", "V3"),
    ),
    (
        "slow",
        "import os, time\nwhile os.stat('/app'):\n    time.sleep(1)\nassert os.listdir('/x')",
        {},
        ("?", "V4"),
    ),
    (
        "leaves a file",
        "import os\nname = '/app/' + 'left'\nopen(name, 'w').close()\nassert os.listdir('/x')",
        {},
        ("rejected", "V5"),
    ),
    ("always passes", "import os\nassert os.path.isdir('/app')", {}, ("rejected", "V6")),
    (
        "guard",
        "import os\nassert os.path.isdir('/app/data')",
        {"role": "guard", "guard_reason": "the data stay"},
        ("valid", None),
    ),
    ("own name", "assert open('/app/given').read() == undefined", {}, ("rejected", "V7")),
    (
        "own import",
        "import os\nfrom os import no_such_name\nassert os.listdir('/app') == 1",
        {},
        ("rejected", "V7"),
    ),
    (
        "content with nothing",
        "import os\nassert os.path.exists('/app/shelf.py')",
        {},
        ("adv", "V9"),
    ),
    ("assumed", MISSING + " * 2", {"expected_source": "assumed"}, ("advisory", None)),
]


@pytest.fixture
async def box() -> AsyncIterator[Box]:
    async with python_box() as opened:
        await opened.exec(["sh", "-c", "mkdir -p /app/data && echo 1 > /app/given"])
        yield opened


def proposed(number: int, body: str, category: Category, **fields: object) -> GeneratedTest:
    code = "def test_x():\n" + "".join(f"    {line}\n" for line in body.splitlines())
    told = {"title": f"t{number}", "code": code, "expected_source": "computed", **fields}
    place = replace(PLACE, number=number, category=category)
    return screen(Proposal(**told), place, GROUND, ())  # type: ignore[arg-type]


def bench_of(box: Box, events: list[EventBody] | None = None, **changes: object) -> Bench:
    bench = Bench(
        box=box,
        folder=FOLDER,
        ground=GROUND,
        outputs=("/app/shelf.py", "/app/shelf.log"),
        run_id="tg-1",
        emit=(events if events is not None else []).append,
        suite_timeout_s=60,
    )
    return replace(bench, **changes)  # type: ignore[arg-type]


@pytest.mark.slow  # one test sleeps until it is ended, four times
@pytest.mark.must("testgen-14", "testgen-15", "testgen-30")
async def test_each_rule_takes_out_its_bad_test_and_keeps_the_good_one(box: Box):
    tests = [proposed(n, row[1], "correctness", **row[2]) for n, row in enumerate(TRIED, start=1)]
    assert [(t.test_id, t.reject_reason) for t in tests if t.status != "proposed"] == []
    # a coin decides three runs alike one time in four: enough of them, and one shows
    coins = [proposed(100 + n, TRIED[2][1], "correctness") for n in range(9)]
    before = await tree_of(box, "/app", "/tmp")
    events: list[EventBody] = []
    judged = await judge(bench_of(box, events), [*tests, *coins])
    found = {row[0]: test for row, test in zip(TRIED, judged, strict=False)}
    for name, _, _, (status, rule) in TRIED:
        if name != "random":
            assert found[name].reject_rule == rule, (name, found[name].reject_reason)
            assert status in ("?", "adv", found[name].status), name
    assert (found["slow"].status, found["content with nothing"].status) == ("rejected", "advisory")
    assert found["content with nothing"].label == "Suspicious"
    assert found["good"].label == "Real"
    assert found["guard"].role == "guard"
    flaky = [test for test in judged[len(TRIED) :] if test.status == "quarantined"]
    assert flaky
    assert {test.reject_rule for test in flaky} == {"V3"}
    assert await tree_of(box, "/app", "/tmp") == before
    results = [body for body in events if isinstance(body, TestgenResult)]
    occasions = {(body.occasion, body.ordinal) for body in results if body.test_id == "T001"}
    assert occasions == {("untouched", 1), ("repeat", 1), ("repeat", 2), ("empty", 1)}


async def test_what_only_works_alone_is_quarantined_in_the_end(box: Box):
    alone = proposed(1, MISSING, "existence")
    first, *_ = await judge(bench_of(box), [alone])
    # a guard that says it passes, and does not
    liar = replace(first, role="guard", test_id="T002", function="test_T002_t1")
    liar = replace(liar, code=liar.code.replace("test_T001", "test_T002"))
    kept, gone = await judge_together(bench_of(box), [first, liar])
    assert (kept.status, gone.status, gone.reject_rule) == ("valid", "quarantined", "V3")


async def test_a_suite_that_takes_too_long_loses_its_slowest(box: Box):
    slow = "import time\ntime.sleep(0.5)\n" + MISSING
    tests = await judge(
        bench_of(box), [proposed(1, MISSING, "existence"), proposed(2, slow, "existence")]
    )
    assert [test.status for test in tests] == ["valid", "valid"]
    kept, gone = await judge_together(bench_of(box, suite_timeout_s=0.45), tests)
    assert (kept.status, gone.status, gone.reject_rule) == ("valid", "rejected", "V4")


SHELF = """import sys

def total(values):
    found = 0
    for value in values:
        if value > 0:
            found += value
    return found

if __name__ == "__main__":
    print(total([int(word) for word in sys.argv[1:]]))
"""


@pytest.mark.must("testgen-14")
async def test_mutants_of_a_solution_are_made_tried_and_taken_away(box: Box):
    sharp = (
        "import subprocess, sys\nargv = [sys.executable, '/app/shelf.py', '3', '-2', '4']\n"
        "assert subprocess.run(argv, capture_output=True, text=True).stdout == '7\\n'"
    )
    blunt = (
        "import os\nassert os.path.exists('/app/shelf.py') or os.path.exists('/app/shelf.py.moved')"
    )
    tests = [
        replace(proposed(n, body, "existence"), status="valid")
        for n, body in enumerate((sharp, blunt), start=1)
    ]
    suite = freeze(tests, runner="python", survey_digest=None, config_digest="c")
    await box.put(SHELF.encode(), "/app/shelf.py")
    before = await tree_of(box, "/app", "/tmp")
    async with laid(box, FOLDER, suite):
        assert (await run_suite(suite, box, FOLDER, total_s=60)).passed
    events: list[EventBody] = []
    wanted = Wanted(paths=("/app/shelf.py", "/app/none"), folder=FOLDER, emit=events.append)
    found = await mutate(box, suite, wanted)
    kinds = {mutant.kind for mutant in found.made}
    assert {"condition", "operator", "constant", "statement", "return", "empty"} <= kinds
    assert {"half", "rename", "mode"} <= kinds
    alive = [m for n, m in enumerate(found.made) if not found.killed_by[n]]
    assert {mutant.kind for mutant in alive} <= {"mode", "operator", "constant"}
    assert found.score is not None
    assert found.score >= 0.7
    assert found.blunt == ("T002",)
    assert await tree_of(box, "/app", "/tmp") == before
    assert len(events) == 2 * len(found.made)


@pytest.mark.must("testgen-14")
def test_v10_quarantines_a_goal_that_nothing_makes_fail():
    goal = replace(proposed(1, MISSING, "existence"), status="valid")
    mutation = Mutation(made=(), blunt=("T001",))
    (shown,) = without_blunt([goal], mutation, frozenset())
    assert shown == goal
    (gone,) = without_blunt([goal], mutation, frozenset({"T001"}))
    assert (gone.status, gone.reject_rule) == ("quarantined", "V10")


def test_mutants_are_the_same_each_time_and_at_most_twenty():
    artifact = Artifact(path="/app/x.py", mode=0o644, content=SHELF.encode() * 5)
    first = mutants_of([artifact], prohibited=("R",), printed="7\n")
    assert first == mutants_of([artifact], prohibited=("R",), printed="7\n")
    assert len(first) == 20
    assert {"prohibited", "printed"} <= {mutant.kind for mutant in first}
    assert all(mutant.content != artifact.content for mutant in first)
    text = Artifact(path="/app/x.txt", mode=0o644, content=b"one 1\n\ntwo 2\n")
    kinds = {mutant.kind for mutant in mutants_of([text])}
    assert kinds == {"line", "number", "half", "empty", "rename", "mode"}
    code = Artifact(path="/app/x.c", mode=0o644, content=b"int x = a <= b;\nreturn 1;\n// a <= b\n")
    assert {"operator", "line", "number", "swap"} <= {m.kind for m in mutants_of([code])}
    assert mutants_of([Artifact(path="/x", mode=0o644, content=None)])
