"""From a matrix of entities and constraints to a file of tests to be filled; runs inside a box.

    expand_tests.py matrix.json                  write a failing stub for every tick without a test
    expand_tests.py matrix.json --stubs          name what is not filled yet; exit 1 where any is
    expand_tests.py matrix.json --summary        what a reviewer is shown
    expand_tests.py matrix.json --diff           the tests that changed since the last review
    expand_tests.py matrix.json --review FILE    keep a reviewer's answer (JSON)
    expand_tests.py matrix.json --run            run the tests; short, at most 60 lines

It needs Python 3.8 and nothing else. The same matrix gives the same bytes; what was filled is never
written over, so that a matrix may grow after a review.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

TESTS = "test_matrix.py"
REVIEWS = "reviews.jsonl"
RUNNER = "runner.py"
STUB = "not filled yet"
MAX_REVIEWS = 5
SUMMARY_CHARS = 4000
DIFF_CHARS = 4000
RUN_LINES = 60

_THING = {
    "type": "object",
    "required": ["id", "name"],
    "properties": {
        "id": {"type": "string"},
        "name": {"type": "string", "minLength": 1},
        "quote": {"type": "string"},
    },
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["entities", "constraints", "ticks"],
    "properties": {
        "entities": {"type": "array", "items": _THING, "description": "ids E1, E2, …"},
        "constraints": {"type": "array", "items": _THING, "description": "ids C1, C2, …"},
        "ticks": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["entity", "constraint", "reason"],
                "properties": {
                    "entity": {"type": "string"},
                    "constraint": {"type": "string"},
                    "reason": {"type": "string"},
                },
            },
        },
    },
}

_HEAD = '''"""Tests by the matrix: one or more for each tick, named test_<entity>x<constraint>_…"""
'''
_STUB = '''

def test_{cell}_{slug}():
    """{title}"""
    raise NotImplementedError("{stub}: {cell}")
'''


def faults_of(matrix: Any) -> list[str]:
    """What is wrong with a matrix, a sentence each; empty: it is valid."""
    if not isinstance(matrix, dict):
        return ["the matrix is no JSON object"]
    faults: list[str] = []
    ids = {
        "entities": _ids(matrix, "entities", "E", faults),
        "constraints": _ids(matrix, "constraints", "C", faults),
    }
    ticks = matrix.get("ticks")
    if not isinstance(ticks, list) or not ticks:
        return [*faults, "ticks: at least one is needed"]
    seen = set()
    for number, tick in enumerate(ticks, 1):
        cell = _cell(tick) if isinstance(tick, dict) else "x"
        entity, _, constraint = cell.partition("x")
        if entity not in ids["entities"] or constraint not in ids["constraints"]:
            faults.append(f"ticks: number {number} names no known entity and constraint")
        elif cell in seen:
            faults.append(f"ticks: {cell} stands there twice")
        seen.add(cell)
    return faults


def cells_of(matrix: Any) -> list[str]:
    """The ticks of a valid matrix, as `E1xC2`, in their order."""
    return [_cell(tick) for tick in matrix["ticks"]]


def expand(matrix: Any, text: str = "") -> str:
    """The file of tests: what is there already, and a stub for each tick that has no test."""
    tested = {cell_of(test.name) for test in cases_in(text)}
    names = {thing["id"]: thing["name"] for kind in _KINDS for thing in matrix[kind]}
    made = [text or _HEAD]
    for tick in matrix["ticks"]:
        cell = _cell(tick)
        if cell in tested:
            continue
        entity, constraint = names[tick["entity"]], names[tick["constraint"]]
        title = f"{entity}: {constraint}. {tick.get('reason') or ''}"
        slug = re.sub(r"[^a-z0-9]+", "_", f"{entity}_{constraint}".lower())[:50]
        quoted = json.dumps(" ".join(title.split()))[1:-1]
        made.append(_STUB.format(cell=cell, slug=slug.strip("_"), title=quoted, stub=STUB))
    return "".join(made)


def cases_in(text: str) -> list[ast.FunctionDef]:
    """The test functions of a file, in order. Raises SyntaxError."""
    body = ast.parse(text).body
    return [n for n in body if isinstance(n, ast.FunctionDef) and n.name.startswith("test_")]


def cell_of(name: str) -> str | None:
    """The tick that a test is for, by its name."""
    found = re.match(r"test_(E\d+xC\d+)(?:_|$)", name)
    return found.group(1) if found else None


def is_stub(test: ast.FunctionDef) -> bool:
    """Whether a test says nothing: not filled, or nothing that it asserts depends on anything."""
    texts = [node.value for node in ast.walk(test) if isinstance(node, ast.Constant)]
    if any(isinstance(text, str) and text.startswith(STUB) for text in texts):
        return True
    return not any(_observes(node) for node in ast.walk(test))


def _observes(node: ast.AST) -> bool:
    """Whether a statement can make a test fail by what it sees: an assertion that is no constant,
    a raise under a condition, `pytest.raises`.
    """
    if isinstance(node, ast.Assert):
        return any(isinstance(part, (ast.Name, ast.Call)) for part in ast.walk(node.test))
    if isinstance(node, (ast.If, ast.Try, ast.For, ast.While)):
        return any(isinstance(part, ast.Raise) for part in ast.walk(node))
    if isinstance(node, ast.Attribute):
        return node.attr == "raises" or node.attr.startswith("assert")
    return False


def stubs_of(text: str) -> list[str]:
    """The names of the tests that are not filled. Raises SyntaxError."""
    return [test.name for test in cases_in(text) if is_stub(test)]


def summary(matrix: Any, text: str) -> str:
    """Each tick with its tests and what they assert, in at most 4,000 characters."""
    for asserts in (2, 1, 0):
        lines = _summary_lines(matrix, text, asserts)
        if len("\n".join(lines)) <= SUMMARY_CHARS:
            return "\n".join(lines)
    return _cut(lines, SUMMARY_CHARS)


def _summary_lines(matrix: Any, text: str, asserts: int) -> list[str]:
    tests = cases_in(text)
    names = {thing["id"]: thing["name"] for kind in _KINDS for thing in matrix[kind]}
    stubs = sum(map(is_stub, tests))
    lines = [f"{len(matrix['ticks'])} ticks, {len(tests)} tests, {stubs} of them not filled"]
    for tick in matrix["ticks"]:
        cell = _cell(tick)
        ours = [test for test in tests if cell_of(test.name) == cell]
        state = "no test" if not ours else "stub" if any(map(is_stub, ours)) else str(len(ours))
        title = f"{names[tick['entity']]}: {names[tick['constraint']]}"
        lines.append(f"{cell} {_short(title)} [{state}]")
        for test in ours:
            found = [node for node in ast.walk(test) if isinstance(node, ast.Assert)]
            shown = (ast.get_source_segment(text, node) or "" for node in found[:asserts])
            lines += ["    " + _short(source) for source in shown]
    return lines


def changed(text: str, before: dict[str, str]) -> str:
    """The code of the tests that are new or other than at the last review, as far as fits."""
    now = digests(text)
    found = [t for t in cases_in(text) if before.get(t.name) != now[t.name]]
    gone = sorted(before.keys() - now.keys())
    lines = [f"{len(found)} tests changed, {len(gone)} removed", *gone]
    for test in found:
        lines += ["", *(ast.get_source_segment(text, test) or "").splitlines()]
    return _cut(lines, DIFF_CHARS)


def digests(text: str) -> dict[str, str]:
    """Each test with a digest of its code."""
    return {
        test.name: hashlib.sha256(
            (ast.get_source_segment(text, test) or "").encode("utf-8")
        ).hexdigest()[:16]
        for test in cases_in(text)
    }


def faults_of_answer(answer: Any) -> list[str]:
    """What is wrong with a reviewer's answer; empty: it is valid."""
    if not isinstance(answer, dict) or not isinstance(answer.get("thorough_enough"), bool):
        return ["thorough_enough: true or false is needed"]
    return [
        f"{name}: a list of texts is needed"
        for name in ("gaps", "suggestions")
        if not isinstance(answer.get(name), list)
        or not all(isinstance(line, str) for line in answer[name])
    ]


_KINDS = ("entities", "constraints")


def _ids(matrix: Any, kind: str, letter: str, faults: list[str]) -> set[str]:
    found = set()
    things = matrix.get(kind)
    for thing in things if isinstance(things, list) else ():
        own = thing.get("id") if isinstance(thing, dict) else None
        if not isinstance(own, str) or not re.fullmatch(letter + r"\d+", own):
            faults.append(f"{kind}: an id is {letter} and a number, not {own!r}")
        elif own in found:
            faults.append(f"{kind}: {own} stands there twice")
        elif not isinstance(thing.get("name"), str) or not thing["name"].strip():
            faults.append(f"{kind}: {own} has no name")
        found.add(str(own))
    if not found:
        faults.append(f"{kind}: at least one is needed")
    return found


def _cell(tick: Any) -> str:
    return f"{tick.get('entity')}x{tick.get('constraint')}"


def _short(text: str, chars: int = 120) -> str:
    text = " ".join(text.split())
    return text if len(text) <= chars else text[: chars - 1] + "…"


def _cut(lines: list[str], chars: int) -> str:
    """As many whole lines as fit, and how many do not."""
    kept: list[str] = []
    room = chars - 30
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            return "\n".join([*kept, f"… {len(lines) - len(kept)} more lines"])
        kept.append(line)
    return "\n".join(kept)


def _reviews(folder: Path) -> list[dict[str, Any]]:
    path = folder / REVIEWS
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def _keep_review(folder: Path, file: str, text: str) -> int:
    reviews = _reviews(folder)
    answer = json.loads(Path(file).read_text("utf-8"))
    faults = faults_of_answer(answer)
    if len(reviews) >= MAX_REVIEWS:
        faults = [f"{MAX_REVIEWS} reviews are the most"]
    if faults:
        sys.stderr.write("\n".join(faults) + "\n")
        return 2
    kept = {name: answer[name] for name in ("thorough_enough", "gaps", "suggestions")}
    line = json.dumps({**kept, "tests": digests(text)}, sort_keys=True, ensure_ascii=False)
    with (folder / REVIEWS).open("a", encoding="utf-8") as file_out:
        file_out.write(line + "\n")
    return 0


def manifest(text: str) -> str:
    """What the runner is told: which tests there are, and where."""
    names = [test.name for test in cases_in(text)]
    tests = [{"test_id": name, "function": name, "file": TESTS} for name in names]
    return json.dumps({"tests": tests})


def _run(folder: Path, text: str) -> int:
    """Run the tests by the runner that stands beside this file, and say how they did."""
    (folder / "suite.json").write_text(manifest(text), "utf-8")
    runner = str(Path(__file__).resolve().parent / RUNNER)
    done = subprocess.run(
        [sys.executable, "-B", runner, str(folder)], stdout=subprocess.PIPE, check=False
    )
    results = json.loads(done.stdout.decode("utf-8"))["tests"]
    bad = [result for result in results if result["status"] != "passed"]
    lines = [
        _short(f"{test['name']}:{test.get('line') or ''} {test.get('message') or ''}", 300)
        for test in bad
    ]
    more = [f"… {len(lines) - RUN_LINES + 2} more"] if len(lines) >= RUN_LINES else []
    total = f"{len(results) - len(bad)} passed" + (f", {len(bad)} failed" if bad else "")
    sys.stdout.write("\n".join([*lines[: RUN_LINES - 2], *more, total]) + "\n")
    return 1 if bad or not results else 0


def _answer(asked: Any, matrix: Any, text: str, folder: Path) -> int:
    if asked.review:
        return _keep_review(folder, asked.review, text)
    if asked.run:
        return _run(folder, text)
    if asked.stubs:
        names = stubs_of(text)
        sys.stdout.write("".join(name + "\n" for name in names))
        return 1 if names else 0
    if asked.summary:
        sys.stdout.write(summary(matrix, text) + "\n")
    elif asked.diff:
        reviews = _reviews(folder)
        sys.stdout.write(changed(text, reviews[-1]["tests"] if reviews else {}) + "\n")
    else:
        (folder / TESTS).write_text(expand(matrix, text), "utf-8")
        made = len(cases_in(expand(matrix, text)))
        sys.stdout.write(f"{folder / TESTS}: {made} tests\n")
    return 0


def main(arguments: list[str]) -> int:
    """Do what the command line asks: 0 well, 1 stubs are left, 2 something is wrong with a file."""
    parser = argparse.ArgumentParser(description="Make tests of a matrix.")
    parser.add_argument("matrix")
    modes = parser.add_mutually_exclusive_group()
    for name in ("--stubs", "--summary", "--diff", "--run"):
        modes.add_argument(name, action="store_true")
    modes.add_argument("--review", metavar="FILE")
    asked = parser.parse_args(arguments)
    folder = Path(asked.matrix).resolve().parent
    try:
        matrix = json.loads(Path(asked.matrix).read_text("utf-8"))
        tests = folder / TESTS
        text = tests.read_text("utf-8") if tests.exists() else ""
        if faults := faults_of(matrix):
            sys.stderr.write("\n".join(faults) + "\n")
            return 2
        return _answer(asked, matrix, text, folder)
    except (OSError, ValueError, SyntaxError) as error:
        sys.stderr.write(f"{error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
