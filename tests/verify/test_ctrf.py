"""The per-test table: read as far as it can be read, and never an error."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechagym.records import TestResult
from mechagym.verify.ctrf import MAX_TESTS, MAX_TEXT, parse_ctrf


def report(rows: Any, **summary: Any) -> bytes:
    return json.dumps({"results": {"tool": {}, "summary": summary, "tests": rows}}).encode()


def test_what_pytest_json_ctrf_writes():
    data = report(
        [
            {"name": "a", "status": "passed", "duration": 1.5, "extra": 1},
            {"name": "b", "status": "failed", "message": "no", "trace": "at", "suite": "s"},
            {"name": "c", "status": "skipped", "suite": ["x", "y"]},
        ],
        tests=3,
        passed=1,
        failed=1,
    )
    found = parse_ctrf(data)
    assert found.tests == (
        TestResult(name="a", status="passed", duration_ms=1.5),
        TestResult(name="b", status="failed", message="no", trace="at", suite="s"),
        TestResult(name="c", status="skipped", suite="x > y"),
    )
    assert found.faults == ()


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"\xff", b"[]", b"null", b"{}", b'{"results": 1}', b"[" * 50_000],
)
def test_what_is_no_report_is_a_fault(data: bytes):
    found = parse_ctrf(data)
    assert found.tests == ()
    assert len(found.faults) == 1


def test_rows_that_are_none_are_left_out_and_told():
    found = parse_ctrf(report([1, None, {"name": "a", "status": "passed"}]))
    assert [test.name for test in found.tests] == ["a"]
    assert found.faults == ("2 of 3 rows left out",)


@pytest.mark.parametrize("status", ["PASSED", "ok", None, 1, [], {}])
def test_an_unknown_status_is_not_a_pass(status: Any):
    assert parse_ctrf(report([{"name": "a", "status": status}])).tests[0].status == "other"


@pytest.mark.parametrize("duration", [True, -1, "1", None, float("nan"), 10**400])
def test_a_duration_that_is_none(duration: Any):
    row = {"name": "a", "status": "passed", "duration": duration}
    assert parse_ctrf(report([row])).tests[0].duration_ms is None


def test_a_summary_that_tells_another_story_is_told():
    found = parse_ctrf(report([{"name": "a", "status": "failed"}], tests=1, passed=1, failed=0))
    assert found.faults == (
        "the summary says 1 passed, the rows 0",
        "the summary says 0 failed, the rows 1",
    )


def test_rows_are_capped():
    found = parse_ctrf(report([{"name": "a", "status": "passed"}] * (MAX_TESTS + 5)))
    assert len(found.tests) == MAX_TESTS
    assert found.faults == (f"5 of {MAX_TESTS + 5} rows left out",)


def test_texts_are_capped():
    row = {"name": "a", "status": "passed", "message": "x" * 100_000}
    message = parse_ctrf(report([row])).tests[0].message or ""
    assert message.endswith("[100000 characters]")
    assert len(message) < MAX_TEXT + 50


def test_a_text_that_cannot_be_stored_is_mended():
    found = parse_ctrf(b'{"results":{"tests":[{"name":"a\\ud800b","status":"passed"}]}}')
    assert found.tests[0].name == "a?b"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
rows = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("name", "status", "duration", "message", "suite"), json_values),
)


@given(st.lists(rows | json_values, max_size=4) | json_values, json_values)
def test_nothing_crashes_it(tests: Any, summary: Any):
    data = json.dumps({"results": {"summary": summary, "tests": tests}}).encode()
    for test in parse_ctrf(data).tests:
        assert test.name
