"""Whether two tests are the same (V8): by their trees after renaming, or by what they look at."""

import ast
import io
import tokenize

MOST_OVERLAP = 0.9


def shape_of(code: str) -> str:
    """The tree with names numbered in order, texts of documentation left out; sh: its words."""
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return " ".join(code.split())
    names: dict[str, str] = {}

    class Rename(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.Name:
            return ast.Name(id=_numbered(names, node.id), ctx=node.ctx)

        def visit_arg(self, node: ast.arg) -> ast.arg:
            return ast.arg(arg=_numbered(names, node.arg))

        def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
            node.name = "f"
            if ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.Pass()]
            return self.generic_visit(node)

    return ast.dump(Rename().visit(tree))


def _numbered(names: dict[str, str], name: str) -> str:
    """Names of the language itself keep theirs: `len` is not `max`."""
    builtins = __builtins__ if isinstance(__builtins__, dict) else vars(__builtins__)
    return name if name in builtins else names.setdefault(name, f"n{len(names)}")


def alike(code: str, other: str) -> bool:
    """Whether two tests of the same cells look at the same things in nearly the same words."""
    ours, theirs = _tokens(code), _tokens(other)
    if not ours or not theirs or _observed(code) != _observed(other):
        return False
    return len(ours & theirs) / len(ours | theirs) > MOST_OVERLAP


def _tokens(code: str) -> set[str]:
    try:
        found = list(tokenize.generate_tokens(io.StringIO(code).readline))
    except (tokenize.TokenError, SyntaxError):
        return set(code.split())
    skipped = {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.COMMENT}
    return {token.string for token in found if token.type not in skipped}


def _observed(code: str) -> frozenset[str]:
    """The texts and numbers in it."""
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return frozenset(code.split())
    return frozenset(repr(node.value) for node in ast.walk(tree) if isinstance(node, ast.Constant))
