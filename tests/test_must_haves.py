"""The list of must-haves is true: each test it names exists and claims it, each claim is listed."""

import ast
import importlib.machinery
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "scripts" / "must-haves"
PAGE = (ROOT / "docs" / "must-haves.md").read_text(encoding="utf-8")
IDS = [f"trials-{n}" for n in range(1, 18)] + [f"sandbox-{n}" for n in range(1, 19)]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("must_haves", str(SCRIPT))
    spec = importlib.util.spec_from_loader("must_haves", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def rows() -> dict[str, list[str]]:
    """{id: the tests the page names}, read without the script's help."""
    found: dict[str, list[str]] = {}
    for line in PAGE.splitlines():
        if (row := re.match(r"\| (\w+-[\d.]+) \|", line)) is not None:
            assert row.group(1) not in found, f"{row.group(1)} stands there twice"
            found[row.group(1)] = re.findall(r"`(tests/[^`]+)`", line)
    return found


def marks_of(path: Path, name: str) -> set[str]:
    """The ids that stand in the marks of a test, its class or its module."""
    module = ast.parse(path.read_text(encoding="utf-8"))
    scopes: list[ast.AST] = [n for n in module.body if isinstance(n, ast.Assign)]
    body = module.body
    for part in name.split("::"):
        [node] = [
            n
            for n in body
            if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and n.name == part
        ]
        scopes += node.decorator_list
        body = node.body
    texts = "\n".join(ast.unparse(scope) for scope in scopes)
    return {
        m for call in re.findall(r"must\(([^)]*)\)", texts) for m in re.findall(r"'([^']+)'", call)
    }


def test_every_must_have_is_listed_once():
    assert set(IDS) <= rows().keys()


def test_each_test_named_exists_and_claims_it():
    for name, tests in rows().items():
        for test in tests:
            path, _, function = test.partition("::")
            assert name in marks_of(ROOT / path, function), f"{test} does not claim {name}"


def test_each_claim_is_listed(script: ModuleType):
    page = rows()
    for name, tests in script.claims().items():
        assert name in page, f"{tests} claim {name}, which is not on the page"
        assert page[name] == tests, f"{name}: run scripts/must-haves"


def test_what_has_no_test_stands_under_not_shown_yet(script: ModuleType):
    _, _, not_yet = PAGE.partition(script.NOT_YET)
    listed = {name for name in rows() if f"| {name} |" in not_yet}
    assert listed == {name for name, tests in rows().items() if not tests}


def test_the_page_is_as_the_script_writes_it(script: ModuleType):
    assert script.rendered(PAGE, script.claims()) == PAGE


def test_marks_are_read_wherever_they_stand(script: ModuleType, tmp_path: Path):
    (tmp_path / "tests" / "deep").mkdir(parents=True)
    (tmp_path / "tests" / "deep" / "test_a.py").write_text(
        "pytestmark = [pytest.mark.must('trials-1')]\n"
        "@pytest.mark.must('trials-2', 'trials-10')\n"
        "async def test_one(): ...\n"
        "@pytest.mark.must('sandbox-3')\n"
        "class TestMany:\n"
        "    @pytest.mark.parametrize('x', [pytest.param(1, marks=pytest.mark.must('trials-2'))])\n"
        "    def test_two(self, x): ...\n"
        "def helper(): ...\n"
    )
    one, two = "tests/deep/test_a.py::test_one", "tests/deep/test_a.py::TestMany::test_two"
    assert script.claims(tmp_path / "tests") == {
        "trials-1": [two, one],
        "trials-2": [two, one],
        "trials-10": [one],
        "sandbox-3": [two],
    }
