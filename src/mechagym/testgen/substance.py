"""Whether a test can say anything at all (V2): does an assertion depend on something observed?

Observed is what comes out of the box: files, programs, sockets, the modules of the work. A value
that is only computed from constants shows nothing, however it is written.
"""

import ast
import re
import sys
from collections.abc import Iterable

_OBSERVES = re.compile(
    r"(?:^|\.)(?:open|run|Popen|check_output|check_call|call|getoutput|getstatusoutput|system|popen"
    r"|read_text|read_bytes|exists|lexists|is_file|is_dir|is_symlink|is_mount|isfile|isdir|islink"
    r"|stat|lstat|listdir|scandir|walk|iterdir|glob|iglob|rglob|readlink|access|getsize|getmtime"
    r"|samefile|owner|group|which|urlopen|create_connection|connect|HTTPConnection|request"
    r"|ZipFile|TarFile|is_zipfile|getpwnam|getgrnam|import_module|run_path|run_module|exec"
    r"|spec_from_file_location|__import__|cmp|getxattr|statvfs|kill|disk_usage)$"
)
_MARKS = re.compile(r"\b(?:TODO|FIXME)\b|\bNotImplemented(?:Error)?\b")


def has_substance(function: ast.FunctionDef) -> bool:
    """Whether the test can fail for a reason outside of itself."""
    if _MARKS.search(ast.unparse(function)):
        return False
    seen = _Seen(function)
    return any(seen.observes(place) for place in _assertions(function, seen))


def _assertions(function: ast.FunctionDef, seen: "_Seen") -> Iterable[ast.AST]:
    """What decides: conditions of asserts, raised assertions' conditions, blocks that must raise.

    A condition that an `or True` makes true is none.
    """
    for node in ast.walk(function):
        match node:
            case ast.Assert(test=test) if not _always(test):
                yield test
            case ast.If() if any(_raises(inner) for inner in ast.walk(node)):
                yield node.test
            case ast.With(items=items, body=body) if any(
                ast.unparse(item.context_expr).startswith(("pytest.raises", "raises"))
                for item in items
            ):
                yield from body
            case ast.Call(
                func=ast.Attribute(attr="check_call" | "check_output" | "check_returncode")
            ):
                yield node
            case ast.Call(keywords=keywords) if any(
                k.arg == "check" and getattr(k.value, "value", False) is True for k in keywords
            ):
                yield node
            case ast.Call(func=ast.Name(id=name)) if name in seen.asserting:
                yield node


def _raises(node: ast.AST) -> bool:
    return isinstance(node, ast.Raise) and "AssertionError" in ast.unparse(node)


def _always(test: ast.expr) -> bool:
    match test:
        case ast.BoolOp(op=ast.Or(), values=values):
            return any(isinstance(value, ast.Constant) and bool(value.value) for value in values)
        case ast.Constant() | ast.JoinedStr():
            return True
        case ast.Tuple(elts=elements):
            return bool(elements)
        case _:
            return False


class _Seen:
    """Names whose values come from the box, found by following assignments until nothing changes.

    `asserting` are helpers inside of the test that assert something observed.
    """

    def __init__(self, function: ast.FunctionDef) -> None:
        self.names: set[str] = set(self._modules(function))
        self.asserting: set[str] = set()
        helpers = [n for n in ast.walk(function) if isinstance(n, ast.FunctionDef | ast.Lambda)]
        for _ in range(10):
            before = len(self.names)
            for node in ast.walk(function):
                self._follow(node)
            for helper in helpers:
                if helper is not function and isinstance(helper, ast.FunctionDef):
                    self._follow_helper(helper)
            if len(self.names) == before:
                break

    def observes(self, node: ast.AST) -> bool:
        """Whether anything in it comes from the box."""
        return any(
            (isinstance(inner, ast.Name) and inner.id in self.names)
            or (isinstance(inner, ast.Call) and bool(_OBSERVES.search(ast.unparse(inner.func))))
            for inner in ast.walk(node)
        )

    @staticmethod
    def _modules(function: ast.FunctionDef) -> Iterable[str]:
        """Names that are imported from what is no part of Python: from the work, mostly."""
        for node in ast.walk(function):
            if isinstance(node, ast.Import):
                roots = [(alias.asname or alias.name, alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                roots = [(alias.asname or alias.name, node.module or "") for alias in node.names]
            else:
                continue
            for name, module in roots:
                if module.split(".")[0] not in {*sys.stdlib_module_names, "pytest"}:
                    yield name.split(".")[0]

    def _follow(self, node: ast.AST) -> None:
        match node:
            case ast.Assign(targets=targets, value=value) if self.observes(value):
                self._add(targets)
            case ast.AugAssign(target=target, value=value) if self.observes(value):
                self._add([target])
            case ast.AnnAssign(target=target, value=ast.expr() as value) if self.observes(value):
                self._add([target])
            case ast.NamedExpr(target=target, value=value) if self.observes(value):
                self._add([target])
            case (
                ast.For(target=target, iter=source) | ast.comprehension(target=target, iter=source)
            ) if self.observes(source):
                self._add([target])
            case ast.With(items=items):
                for item in items:
                    if item.optional_vars is not None and self.observes(item.context_expr):
                        self._add([item.optional_vars])
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name)), args=arguments) if any(
                map(self.observes, arguments)
            ):
                self.names.add(name)  # a list that something observed was put into

    def _follow_helper(self, helper: ast.FunctionDef) -> None:
        if any(self.observes(statement) for statement in helper.body):
            self.names.add(helper.name)
            if any(isinstance(node, ast.Assert) for node in ast.walk(helper)):
                self.asserting.add(helper.name)

    def _add(self, targets: Iterable[ast.AST]) -> None:
        self.names |= {
            node.id
            for target in targets
            for node in ast.walk(target)
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)
        } | {
            node.value.id
            for target in targets
            for node in ast.walk(target)
            if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.value, ast.Name)
        }
