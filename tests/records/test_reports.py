"""Test reports as the runners write them: ten of each format, most recorded from the real one."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechagym.records.reports import TestReport, read_report

FOLDER = Path(__file__).parent / "reports"
RUNNER = Path(__file__).parents[2] / "src/mechagym/testgen/runner.py"
CASES = (
    "all_passed", "some_failed", "collection_error", "skipped", "xfailed_xpassed",
    "none_collected", "crash", "timed_out", "name_with_passed", "ansi",
)  # fmt: skip
NOT_WHOLE = {"crash", "timed_out"}

# format → case → exit code (None: killed), and each test with its status
EXPECTED: dict[str, dict[str, tuple[int | None, str]]] = {
    "runner": {
        "all_passed": (0, "test_a passed | test_b passed"),
        "some_failed": (1, "test_a passed | test_sum failed"),
        "collection_error": (1, "checks/test_it.py error"),
        "skipped": (0, "test_a passed | test_b skipped"),
        "xfailed_xpassed": (1, "test_a passed | test_b xfailed | test_c xpassed"),
        "none_collected": (5, ""),
        "crash": (0, ""),
        "timed_out": (None, ""),
        "name_with_passed": (1, "test_all_passed failed | test_2_passed_in_1s passed"),
        "ansi": (1, "test_a passed | test_b failed"),
    },
    "ctrf": {
        "all_passed": (0, "a passed | b passed"),
        "some_failed": (1, "a passed | sum failed"),
        "collection_error": (1, "it_test.rb error"),
        "skipped": (0, "a passed | b skipped | c skipped"),
        "xfailed_xpassed": (1, "a passed | b error | c error"),
        "none_collected": (5, ""),
        "crash": (0, ""),
        "timed_out": (None, "a passed"),
        "name_with_passed": (1, "all 3 tests passed failed | 2 passed passed"),
        "ansi": (1, "a passed | b failed"),
    },
    "junit": {
        "all_passed": (0, "test_it::test_a passed | test_it::test_b passed"),
        "some_failed": (
            1,
            (
                "test_it::test_a passed | test_it::test_sum failed | test_it::test_text failed | "
                "test_it::test_set error"
            ),
        ),
        "collection_error": (2, "test_it error"),
        "skipped": (0, "test_it::test_a passed | test_it::test_b skipped"),
        "xfailed_xpassed": (
            0,
            "test_it::test_a passed | test_it::test_b xfailed | test_it::test_c passed",
        ),
        "none_collected": (5, ""),
        "crash": (0, ""),
        "timed_out": (None, ""),
        "name_with_passed": (
            1,
            "test_it::test_all_passed failed | test_it::test_2_passed_in_1s passed",
        ),
        "ansi": (1, "test_it::test_a passed | test_it::test_b failed"),
    },
    "pytest": {
        "all_passed": (0, "test_it.py::test_a passed | test_it.py::test_b passed"),
        "some_failed": (
            1,
            (
                "test_it.py::test_sum failed | test_it.py::test_text failed | "
                "test_it.py::test_set error | (passed without a name, 1) passed"
            ),
        ),
        "collection_error": (2, "test_it.py error"),
        "skipped": (0, "test_it.py::test_a passed | test_it.py::test_b skipped"),
        "xfailed_xpassed": (
            0,
            "test_it.py::test_a passed | test_it.py::test_b xfailed | test_it.py::test_c xpassed",
        ),
        "none_collected": (5, ""),
        "crash": (0, "test_it.py::test_a passed"),
        "timed_out": (None, "test_it.py::test_a passed"),
        "name_with_passed": (
            1,
            "test_it.py::test_all_passed failed | test_it.py::test_2_passed_in_1s passed",
        ),
        "ansi": (1, "test_it.py::test_a passed | test_it.py::test_b failed"),
    },
    "unittest": {
        "all_passed": (0, "test_it.T.test_a passed | test_it.T.test_b passed"),
        "some_failed": (
            1,
            "test_it.T.test_a passed | test_it.T.test_err error | test_it.T.test_sum failed",
        ),
        "collection_error": (1, "unittest.loader._FailedTest.test_it error"),
        "skipped": (0, "test_it.T.test_a passed | test_it.T.test_b skipped"),
        "xfailed_xpassed": (
            1,
            "test_it.T.test_a passed | test_it.T.test_b xfailed | test_it.T.test_c xpassed",
        ),
        "none_collected": (0, ""),
        "crash": (0, "test_it.T.test_a passed | test_it.T.test_b error"),
        "timed_out": (None, "test_it.T.test_a passed | test_it.T.test_b error"),
        "name_with_passed": (1, "test_it.T.test_all_passed_ok failed | test_it.T.test_ok passed"),
        "ansi": (1, "test_it.T.test_a passed | test_it.T.test_b failed"),
    },
    "go": {
        "all_passed": (0, "TestA passed | TestB passed | TestB/sub passed"),
        "some_failed": (1, "TestA passed | TestSum failed"),
        "collection_error": (2, "example error"),
        "skipped": (0, "TestA passed | TestB skipped"),
        "xfailed_xpassed": (0, "TestA passed | TestB passed | TestB/expected_to_fail skipped"),
        "none_collected": (0, ""),
        "crash": (1, "TestA passed | TestB failed"),
        "timed_out": (1, "TestA passed | TestB error"),
        "name_with_passed": (1, "TestPASS failed | TestPassed passed"),
        "ansi": (1, "TestA passed | TestB failed"),
    },
    "cargo": {
        "all_passed": (0, "tests::a passed | tests::b passed"),
        "some_failed": (101, "tests::a passed | tests::sum failed"),
        "collection_error": (101, "(compilation) error"),
        "skipped": (0, "tests::a passed | tests::b skipped"),
        "xfailed_xpassed": (101, "tests::a passed | tests::b passed | tests::c failed"),
        "none_collected": (0, ""),
        "crash": (0, "tests::a passed | tests::b error"),
        "timed_out": (None, "tests::a passed | tests::b error"),
        "name_with_passed": (101, "tests::all_passed_ok failed | tests::ok passed"),
        "ansi": (101, "tests::a passed | tests::b failed"),
    },
    "tap": {
        "all_passed": (0, "a passed | group > b passed"),
        "some_failed": (1, "a passed | sum failed"),
        "collection_error": (1, "/app/it.test.js failed"),
        "skipped": (0, "a passed | b skipped"),
        "xfailed_xpassed": (0, "a passed | b xfailed | c xpassed"),
        "none_collected": (0, ""),
        "crash": (0, "/app/it.test.js passed"),
        "timed_out": (None, "a passed"),
        "name_with_passed": (1, "ok 1 - passed failed | passed passed"),
        "ansi": (1, "a passed | b failed"),
    },
    "jest": {
        "all_passed": (0, "a passed | group › b passed"),
        "some_failed": (1, "a passed | sum failed"),
        "collection_error": (1, "(test suite) error"),
        "skipped": (0, "a passed | b skipped | later skipped"),
        "xfailed_xpassed": (1, "a passed | b passed | c failed"),
        "none_collected": (1, "(test suite) error"),
        "crash": (0, ""),
        "timed_out": (None, ""),
        "name_with_passed": (1, "all tests passed ✓ failed | 2 passed passed"),
        "ansi": (1, "a passed | b failed"),
    },
    "vitest": {
        "all_passed": (0, "it.test.js > a passed | it.test.js > group > b passed"),
        "some_failed": (1, "it.test.js > a passed | it.test.js > sum failed"),
        "collection_error": (1, "it.test.js error"),
        "skipped": (
            0,
            "it.test.js > a passed | it.test.js > b skipped | it.test.js > later skipped",
        ),
        "xfailed_xpassed": (
            1,
            "it.test.js > a passed | it.test.js > b passed | it.test.js > c failed",
        ),
        "none_collected": (1, "it.test.js error"),
        "crash": (1, ""),
        "timed_out": (None, "it.test.js > a passed"),
        "name_with_passed": (
            1,
            "it.test.js > all tests passed ✓ failed | it.test.js > 2 passed passed",
        ),
        "ansi": (1, "it.test.js > a passed | it.test.js > b failed"),
    },
}
# Where the format cannot tell: an unexpected pass looks like any other one.
GREEN = {(name, "all_passed") for name in EXPECTED} | {("junit", "xfailed_xpassed")}
# Where the runner itself lived on and told what happened: its rows already say so.
TOLD = {("go", "crash"), ("go", "timed_out")}


def _read(name: str, case: str) -> TestReport:
    return read_report(
        (FOLDER / name / f"{case}.txt").read_bytes(), exit_code=EXPECTED[name][case][0]
    )


@pytest.mark.must("map-12")
@pytest.mark.parametrize(("name", "case"), [(name, case) for name in EXPECTED for case in CASES])
def test_reading(name, case):
    report = _read(name, case)
    assert (
        " | ".join(f"{test.name} {test.status}" for test in report.tests) == EXPECTED[name][case][1]
    )
    assert (report.fault is not None) == (case in NOT_WHOLE and (name, case) not in TOLD)
    assert report.passed == ((name, case) in GREEN)


@pytest.mark.must("map-12")
def test_what_our_own_runner_writes_is_read(tmp_path):
    code = "def test_a(): pass\ndef test_sum():\n    assert 1 + 1 == 3\n"
    (tmp_path / "test_it.py").write_text(code, encoding="utf-8")
    rows = [{"test_id": f, "function": f, "file": "test_it.py"} for f in ("test_a", "test_sum")]
    (tmp_path / "suite.json").write_text(json.dumps({"tests": rows}), encoding="utf-8")
    runner = shutil.copy(RUNNER, tmp_path)  # beside it are modules with names of the library's
    done = subprocess.run([sys.executable, runner, tmp_path], capture_output=True, check=False)
    report = read_report(done.stdout, exit_code=done.returncode)
    assert (report.source, report.fault, report.exit_code) == ("runner", None, 1)
    assert [(t.name, t.status, t.line) for t in report.tests] == [
        ("test_a", "passed", None),
        ("test_sum", "failed", 3),
    ]
    assert (report.tests[1].expected, report.tests[1].actual) == ("3", "2")


@pytest.mark.must("map-12")
@pytest.mark.parametrize("name", EXPECTED)
def test_no_exit_code_is_no_pass(name):
    data = (FOLDER / name / "all_passed.txt").read_bytes()
    assert read_report(data, exit_code=0).passed
    for code in (None, 1, 2, 137):
        assert not read_report(data, exit_code=code).passed


@pytest.mark.parametrize(
    ("name", "place", "expected", "actual"),
    [
        ("runner", ("checks/test_sum.py", 4), "3", "2"),
        ("pytest", ("test_it.py", 3), "3", "(1 + 1)"),
        ("unittest", ("/app/test_it.py", 4), "3", "2"),
        ("go", ("it_test.go", 4), "3", "2"),
        ("cargo", ("src/lib.rs", 4), "3", "2"),
        ("tap", ("/app/it.test.js", 4), "3", "2"),
        ("jest", ("it.test.js", 2), "3", "2"),
        ("vitest", ("it.test.js", 2), "3", "2"),
    ],
)
def test_where_and_what(name, place, expected, actual):
    failed = next(test for test in _read(name, "some_failed").tests if test.status == "failed")
    assert (failed.file, failed.line) == place
    assert (failed.expected, failed.actual) == (expected, actual)
    assert failed.message


@pytest.mark.parametrize("name", EXPECTED)
def test_colours_are_gone(name):
    for test in _read(name, "ansi").tests:
        assert "\x1b" not in repr(test)


def test_the_best_source_counts():
    text = (FOLDER / "pytest" / "all_passed.txt").read_bytes()
    xml = (FOLDER / "junit" / "some_failed.txt").read_bytes()
    ours = (FOLDER / "runner" / "all_passed.txt").read_bytes()
    assert read_report(text, xml, exit_code=0).source == "junit"
    assert read_report(xml, ours, text, exit_code=0).source == "runner"
    assert read_report(text, b"", exit_code=0).source == "text"


@pytest.mark.must("map-12")
@pytest.mark.parametrize(
    "data", [b"", b"all tests passed", b"OK", b"{}", b"[]", b"<html/>", b"<testsuite", b"\xff\x00"]
)
def test_what_cannot_be_read_is_no_pass(data):
    report = read_report(data, exit_code=0)
    assert report.source == "unreadable" or report.fault
    assert not report.passed


def test_a_program_that_prints_a_green_summary_does_not_hide_a_failure():
    text = b"""============ test session starts ============
test_it.py::test_a FAILED
test_it.py::test_b PASSED
===== 2 passed in 0.01s =====
"""
    report = read_report(text, exit_code=0)
    assert report.fault
    assert not report.passed


def test_entities_of_xml_are_not_expanded():
    bomb = b'<!DOCTYPE x [<!ENTITY a "b">]><testsuite tests="1"><testcase name="&a;"/></testsuite>'
    assert read_report(bomb, exit_code=0).source == "unreadable"


@given(st.binary() | st.text().map(str.encode))
def test_nothing_breaks_it(data):
    read_report(data, exit_code=0)
