"""The planner's modules stand behind small seams, its texts know no benchmark, its events are told.

`benchmark` here: the tasks that agents are measured on.
"""

import ast
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic_ai.messages import ModelMessage, ModelResponse

from mechagym.agents.map import heartbeat
from mechagym.budget import Meter
from mechagym.errors import BudgetExhausted, ModelError
from mechagym.events.map import MapEvent
from mechagym.sandbox.base import Box
from mechagym.testing.checks import ShellChecks
from tests.agents.map.play import Play, completes, play, runs, says, writes
from tests.agents.map.test_flow import BETTER, TEN, level
from tests.agents.map.test_sampled_runs import candidates_say
from tests.test_architecture import SOURCE, imports_of

ROOM = SOURCE / "agents" / "map"
FILES = sorted(ROOM.rglob("*.py"))
FOREIGN = ("mechagym.testgen", "mechagym.verify", "mechagym.run")
NAMED = re.compile(
    r"terminal.?bench|swe.?bench|human.?eval|\bmbpp\b|harbor|pytest-ctrf|/logs/agent|reward\.txt",
    re.IGNORECASE,
)
"""Names, paths and formats of benchmarks. The tripwire folders are named: they are kept shut."""


@pytest.mark.must("map-1")
def test_each_module_stands_behind_a_protocol_of_at_most_six_methods():
    tree = ast.parse((ROOM / "base.py").read_text(encoding="utf-8"))
    seams = {
        node.name: [n for n in node.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
        for node in tree.body
        if isinstance(node, ast.ClassDef) and "Protocol" in map(ast.unparse, node.bases)
    }
    modules = {"Decomposer", "Actor", "Monitor", "Evaluator", "Orchestrator", "Sampler", "Checks"}
    assert modules <= seams.keys()
    for name, methods in seams.items():
        assert 1 <= len(methods) <= 6, name
        for method in methods:
            assert ast.unparse(method.body[-1]) == "...", f"{name}.{method.name} is implemented"


@pytest.mark.must("map-1")
@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOM)))
def test_it_imports_no_test_generation_no_verifier_no_driver(path: Path):
    assert not [m for m in imports_of(path) if m.startswith(FOREIGN)]


@pytest.mark.must("map-28")
def test_no_text_of_it_knows_a_benchmark_or_an_example(request: pytest.FixtureRequest):
    tasks = request.config.rootpath / "examples" / "tasks"
    names = {folder.name for folder in tasks.iterdir()} | {
        path.name
        for path in tasks.rglob("*")
        if path.is_file() and "environment" in path.parts and path.name != "Dockerfile"
    }
    common = {"Makefile", "README.md", "__init__.py", "__main__.py"}
    assert len(names - common) > 15
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        assert not NAMED.search(text), path
        assert not [name for name in names - common if name in text], path


@pytest.mark.must("map-26")
async def test_every_kind_of_event_is_told_by_some_run(mini: Box, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(heartbeat, "EVERY_S", 0.02)
    seen, told = Play(), set[type]()

    replies: list[Any] = [
        runs("cat /tests/x"),
        writes("e.sh", 'for f in /tmp/.map-*/checks/*; do echo edited >> "$f"; done\n'),
        runs("sleep 0.1; sh e.sh; echo 1 > n"),
        *[level(3, salt) for salt in range(12)],
        *[level(10), completes(), completes()],
    ]
    await play(
        mini,
        replies,
        task=f"{BETTER} Write it to `n`.",
        checks=ShellChecks(lines=TEN),
        options={"max_turns": "30", "decomposer": "rules", "monitor": "rules"},
        open_model=candidates_say(seen, replies, lambda number: 3 + number),
        seen=seen,
    )
    told |= {type(event) for event in seen.events}
    long: list[Any] = [runs(f"echo {n}") for n in range(7)]

    def refuses(messages: list[ModelMessage]) -> ModelResponse:
        raise ModelError("prompt is too long")

    await mini.exec(["sh", "-c", "rm -f /app/*"])
    seen = await play(mini, [*long, refuses, says("so far"), *[completes()] * 3])
    told |= {type(event) for event in seen.events}

    def broke(messages: list[ModelMessage]) -> ModelResponse:
        raise BudgetExhausted("no money")

    seen = await play(mini, [broke], meter=Meter())
    told |= {type(event) for event in seen.events}
    assert set(get_args(MapEvent)) - told == set()
