"""Whatever lies in a task.toml: a task, or a TaskError that names the file and a line of it."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mechagym.errors import TaskError
from mechagym.tasks.folder import load_task
from mechagym.tasks.instruction import split_canary
from mechagym.tasks.lines import line_of
from mechagym.tasks.schema import TaskFile
from mechagym.tasks.toml import known_keys
from mechagym.tasks.write import toml_text
from tests.tasks.folders import minimal, write

FUZZ = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
WORDS = sorted(
    {"version", "memory", "storage", "steps", "name", "main", "x y", "", "é", "public", "2G"}
    | {
        key
        for dotted in ("a", "environment.a", "verifier.a", "agent.a")
        for key in known_keys(dotted)
    }
    | {
        key
        for dotted in ("task.a", "environment.healthcheck.a", "steps.a")
        for key in known_keys(dotted)
    }
)
SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(WORDS),
    st.text(max_size=8),
    st.integers(),
    st.floats(),
    st.booleans(),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(WORDS), inner, max_size=4)
    ),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(st.sampled_from([*TaskFile.model_fields, "odd"]), VALUES, max_size=6)


def fault_of(folder: Path) -> str | None:
    """Load a task; return what the TaskError says. Any other error goes through, and fails."""
    try:
        task = load_task(folder)
    except TaskError as error:
        return error.message
    assert len(task.digest) == 64
    return None


def check(folder: Path) -> None:
    message = fault_of(folder)
    if message is None:
        return
    # A step that the file names may well have no folder: then a file of that step is named.
    found = re.match(rf"{re.escape(str(folder))}/(task\.toml:(\d+)|[^:]+): ", message)
    assert found, message
    lines = (folder / "task.toml").read_bytes().count(b"\n") + 1
    assert 1 <= int(found[2] or 1) <= lines, message


@pytest.mark.must("trials-1")
@FUZZ
@given(raw=st.binary(max_size=400))
def test_any_bytes(tmp_path: Path, raw: bytes):
    check(minimal(tmp_path / "task", {"task.toml": raw}))


@pytest.mark.must("trials-1")
@FUZZ
@given(
    text=st.text(
        alphabet=st.sampled_from("[]{}\"'=.,#\n\\abcenvironmt_19- \x00\ufeffé\ud7ff"), max_size=120
    )
)
def test_any_text_that_looks_like_toml(tmp_path: Path, text: str):
    check(minimal(tmp_path / "task", {"task.toml": text}))


@pytest.mark.must("trials-1")
@FUZZ
@given(document=DOCUMENTS)
def test_any_toml_document(tmp_path: Path, document: dict[str, Any]):
    check(minimal(tmp_path / "task", {"task.toml": toml_text(document)}))


@pytest.mark.must("trials-1")
@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 5000,
        "[metadata]\na = " + "[" * 300 + "]" * 300,
        "[metadata." + ".".join("a" * 1500) + "]\n",
        "a." * 3000 + "b = 1",
        "a = " + "9" * 5000,
        "a = 2020-13-45",
        'a = "\\ud800"',
        "[[steps]]\nname = 5\n" * 50,
        "x = 1\n" * 300_000,
        "[agent]\ntimeout_sec = 1e400",
    ],
    ids=lambda text: text[:12],
)
def test_monsters(tmp_path: Path, text: str):
    check(minimal(tmp_path / "task", {"task.toml": text}))


@FUZZ
@given(text=st.text(max_size=200), path=st.lists(st.sampled_from(["a", "b", 0, 1]), max_size=3))
def test_a_line_is_always_a_line(text: str, path: list[str | int]):
    assert 1 <= line_of(text, path) <= text.count("\n") + 1


def test_lines_of_keys():
    text = 'a = """\n[x]\nb = 1\n"""\n[t."q r".u]\nk.l = 1\n[[s]]\nn = 1\n[s.v]\nw = 2\n'
    text += "[[s]]\n\nn = 3\n"
    assert line_of(text, ("a",)) == 1
    assert line_of(text, ("t", "q r", "u", "k", "l")) == 6
    assert line_of(text, ("t", "q r", "u", "k", "m")) == 6
    assert line_of(text, ("s", 0, "n")) == 8
    assert line_of(text, ("s", 0, "v", "w")) == 10
    assert line_of(text, ("s", 1, "n")) == 13
    assert line_of(text, ("nothing",)) == 1


@FUZZ
@given(document=st.dictionaries(st.text(max_size=6), VALUES, max_size=5))
def test_written_toml_reads_back(tmp_path: Path, document: dict[str, Any]):
    from mechagym.tasks.texts import parse_toml, read_text

    path = write(tmp_path, {"x.toml": toml_text(document).encode()}) / "x.toml"
    assert repr(parse_toml(path, read_text(path))) == repr(_tables_last(document))


def _tables_last(value: Any) -> Any:
    """Order keys as they come back: a table's own values stand before its sub-tables."""
    if isinstance(value, dict):
        return {
            **{k: v for k, v in value.items() if not isinstance(v, dict)},
            **{k: _tables_last(v) for k, v in value.items() if isinstance(v, dict)},
        }
    return value


@pytest.mark.parametrize(
    ("text", "left", "canary"),
    [
        ("Do it.\n", "Do it.\n", ()),
        ("# Title\nDo it.\n", "# Title\nDo it.\n", ()),
        ("<!-- x-canary GUID 1 -->\n\n \nDo it.\n", "Do it.\n", ("<!-- x-canary GUID 1 -->",)),
        ("# a\n# canary\nDo", "# a\n# canary\nDo", ()),
        ("# CANARY 1\n# canary 2\nDo", "Do", ("# CANARY 1", "# canary 2")),
        ("<!-- a\ncanary\n-->\nDo", "Do", ("<!-- a", "canary", "-->")),
        ("<!-- canary --> Do\n", "<!-- canary --> Do\n", ()),
        ("Do\n# canary\n", "Do\n# canary\n", ()),
        ("# canary", "", ("# canary",)),
        ("", "", ()),
    ],
)
def test_canary_lines_are_kept_from_the_agent(text: str, left: str, canary: tuple[str, ...]):
    assert split_canary(text) == (left, canary)
