"""What a test may not do (V1), read from its syntax tree. Pure; the box is not asked here.

Each find is a sentence for the model. What a tree cannot show (a path that is computed) is caught
by what the test does to the workspace (V5).
"""

import ast
import re
import sys
from collections.abc import Iterator

from mechagym.testgen.paths import touches_tripwire

MOST_SLEEP_S = 5.0
_LOCAL = re.compile(r"^(?:localhost|127(?:\.\d+){3}|0\.0\.0\.0|\[?::1\]?)?$")
_URL = re.compile(r"\b(?:https?|ftp|ws)://([^/:\s'\"{}]+|\[[0-9a-f:]+\])")
_PYTEST = frozenset({"raises", "approx", "mark"})
_ENDS = frozenset({"sys.exit", "os._exit", "os.abort", "exit", "quit", "os.kill", "os.killpg"})
_CHANGES = re.compile(
    r"^(?:os\.(?:remove|unlink|rename|replace|mkdir|makedirs|rmdir|removedirs|chmod|chown|symlink"
    r"|link|truncate|mkfifo)|shutil\.(?:rmtree|move|chown))$"
)
_COPIES = re.compile(r"^shutil\.(?:copy|copy2|copyfile|copytree|copymode|copystat)$")
_PATH_CHANGES = frozenset(
    {
        "write_text",
        "write_bytes",
        "unlink",
        "touch",
        "mkdir",
        "rmdir",
        "rename",
        "replace",
        "chmod",
        "symlink_to",
        "hardlink_to",
    }
)
_FOREIGN = re.compile(r"suite\.json|test_T\d{3}|mechagym-testgen")
_ALIASES = {"yaml": "pyyaml", "bs4": "beautifulsoup4", "PIL": "pillow", "sklearn": "scikit_learn",
            "cv2": "opencv_python", "dateutil": "python_dateutil"}  # fmt: skip


def breaches(function: ast.FunctionDef, *, packages: frozenset[str], instruction: str) -> list[str]:
    """Every rule that the function breaks; empty: none.

    `packages` are the box's own, by distribution, normalised; a module that the instruction names
    is the work's.
    """
    work = frozenset(re.findall(r"[A-Za-z_]\w*", instruction))
    found: list[str] = []
    for node in ast.walk(function):
        match node:
            case ast.Import() | ast.ImportFrom():
                found += _of_import(node, packages, work)
            case ast.Call():
                found += _of_call(node)
            case ast.Attribute():
                found += _of_attribute(node)
            case ast.Assign() | ast.AugAssign() | ast.Delete():
                found += _of_change(node)
            case ast.Constant(value=str(text)):
                found += _of_text(text)
            case ast.Name(id="__file__"):
                found.append("it reads its own file")
    return list(dict.fromkeys(found))


def normal(name: str) -> str:
    """The name of a distribution as it is compared."""
    return re.sub(r"[-_.]+", "_", name).lower()


def _of_import(
    node: ast.Import | ast.ImportFrom, packages: frozenset[str], work: frozenset[str]
) -> Iterator[str]:
    if isinstance(node, ast.Import):
        roots = [alias.name.split(".")[0] for alias in node.names]
    else:
        roots = [(node.module or "").split(".")[0]]
        if roots == ["pytest"] and {alias.name for alias in node.names} - _PYTEST:
            yield "of pytest only raises, approx and mark are allowed"
    for root in roots:
        known = root in sys.stdlib_module_names or root == "pytest" or root in work
        if not known and normal(_ALIASES.get(root, root)) not in packages:
            yield f"the module {root} is not in the box"


def _of_call(node: ast.Call) -> Iterator[str]:
    name = ast.unparse(node.func)
    if name in _ENDS:
        yield f"{name} is not allowed"
    if name in {"time.sleep", "sleep"} and _number(node) > MOST_SLEEP_S:
        yield f"it sleeps longer than {MOST_SLEEP_S:g} s"
    if name in {"setattr", "delattr"} and node.args:
        yield from _of_target(ast.unparse(node.args[0]))
    if name.endswith(("connect", "create_connection")) and (host := _host(node)):
        yield f"it reaches out to {host}"
    if path := _written(node, name):
        yield f"it changes {path}, which is outside of tmp_path"


def _written(node: ast.Call, name: str) -> str | None:
    """The absolute path, known from the text, that a call changes."""
    if name in {"open", "io.open"} and set(_mode(node)) & set("wax+"):
        return _absolute(node.args[0]) if node.args else None
    if _CHANGES.match(name):
        return _absolute(node.args[0]) if node.args else None
    if _COPIES.match(name):
        return _absolute(node.args[1]) if len(node.args) > 1 else None
    if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Call):
        receiver = node.func.value
        if ast.unparse(receiver.func).endswith("Path") and receiver.args:
            opens = node.func.attr == "open" and set(_mode(node, place=0)) & set("wax+")
            if node.func.attr in _PATH_CHANGES or opens:
                return _absolute(receiver.args[0])
    return None


def _mode(node: ast.Call, *, place: int = 1) -> str:
    given = [k.value for k in node.keywords if k.arg == "mode"] or node.args[place : place + 1]
    first = given[0] if given else None
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else "r"


def _absolute(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value[:1] == "/":
        return None if node.value == "/dev/null" else node.value
    return None


def _number(node: ast.Call) -> float:
    first = node.args[0] if node.args else None
    is_number = isinstance(first, ast.Constant) and isinstance(first.value, int | float)
    return float(first.value) if is_number else 0.0  # type: ignore[union-attr]


def _host(node: ast.Call) -> str | None:
    """A host that is written there and is not this machine."""
    first = node.args[0] if node.args else None
    if isinstance(first, ast.Tuple) and first.elts:
        first = first.elts[0]
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            return None if _LOCAL.match(first.value) else first.value
    return None


def _of_attribute(node: ast.Attribute) -> Iterator[str]:
    name = ast.unparse(node)
    root = name.split(".", 1)[0]
    if root == "pytest" and name.split(".")[1] not in _PYTEST:
        yield f"{name} is not allowed"
    if name.startswith("pytest.mark.") and not name.startswith("pytest.mark.mechagym"):
        yield f"{name} is not allowed"
    if name.startswith("unittest.") and "kip" in name:
        yield f"{name} is not allowed"


def _of_change(node: ast.Assign | ast.AugAssign | ast.Delete) -> Iterator[str]:
    targets = [node.target] if isinstance(node, ast.AugAssign) else node.targets
    for target in targets:
        if isinstance(target, ast.Attribute | ast.Subscript):
            yield from _of_target(ast.unparse(target.value))


def _of_target(name: str) -> Iterator[str]:
    if name == "sys.modules" or name.partition(".")[0] in {"pytest", "builtins", "__builtins__"}:
        yield f"it changes {name}"


def _of_text(text: str) -> Iterator[str]:
    if touches_tripwire(text):
        yield "it names a folder that no test may open"
    if _FOREIGN.search(text):
        yield "it reads other tests"
    for host in _URL.findall(text):
        if not _LOCAL.match(host):
            yield f"it reaches out to {host}"
