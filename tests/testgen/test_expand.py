"""What runs in the box: a matrix becomes stubs that fail, the same ones every time."""

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechagym.testgen.protocol import expand_tests
from mechagym.testgen.protocol.expand_tests import (
    SUMMARY_CHARS,
    cases_in,
    cells_of,
    expand,
    faults_of,
    is_stub,
    stubs_of,
    summary,
)

SCRIPT = Path(expand_tests.__file__)
MATRIX: dict[str, Any] = {
    "entities": [{"id": "E1", "name": "users"}, {"id": "E2", "name": 'orders of "today"\n'}],
    "constraints": [{"id": "C1", "name": "no field may be empty", "quote": "No field …"}],
    "ticks": [
        {"entity": "E1", "constraint": "C1", "reason": "stated"},
        {"entity": "E2", "constraint": "C1", "reason": "a \\ in it"},
    ],
}
FILLED = """
def test_E1xC1_users_no_field_may_be_empty():
    rows = open("/app/users.csv").read().splitlines()
    assert all(all(row.split(",")) for row in rows)
"""

names = st.text(min_size=1, max_size=30).filter(str.strip)


@st.composite
def matrices(draw: st.DrawFn) -> dict[str, Any]:
    entities = draw(st.lists(names, min_size=1, max_size=12))
    constraints = draw(st.lists(names, min_size=1, max_size=12))
    cells = st.tuples(
        st.integers(1, len(entities)), st.integers(1, len(constraints)), st.text(max_size=40)
    )
    ticks = draw(st.lists(cells, min_size=1, max_size=60, unique_by=lambda cell: cell[:2]))
    return {
        "entities": [{"id": f"E{n}", "name": name} for n, name in enumerate(entities, 1)],
        "constraints": [{"id": f"C{n}", "name": name} for n, name in enumerate(constraints, 1)],
        "ticks": [{"entity": f"E{e}", "constraint": f"C{c}", "reason": r} for e, c, r in ticks],
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The helper folder as it is in a box: the script stands alone."""
    shutil.copy(SCRIPT, tmp_path)
    (tmp_path / "matrix.json").write_text(json.dumps(MATRIX))
    return tmp_path


def run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    argv = [sys.executable, str(folder / SCRIPT.name), str(folder / "matrix.json"), *arguments]
    return subprocess.run(argv, check=False, capture_output=True, text=True)


@pytest.mark.must("testgen-25")
def test_the_same_matrix_gives_the_same_bytes(folder: Path):
    made = []
    for _ in range(2):
        assert run(folder).returncode == 0
        made.append((folder / "test_matrix.py").read_bytes())
        (folder / "test_matrix.py").unlink()
    assert made[0] == made[1]


@pytest.mark.must("testgen-25")
@given(matrices())
def test_every_tick_gets_a_stub_that_fails(matrix: dict[str, Any]):
    assert faults_of(matrix) == []
    text = expand(matrix)
    assert text == expand(json.loads(json.dumps(matrix)))
    tests = cases_in(text)
    assert [expand_tests.cell_of(test.name) for test in tests] == cells_of(matrix)
    assert stubs_of(text) == [test.name for test in tests]
    made: dict[str, Any] = {}
    exec(compile(text, "test_matrix.py", "exec"), made)
    for test in tests:
        with pytest.raises(NotImplementedError):
            made[test.name]()
    assert expand(matrix, text) == text


@pytest.mark.must("testgen-25")
@given(matrices())
def test_a_summary_is_at_most_4000_characters(matrix: dict[str, Any]):
    assert len(summary(matrix, expand(matrix))) <= SUMMARY_CHARS


@pytest.mark.must("testgen-25")
def test_a_long_summary_is_cut_and_says_so():
    many = {
        **MATRIX,
        "constraints": [{"id": f"C{n}", "name": "rule " * 20} for n in range(1, 200)],
        "ticks": [{"entity": "E1", "constraint": f"C{n}", "reason": ""} for n in range(1, 200)],
    }
    told = summary(many, expand(many))
    assert len(told) <= SUMMARY_CHARS
    assert "more lines" in told.splitlines()[-1]


def test_what_was_filled_is_kept_when_the_matrix_grows(folder: Path):
    (folder / "test_matrix.py").write_text(FILLED)
    assert run(folder).returncode == 0
    text = (folder / "test_matrix.py").read_text()
    assert text.startswith(FILLED)
    assert [test.name[:10] for test in cases_in(text)] == ["test_E1xC1", "test_E2xC1"]
    left = run(folder, "--stubs")
    assert (left.returncode, left.stdout.splitlines()) == (
        1,
        ["test_E2xC1_orders_of_today_no_field_may_be_empty"],
    )
    told = run(folder, "--summary").stdout
    assert "E1xC1 users: no field may be empty [1]" in told
    assert "assert all(all(row.split" in told
    assert "[stub]" in told


def test_a_diff_shows_what_changed_since_the_last_review(folder: Path):
    run(folder)
    assert "2 tests changed" in run(folder, "--diff").stdout
    answer = folder / "answer.json"
    answer.write_text('{"thorough_enough": false, "gaps": ["g"], "suggestions": []}')
    assert run(folder, "--review", str(answer)).returncode == 0
    assert run(folder, "--diff").stdout == "0 tests changed, 0 removed\n"
    (folder / "test_matrix.py").write_text(FILLED)
    told = run(folder, "--diff").stdout
    assert "1 tests changed, 1 removed" in told
    assert "users.csv" in told


def test_a_review_must_be_an_answer_and_there_are_five_at_most(folder: Path):
    run(folder)
    answer = folder / "answer.json"
    answer.write_text('{"thorough_enough": "yes", "gaps": [], "suggestions": []}')
    assert run(folder, "--review", str(answer)).returncode == 2
    answer.write_text('{"thorough_enough": true, "gaps": [], "suggestions": []}')
    codes = [run(folder, "--review", str(answer)).returncode for _ in range(6)]
    assert codes == [0, 0, 0, 0, 0, 2]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"ticks": []}, "at least one"),
        ({"ticks": [{"entity": "E9", "constraint": "C1", "reason": ""}]}, "no known"),
        ({"ticks": [MATRIX["ticks"][0], MATRIX["ticks"][0]]}, "twice"),
        ({"ticks": "all"}, "at least one"),
        ({"ticks": [7]}, "no known"),
        ({"entities": [{"id": "users", "name": "users"}]}, "an id is E"),
        ({"entities": [{"id": "E1", "name": " "}]}, "no name"),
        ({"entities": [MATRIX["entities"][0]] * 2}, "twice"),
        ({"constraints": None}, "at least one"),
    ],
)
def test_what_is_wrong_with_a_matrix_is_told(folder: Path, change: dict[str, Any], told: str):
    (folder / "matrix.json").write_text(json.dumps({**MATRIX, **change}))
    done = run(folder)
    assert done.returncode == 2
    assert told in done.stderr
    assert not (folder / "test_matrix.py").exists()


@pytest.mark.parametrize(
    ("body", "stub"),
    [
        ("pass", True),
        ("...", True),
        ("assert True", True),
        ("assert 1 == 1", True),
        ("'''a doc'''", True),
        ("raise NotImplementedError('not filled yet: E1xC1')", True),
        ("x = open('/a').read()", True),
        ("assert open('/a').read() == 'b'", False),
        ("if not exists('/a'): raise AssertionError", False),
        ("with pytest.raises(ValueError): parse('')", False),
        ("self.assertEqual(parse(''), 1)", False),
    ],
)
def test_a_stub_is_what_cannot_fail_by_what_it_sees(body: str, stub: bool):
    [test] = cases_in(f"def test_E1xC1():\n    {body}\n")
    assert is_stub(test) is stub


def test_it_needs_python_38_and_the_standard_library():
    tree = ast.parse(SCRIPT.read_text("utf-8"), feature_version=(3, 8))
    imported = {
        alias.name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    } | {
        (node.module or "").partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
    }
    assert imported <= sys.stdlib_module_names
