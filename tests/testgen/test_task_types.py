"""An instruction is of the first kind whose words stand in it."""

import pytest

from mechagym.testgen.task_types import TASK_TYPES, task_type

pytestmark = pytest.mark.must("testgen-24")


@pytest.mark.parametrize(
    ("instruction", "expected"),
    [
        ("Convert model.R to Python.", "conversion"),
        ("Port the tool to Go.", "conversion"),
        ("Migrate, then fix what breaks.", "conversion"),
        ("Fix the server that listens on port 8080.", "debugging"),
        ("Write what makes the failing test pass.", "debugging"),
        ("Build a report.", "implementation"),
        ("Create /app/out.txt.", "implementation"),
        ("The report is due at port 80 of the prefix.", "_global_"),
        ("", "_global_"),
    ],
)
def test_the_first_kind_wins(instruction: str, expected: str):
    assert task_type(instruction) == expected
    assert expected in TASK_TYPES
