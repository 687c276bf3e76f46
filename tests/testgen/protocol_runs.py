"""Runs of wrapped agents as events and files record them: one that follows, and ways not to."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mechagym.events import AgentStarted, Event, EventBody, ToolCalled, ToolReturned
from mechagym.records import now
from mechagym.testgen.protocol.expand_tests import expand
from mechagym.testgen.protocol.steps import Collected
from mechagym.testgen.protocol.text import FOLDER

MATRIX = {
    "entities": [{"id": "E1", "name": "users"}, {"id": "E2", "name": "orders"}],
    "constraints": [{"id": "C1", "name": "no field may be empty"}],
    "ticks": [
        {"entity": "E1", "constraint": "C1", "reason": "stated"},
        {"entity": "E2", "constraint": "C1", "reason": "stated"},
    ],
}
STUBS = expand(MATRIX)
FILLED = """
def test_E1xC1_users():
    assert all(all(row.split(",")) for row in open("/app/users.out"))

def test_E2xC1_orders():
    assert all(all(row.split(",")) for row in open("/app/orders.out"))
"""
ENOUGH = {"thorough_enough": True, "gaps": [], "suggestions": []}
GAPS = {"thorough_enough": False, "gaps": ["orders"], "suggestions": []}
INPUTS = ("/app/users.csv", "/app/orders.csv")
TASK = "Clean /app/users.csv and /app/orders.csv. Write /tmp/report.txt too."


@dataclass(frozen=True)
class Call:
    """A tool call and what came back."""

    tool: str
    arguments: Mapping[str, Any]
    output: str = ""
    is_error: bool = False


def bash(command: str, output: str = "", *, is_error: bool = False) -> Call:
    return Call("Bash", {"command": command}, output, is_error)


READ = Call("Read", {"file_path": "/app/users.csv"}, "1\ta,b")
CAT = bash("head -3 /app/orders.csv; wc -l orders.csv", "a,b")
MATRIX_WRITTEN = Call("Write", {"file_path": f"{FOLDER}/matrix.json", "content": "{}"})
EXPANDED = bash(f"cd {FOLDER} && python3 expand_tests.py matrix.json", "2 tests")
SUMMED = bash(f"python3 {FOLDER}/expand_tests.py {FOLDER}/matrix.json --summary", "2 ticks")
REVIEWED = Call("Task", {"prompt": "You are a reviewer …"}, json.dumps(ENOUGH))
KEPT = bash(f"python3 {FOLDER}/expand_tests.py {FOLDER}/matrix.json --review {FOLDER}/a.json")
TESTS_FILLED = Call("Write", {"file_path": f"{FOLDER}/test_matrix.py", "content": FILLED})
SOLVED = Call("Write", {"file_path": "/app/clean.py", "content": "…"})
RED = bash(
    f"python3 -m pytest -q --tb=short {FOLDER}/test_matrix.py | tail -60", "1 failed, 1 passed"
)
MENDED = bash("cat > /app/clean.py <<'EOF'\nif a > b:\n    pass\nEOF\npython3 /app/clean.py")
GREEN = bash(f"cd {FOLDER} && python3 -m pytest -q test_matrix.py", "2 passed in 0.01s")


@dataclass(frozen=True)
class Run:
    """What an agent did and left."""

    calls: Sequence[Call] = (
        *(READ, CAT, MATRIX_WRITTEN, EXPANDED, SUMMED, REVIEWED, KEPT, TESTS_FILLED),
        *(SOLVED, RED, MENDED, GREEN),
    )
    matrix: str | None = json.dumps(MATRIX)
    tests: str | None = FILLED
    reviews: Sequence[Mapping[str, Any]] = (ENOUGH,)
    inputs: tuple[str, ...] = INPUTS
    own_run: tuple[int, int] | None = (2, 2)

    def without(self, *calls: Call) -> "Run":
        return replace(self, calls=[call for call in self.calls if call not in calls])

    def instead(self, old: Call, *new: Call) -> "Run":
        calls = [c for call in self.calls for c in (new if call is old else (call,))]
        return replace(self, calls=calls)

    @property
    def events(self) -> list[Event]:
        return [
            Event(subject="t", seq=seq, at=now(), body=body, try_number=1)
            for seq, body in enumerate(self._bodies(), 1)
        ]

    def _bodies(self) -> Iterator[EventBody]:
        yield AgentStarted(agent="any", version="1", instruction=TASK)
        for number, call in enumerate(self.calls):
            call_id = f"call-{number}"
            yield ToolCalled(call_id=call_id, tool=call.tool, arguments=dict(call.arguments))
            yield ToolReturned(call_id=call_id, output=call.output, is_error=call.is_error)

    @property
    def collected(self) -> Collected:
        files = {
            "matrix.json": self.matrix,
            "test_matrix.py": self.tests,
            "reviews.jsonl": "".join(json.dumps({**r, "tests": {}}) + "\n" for r in self.reviews),
        }
        run, passed = self.own_run or (None, None)
        return Collected(
            files={name: text for name, text in files.items() if text},
            inputs=self.inputs,
            tests_run=run,
            tests_passed=passed,
        )


GOOD = Run()
