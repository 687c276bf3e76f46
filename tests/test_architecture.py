"""The house stands as drawn: imports go down, never in circles; files and functions stay small."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "mechagym"
ROWS: tuple[frozenset[str], ...] = (
    frozenset({"errors", "events", "records", "budget"}),
    frozenset({"tasks", "sandbox", "llm", "store", "trajectory"}),
    frozenset({"agents", "verify", "testgen"}),
    frozenset({"run", "climb", "build", "export"}),
    frozenset({"web", "integrations", "config", "wiring", "cli"}),
)
BESIDE = frozenset({"testing"})
ROW_0_OWN = {"records": 0, "errors": 0, "events": 1, "budget": 2}
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
FILES = sorted(SOURCE.rglob("*.py"))


def room_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "mechagym" and len(parts) > 1 else None


def row_of(room: str) -> int:
    return next(i for i, row in enumerate(ROWS) if room in row)


def module_of(path: Path) -> str:
    parts = ["mechagym", *path.relative_to(SOURCE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = frozenset(module_of(path) for path in FILES)


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            if node.module:
                # `from package import module` is about the module, not about the package
                names = {f"{node.module}.{alias.name}" for alias in node.names}
                yield from names & MODULES
                if names - MODULES:
                    yield node.module


def test_every_room_is_on_the_plan():
    rooms = {p.relative_to(SOURCE).parts[0].removesuffix(".py") for p in FILES}
    rooms -= {"__init__", "__main__", "py"}
    assert rooms <= frozenset().union(*ROWS) | BESIDE


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_down(path: Path):
    here = room_of(module_of(path))
    if here is None or here in BESIDE or here == "__main__":
        return
    for module in imports_of(path):
        there = room_of(module)
        if there is None or there == here or there == "__version__":
            continue
        assert there not in BESIDE, f"{path}: shipped code does not import the doubles ({module})"
        if row_of(here) == 0:
            assert row_of(there) == 0, f"{path}: {module}"
            assert ROW_0_OWN[there] <= ROW_0_OWN[here], f"{path}: {module}"
        elif row_of(here) == len(ROWS) - 1:
            continue
        else:
            assert row_of(there) < row_of(here), f"{path}: {here} must not import {module}"


def test_no_cycles():
    modules = {module_of(p): p for p in FILES}
    graph = {
        name: {m for m in imports_of(path) if m in modules and m != name}
        for name, path in modules.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " → ".join([*trail[trail.index(name) :], name])
        if name not in done:
            for target in sorted(graph[name]):
                visit(target, (*trail, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_sizes(path: Path):
    text = path.read_text(encoding="utf-8")
    lines = len(text.splitlines())
    assert lines <= MAX_FILE_LINES, f"{path} has {lines} lines: a file says one thing"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= MAX_FUNCTION_LINES, f"{path}: {node.name} has {length} lines"


@pytest.mark.parametrize("path", [p for p in FILES if p.name == "base.py"], ids=str)
def test_seams_are_small(path: Path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef) and any(ast.unparse(b) == "Protocol" for b in node.bases):
            methods = [
                n
                for n in node.body
                if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
                and not any(ast.unparse(d) == "property" for d in n.decorator_list)
            ]
            assert len(methods) <= 6, f"{path}: {node.name} has {len(methods)} methods"


IN_A_BOX = "testgen/runner.py"
"""The program that is put into a box and tells what it starts there to leave no caches."""


def test_the_environment_is_read_in_one_place():
    for path in FILES:
        if path.name != "config.py" and not path.as_posix().endswith(IN_A_BOX):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Attribute) and ast.unparse(node) in {
                    "os.environ",
                    "os.getenv",
                }:
                    raise AssertionError(f"{path}:{node.lineno} reads the environment")
