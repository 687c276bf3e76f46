"""What the command centre may not do, whoever builds on it: its code and templates are read."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mechagym.errors import ConfigError

WEB = Path(__file__).parents[2] / "src" / "mechagym" / "web"
CODE = sorted(WEB.rglob("*.py"))
TEMPLATES = sorted((WEB / "templates").rglob("*.html"))
SCRIPTS = sorted(p for p in (WEB / "static").rglob("*.js") if "vendor" not in p.parts)
READS = {"ask", "ask_at", "watch", "events", "find_job", "open", "trials"}
TAKES_OPS = {"worker.py"}
"""The taker of ops carries them out: that is not the page's doing."""

HEAVY = ("fastapi", "starlette", "uvicorn", "jinja2", "markdown_it", "pygments", "mechagym.web")


def of_store(path: Path) -> set[str]:
    """The methods of a store that a module calls."""
    return {
        node.func.attr
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and re.search(r"\bstore$|^Store$", ast.unparse(node.func.value))
    }


@pytest.mark.must("web-7")
@pytest.mark.parametrize("path", CODE, ids=lambda p: str(p.relative_to(WEB)))
def test_no_module_has_sql_or_writes_anything_but_ops(path: Path):
    text = path.read_text(encoding="utf-8")
    assert "sqlalchemy" not in text
    assert "mechagym.store.tables" not in text
    assert not re.search(r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM)\b .* ", text)
    if path.name not in TAKES_OPS:
        assert of_store(path) <= READS | {"put_op"}, path


def test_ops_are_put_in_one_place():
    putting = [path.name for path in CODE if "put_op" in of_store(path)]
    assert putting == ["asks.py"]


@pytest.mark.must("web-7")
def test_nothing_is_marked_safe_outside_of_what_escapes():
    assert TEMPLATES
    for path in TEMPLATES:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\|\s*safe\b|autoescape|Markup", text), path
        assert not re.search(r"<script(?! [^>]*src=)|\son[a-z]+=|\sstyle=|javascript:", text), path
        assert not re.search(r"""(src|href|action)=["']?(https?:)?//""", text), path
    for path in CODE:
        if path.parent.name != "text":
            assert "Markup" not in path.read_text(encoding="utf-8"), path


def test_markup_is_made_of_constants_alone():
    """`Markup(x)` trusts x: only a literal may be trusted; all else goes through `format`."""
    for path in (WEB / "text").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Markup":
                literal = all(isinstance(arg, ast.Constant) for arg in node.args)
                assert literal, f"{path.name}:{node.lineno}"


@pytest.mark.must("web-6")
def test_all_scripts_are_ours_and_small():
    files = [path for path in (WEB / "static").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".js", ".css", ".svg"}
    assert sum(path.stat().st_size for path in SCRIPTS) <= 200_000
    for path in SCRIPTS:
        text = path.read_text(encoding="utf-8")
        assert max(map(len, text.splitlines())) <= 120, f"{path}: minified, so not ours"
        assert not re.search(r"""(?:from|import\()\s*["'](?!\./)""", text), f"{path} imports others"


def test_no_page_asks_again_and_again():
    for path in (*SCRIPTS, *TEMPLATES):
        text = path.read_text(encoding="utf-8")
        assert "setInterval" not in text, path
        assert 'hx-trigger="every' not in text, path


@pytest.mark.parametrize("arguments", [["--help"], ["view", "--help"], ["worker", "--help"]])
def test_nothing_of_it_is_loaded_before_it_is_needed(arguments: list[str]):
    code = (
        f"import sys\nsys.argv = ['mechagym', *{arguments!r}]\n"
        "from mechagym.cli import main\ntry:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr.strip() == "[]"


def test_a_missing_extra_names_itself(monkeypatch: pytest.MonkeyPatch):
    from mechagym.cli import view

    monkeypatch.setattr(view, "find_spec", lambda name: None if name == "uvicorn" else object())
    with pytest.raises(ConfigError) as refusal:
        view.require_extra()
    assert "uvicorn" in refusal.value.message
    assert "pip install 'mechagym[web]'" in (refusal.value.remedy or "")
