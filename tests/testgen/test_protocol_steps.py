"""Whether the protocol was followed is told by events and files; each way not to has a row."""

import json
from dataclasses import replace

import pytest

from mechagym.testgen.protocol.deeds import written_by
from mechagym.testgen.protocol.expand_tests import expand
from mechagym.testgen.protocol.steps import NAMES, check
from mechagym.testgen.protocol.text import FOLDER
from tests.testgen.protocol_runs import (
    CAT,
    EXPANDED,
    FILLED,
    GAPS,
    GOOD,
    GREEN,
    KEPT,
    MATRIX_WRITTEN,
    MENDED,
    READ,
    REVIEWED,
    SOLVED,
    STUBS,
    TESTS_FILLED,
    Call,
    Run,
    bash,
)

pytestmark = pytest.mark.must("testgen-26")


def states(run: Run) -> dict[str, str]:
    return {step.name: step.state for step in check(run.events, run.collected).steps}


def test_who_does_all_of_it_has_followed():
    report = check(GOOD.events, GOOD.collected)
    assert [(step.name, step.state) for step in report.steps] == [(n, "held") for n in NAMES]
    assert report.followed
    assert (report.tests_claimed, report.tests_passed, report.tests_run) == (2, 2, 2)
    assert report.stubs == 0
    kinds = {event.seq: event.body.kind for event in GOOD.events}
    evidence = {step.name: step.evidence for step in report.steps}
    assert all(kinds[seq] == "tool_called" for seqs in evidence.values() for seq in seqs)
    assert all(
        evidence[name] for name in ("PARSE INPUTS", "ANALYZE", "EXPAND", "REVIEW", "ITERATE")
    )
    assert "fresh context" in report.steps[3].detail


CODEX_READ = Call("command_execution", {"command": "bash -lc 'cat users.csv orders.csv'"}, "a,b")
CODEX_WROTE = Call("file_change", {"changes": [{"path": "/app/clean.py", "kind": "add"}]})


CODEX_ARGV = Call("shell", {"command": ["bash", "-lc", "echo x > /app/late.txt"]})
CODEX_LINE = Call("command_execution", {"command": "/bin/bash -lc 'echo x > /app/late.txt'"})


def test_an_agent_with_other_tools_is_read_as_well():
    run = GOOD.without(READ).instead(CAT, CODEX_READ).instead(SOLVED, CODEX_WROTE)
    assert check(run.events, run.collected).followed
    for late in (CODEX_ARGV, CODEX_LINE):
        assert states(run.instead(GREEN, GREEN, late))["ITERATE"] == "missing"


MISSING = {
    "an input was never opened": ("PARSE INPUTS", GOOD.without(CAT)),
    "an input was opened too late": (
        "PARSE INPUTS",
        GOOD.without(CAT).instead(MENDED, MENDED, CAT),
    ),
    "an input could not be read": (
        "PARSE INPUTS",
        GOOD.instead(READ, replace(READ, is_error=True)),
    ),
    "an input was written over, not read": (
        "PARSE INPUTS",
        GOOD.instead(READ, bash("echo x > /app/users.csv")),
    ),
    "no matrix": ("ANALYZE", replace(GOOD, matrix=None)),
    "a matrix that is no JSON": ("ANALYZE", replace(GOOD, matrix="entities: users")),
    "a matrix without a tick": (
        "ANALYZE",
        replace(GOOD, matrix='{"entities": [], "constraints": [], "ticks": []}'),
    ),
    "the tests were not expanded": ("EXPAND", GOOD.without(EXPANDED)),
    "expanding failed": ("EXPAND", GOOD.instead(EXPANDED, replace(EXPANDED, is_error=True))),
    "a tick without a test": ("EXPAND", replace(GOOD, tests=FILLED.partition("\n\n")[0])),
    "no review": ("REVIEW", replace(GOOD, reviews=())),
    "an answer that is none": ("REVIEW", replace(GOOD, reviews=({"thorough": "very"},))),
    "gaps, and no further round": ("REVIEW", replace(GOOD, reviews=(GAPS,))),
    "stubs are left": ("IMPLEMENT", replace(GOOD, tests=STUBS)),
    "an empty test is left": (
        "IMPLEMENT",
        replace(GOOD, tests=FILLED + "\ndef test_E1xC1_more():\n    assert True\n"),
    ),
    "tests that cannot be parsed": ("IMPLEMENT", replace(GOOD, tests="def test_E1xC1(:")),
    "the tests never ran": ("ITERATE", GOOD.without(GREEN)),
    "the last run was red": (
        "ITERATE",
        GOOD.instead(GREEN, replace(GREEN, output="1 failed, 1 passed", is_error=True)),
    ),
    "an output was changed after the green run": ("ITERATE", GOOD.instead(GREEN, GREEN, SOLVED)),
    "a report in /tmp that was asked for came after it": (
        "ITERATE",
        GOOD.instead(GREEN, GREEN, bash("echo done > /tmp/report.txt")),
    ),
}


@pytest.mark.parametrize("name", MISSING)
def test_each_step_can_be_missing(name: str):
    step, run = MISSING[name]
    found = states(run)
    assert found[step] == "missing", found
    assert not check(run.events, run.collected).followed


def test_every_step_is_on_the_table():
    assert {step for step, _ in MISSING.values()} == set(NAMES)


@pytest.mark.parametrize(
    "run",
    [
        GOOD.instead(GREEN, GREEN, bash(f"rm -rf {FOLDER}/x; echo note > /tmp/notes.txt")),
        replace(GOOD, reviews=(GAPS, GAPS, GAPS, GAPS, GAPS)),
        replace(GOOD, inputs=()).without(READ, CAT),
        GOOD.instead(GREEN, GREEN, bash("cat /app/clean.py | grep '>' ; ls 2>/dev/null")),
    ],
    ids=["scratch files", "five rounds are used up", "no inputs", "only reading"],
)
def test_what_is_still_held(run: Run):
    assert check(run.events, run.collected).followed, states(run)


def test_an_agent_that_shows_nothing_is_unknown_not_missing():
    found = states(replace(GOOD, calls=()))
    assert [found[name] for name in NAMES] == [
        *("unknown", "held", "unknown", "held", "held", "unknown"),
    ]
    assert not check(replace(GOOD, calls=()).events, GOOD.collected).followed


def test_a_claim_of_green_over_twelve_stubs_is_seen():
    matrix = {
        "entities": [{"id": "E1", "name": "users"}],
        "constraints": [{"id": f"C{n}", "name": f"rule {n}"} for n in range(1, 13)],
        "ticks": [{"entity": "E1", "constraint": f"C{n}", "reason": ""} for n in range(1, 13)],
    }
    run = replace(GOOD, matrix=json.dumps(matrix), tests=expand(matrix), own_run=(12, 0))
    run = run.instead(GREEN, replace(GREEN, output="12 passed"))
    report = check(run.events, run.collected)
    assert not report.followed
    assert {s.name for s in report.steps if s.state == "missing"} == {"IMPLEMENT"}
    assert (report.stubs, report.tests_claimed) == (12, 12)
    assert (report.tests_passed, report.tests_run) == (0, 12)


@pytest.mark.parametrize(
    ("run", "context"),
    [
        (GOOD, "fresh"),
        (GOOD.without(REVIEWED), "same"),
        (GOOD.without(KEPT), "unknown"),
    ],
)
def test_the_context_of_the_review_is_recorded(run: Run, context: str):
    review = check(run.events, run.collected).steps[3]
    assert (review.state, f"{context} context" in review.detail) == ("held", True)


def test_tests_that_were_changed_after_the_first_solution_are_listed():
    run = GOOD.instead(GREEN, TESTS_FILLED, GREEN)
    report = check(run.events, run.collected)
    [called] = [e.seq for e in run.events if e.body.kind == "tool_called"][-2:-1]
    assert report.notes == (f"tests changed after the first solution: event {called}",)
    assert report.followed
    assert check(GOOD.events, GOOD.collected).notes == ()
    assert MATRIX_WRITTEN in GOOD.calls


@pytest.mark.parametrize(
    ("command", "paths"),
    [
        ("ls -la /app", []),
        ("echo x > out.txt", ["out.txt"]),
        ("echo x >> /app/out.txt 2>&1", ["/app/out.txt"]),
        ("cat a 2>/dev/null | grep '>' > b", ["b"]),
        ("cd /app/sub && printf x >out; cp a ../b", ["/app/sub/out", "/app/b"]),
        ("tee -a log.txt < in", ["log.txt"]),
        ("sed -i 's/a > b/c/' code.py", ["code.py"]),
        ("sed 's/a/b/' code.py", []),
        ("mv one two", ["two"]),
        ("python3 -c 'print(1 > 0)'", []),
        ("cat > a.py <<'EOF'\nx > y\nEOF\ncat > b.py <<EOF\nz\nEOF", ["a.py", "b.py"]),
        ("echo 'unbalanced > x", []),
        ("bash <<'A'\nset -e\ncat > a.py <<'B'\nx > y\nB\necho z > c\nA\n", ["a.py", "c"]),
        ("python3 - <<'A'\nif x > y: pass\nA", []),
    ],
)
def test_what_a_command_writes(command: str, paths: list[str]):
    assert list(written_by(command)) == paths
