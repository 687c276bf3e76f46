"""The one suggestion: from statuses and differences."""

import pytest

from mechagym.agents.map.advice import advice
from mechagym.records.reports import TestCase, TestReport

REPORT = TestReport(source="runner", exit_code=1)


def case(name: str = "a", **fields: str) -> TestCase:
    return TestCase(name=name, status="failed", **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("failed", "says"),
    [
        ([case(expected="3", actual="4")], "a: expected 3, got 4."),
        ([case(expected="'a b'", actual="'a  b'")], "white space"),
        ([case(expected="'x'", actual=r"'x\n'")], "line ends"),
        ([case(expected="Yes", actual="yes")], "upper and lower case"),
        ([case(expected="[1, 2]", actual="[2, 1]")], "order"),
        ([case(expected="3.14", actual="3.1415")], "rounding"),
        ([case(message="FileNotFoundError: /app/x")], "not there"),
        ([case("a", message="it did not end within 10 s"), case("b")], "a takes too long"),
        ([case("a", message="KeyError: k"), case("b", message="KeyError: k")], "one cause"),
        ([case("a", message="no"), case("b", message="nor this")], "Begin with a."),
        ([], ""),
    ],
)
def test_a_suggestion(failed, says):
    said = advice(REPORT, failed, [])
    assert says in said
    assert bool(said) == bool(says)


def test_a_broken_guard_comes_first():
    assert advice(REPORT, [case()], [case("kept")]).startswith("Something that worked before")


@pytest.mark.parametrize(
    "report",
    [TestReport(source="unreadable"), TestReport(source="text", fault="it stops", exit_code=0)],
)
def test_a_report_that_is_not_whole_is_told(report):
    assert "did not run to their end" in advice(report, [], [])
