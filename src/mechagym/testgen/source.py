"""What a model gave as code becomes one test function that stands alone; text, no meaning.

Imports and helpers that stood beside the function move into it, so that tests of one file cannot
disturb each other.
"""

import ast
import re
from dataclasses import dataclass

MAX_CODE_CHARS = 12_000
_FENCE = re.compile(r"\A\s*```\w*\n(.*?)\n?```\s*\Z", re.DOTALL)


class BadSource(ValueError):
    """The code is no test; the message says why (rule V1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """One test function: its text and its tree."""

    code: str
    function: ast.FunctionDef


def slug(title: str) -> str:
    """A title as part of a name."""
    return re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")[:48].rstrip("_") or "unnamed"


def one_function(code: str, name: str, *, doc: str) -> Parsed:
    """The code as one function of that name; `doc` where it says nothing itself.

    Raises BadSource.
    """
    fenced = _FENCE.match(code)
    code = (fenced[1] if fenced else code).expandtabs(4)
    if len(code) > MAX_CODE_CHARS:
        raise BadSource(f"the code is longer than {MAX_CODE_CHARS} characters")
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise BadSource(f"it does not parse: {error}") from error
    test = _joined(tree)
    test.name = name
    test.decorator_list = []
    if ast.get_docstring(test) is None:
        test.body.insert(0, ast.Expr(value=ast.Constant(value=doc)))
    text = ast.unparse(ast.fix_missing_locations(test))
    function = ast.parse(text).body[0]
    assert isinstance(function, ast.FunctionDef)
    return Parsed(code=f"{text}\n", function=function)


def _joined(tree: ast.Module) -> ast.FunctionDef:
    tests = [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test")
    ]
    if len(tests) != 1:
        raise BadSource(f"one function whose name begins with test is needed, not {len(tests)}")
    test = tests[0]
    if test.decorator_list and any("mechagym" not in ast.unparse(d) for d in test.decorator_list):
        raise BadSource("a decorator is not allowed")
    _check_arguments(test)
    beside = [node for node in tree.body if node is not test and not _is_text(node)]
    told = 1 if test.body and _is_text(test.body[0]) else 0
    test.body[told:told] = beside
    return test


def _check_arguments(test: ast.FunctionDef) -> None:
    arguments = test.args
    names = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    if arguments.vararg or arguments.kwarg or set(names) - {"tmp_path"}:
        raise BadSource("the only argument that is allowed is tmp_path")


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
