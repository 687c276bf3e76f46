"""What the text of a proposed test shows: each rule takes out bad ones and keeps good ones."""

import ast
from dataclasses import replace
from typing import Any

import pytest

from mechagym.records.survey import Language, Survey
from mechagym.records.testgen import GeneratedTest, InputFact, Provenance, Requirement, Tick
from mechagym.testgen.proposals import Ground, Numbered, Proposal, screen
from mechagym.testgen.source import BadSource, one_function
from mechagym.testgen.suite import files_of, freeze

RUN = "tg-20250101-120000-a1b2c3"
INSTRUCTION = "Write the module shelf to /app/shelf.py. Blank lines are skipped."
SURVEY = Survey(
    backend="memory",
    image="i",
    network="public",
    workdir="/app",
    user="root",
    languages=(Language(name="Python", version="3.12.1", packages=("PyYAML==6", "pytest==8")),),
)
GROUND = Ground(
    instruction=INSTRUCTION,
    runner="python",
    survey=SURVEY,
    facts=(
        InputFact(path="/app/in.csv", sha256="9f2c41aa" * 8, format="csv", shape="", sample=""),
    ),
    requirements=(Requirement(id="R3", quote="Blank lines are skipped.", kind="edge"),),
    ticks=(Tick(entity_id="E2", constraint_id="C4"),),
)
PLACE = Numbered(
    number=14,
    category="boundary",
    provenance=Provenance(run_id=RUN, round=2, step=1, model="m", prompt_digest="d"),
)


def screened(code: str, *, earlier: tuple[GeneratedTest, ...] = (), **fields: object):
    proposal = Proposal(**{"title": "a title", "code": code, **fields})  # type: ignore[arg-type]
    return screen(proposal, PLACE, GROUND, earlier)


GOOD = 'def test_x():\n    assert open("/app/out").read() == "3"\n'
KEPT = [
    GOOD,
    'import os\ndef test_x():\n    assert os.path.exists("/app/out")\n',
    (
        'def test_x(tmp_path):\n    (tmp_path / "a").write_text("1")\n'
        '    import subprocess\n    assert subprocess.run(["/app/x", tmp_path]).returncode == 0\n'
    ),
    (
        "import pytest\nimport shelf\ndef test_x():\n    with pytest.raises(ValueError):\n"
        "        shelf.put(-1)\n"
    ),
    (
        "import yaml\ndef test_x():\n    found = yaml.safe_load(open('/app/o.yaml'))\n"
        "    total = 0\n    for row in found:\n        total += row['n']\n    assert total == 3\n"
    ),
    (
        "def helper(path):\n    return open(path).read()\ndef test_x():\n"
        "    assert helper('/app/out') == '1'\n"
    ),
    (
        "import urllib.request\ndef test_x():\n"
        "    assert urllib.request.urlopen('http://127.0.0.1:80/').read() == b'1'\n"
    ),
    "import subprocess\ndef test_x():\n    subprocess.run(['/app/x'], check=True)\n",
    "import time\ndef test_x():\n    time.sleep(1)\n    assert open('/app/tests/x').read()\n",
    (
        "import json\ndef test_x():\n    seen = []\n    for line in open('/app/o'):\n"
        "        seen.append(json.loads(line))\n    assert seen == [1]\n"
    ),
    (
        "import stat, os\ndef test_x():\n    if os.stat('/app/o').st_mode & 0o077:\n"
        "        raise AssertionError('open to others')\n"
    ),
    "def test_x():\n    open('/dev/null', 'w').close()\n    assert open('/app/o').read()\n",
]
BREACHES = [
    "def test_x(:\n    pass",
    "x = 1",
    f"{GOOD}\n{GOOD.replace('test_x', 'test_y')}",
    "def test_x(monkeypatch):\n    assert open('/app/o')\n",
    "import pytest\n@pytest.mark.parametrize('a', [1])\ndef test_x():\n    assert open('/app/o')\n",
    "import pytest\ndef test_x():\n    pytest.skip('no')\n    assert open('/app/o')\n",
    "import pytest\ndef test_x():\n    pytest.xfail('no')\n    assert open('/app/o')\n",
    "from pytest import skip\ndef test_x():\n    skip()\n    assert open('/app/o')\n",
    "import sys\ndef test_x():\n    assert open('/app/o')\n    sys.exit(0)\n",
    "import os\ndef test_x():\n    assert open('/app/o')\n    os._exit(0)\n",
    "import urllib.request as u\ndef test_x():\n    assert u.urlopen('https://example.org/x').read()\n",
    "import socket\ndef test_x():\n    assert socket.create_connection(('10.1.2.3', 80))\n",
    "def test_x():\n    open('/app/o', 'w').write('1')\n    assert open('/app/o').read()\n",
    "import os\ndef test_x():\n    os.remove('/app/o')\n    assert not os.path.exists('/app/o')\n",
    (
        "from pathlib import Path\ndef test_x():\n    Path('/app/o').write_text('')\n"
        "    assert Path('/app/o').exists()\n"
    ),
    (
        "import shutil, os\ndef test_x():\n    shutil.copy('/app/a', '/app/b')\n"
        "    assert os.path.exists('/app/b')\n"
    ),
    "def test_x():\n    assert open('/tests/test.sh').read()\n",
    "import subprocess\ndef test_x():\n    assert subprocess.run('cat /solution/x', shell=True)\n",
    "def test_x():\n    assert open('/logs/verifier/reward.txt').read()\n",
    "import time\ndef test_x():\n    time.sleep(6)\n    assert open('/app/o')\n",
    "import pytest\ndef test_x():\n    pytest.raises = None\n    assert open('/app/o')\n",
    "import builtins\ndef test_x():\n    builtins.open = None\n    assert open('/app/o')\n",
    "import builtins\ndef test_x():\n    setattr(builtins, 'open', 1)\n    assert open('/app/o')\n",
    "import sys\ndef test_x():\n    sys.modules['x'] = 1\n    assert open('/app/o')\n",
    "def test_x():\n    assert open(__file__).read()\n",
    "def test_x():\n    assert open('suite.json').read()\n",
    "import pandas\ndef test_x():\n    assert pandas.read_csv('/app/o').size\n",
]
STUBS = [
    "def test_x():\n    pass\n",
    "def test_x():\n    ...\n",
    "def test_x():\n    assert True\n",
    "def test_x():\n    assert 1 + 1 == 2\n",
    "def test_x():\n    x = [1, 2]\n    assert len(x) == 2\n",
    "def test_x():\n    # TODO: open the file\n    raise NotImplementedError\n",
    'def test_x():\n    """TODO"""\n    assert open("/app/o").read() == "1"\n',
    "def test_x():\n    open('/app/o').read()\n",
    "def test_x():\n    assert open('/app/o').read() or True\n",
    "def test_x():\n    assert (open('/app/o').read() == '1', 'message')\n",
    "import json\ndef test_x():\n    assert json.loads('[1]') == [1]\n",
    "from pathlib import Path\ndef test_x():\n    path = Path('/app/o')\n    assert path\n",
]


@pytest.mark.must("testgen-14")
@pytest.mark.parametrize("code", KEPT)
def test_good_tests_are_kept(code: str):
    test = screened(code)
    assert (test.status, test.reject_reason) == ("proposed", "")


@pytest.mark.must("testgen-14")
@pytest.mark.parametrize("code", BREACHES)
def test_v1_takes_out_what_a_test_may_not_do(code: str):
    assert (screened(code).status, screened(code).reject_rule) == ("rejected", "V1")


@pytest.mark.must("testgen-14")
@pytest.mark.parametrize("code", STUBS)
def test_v2_takes_out_what_says_nothing(code: str):
    test = screened(code)
    assert (test.status, test.reject_rule, test.label) == ("rejected", "V2", "Stub")


@pytest.mark.must("testgen-14")
def test_v6_wants_a_reason_for_a_guard():
    assert screened(GOOD, role="guard").reject_rule == "V6"
    assert screened(GOOD, role="guard", guard_reason="it is there now").status == "proposed"


@pytest.mark.must("testgen-14")
def test_v8_takes_out_the_later_of_two_that_are_the_same():
    first = replace(screened(GOOD), test_id="T001")
    renamed = GOOD.replace("test_x():", 'test_other():\n    """Said differently."""')
    again = screened(renamed, earlier=(first,))
    assert (again.reject_rule, again.reject_reason) == ("V8", "it is the same as T001")
    other = screened(GOOD.replace('"3"', '"4"'), earlier=(first,))
    assert other.status == "proposed"
    long = "def test_x():\n    import json\n" + "".join(
        f"    value_{i} = json.load(open('/app/o'))[{i}]\n    assert value_{i} == 'v{i}'\n"
        for i in range(12)
    )
    twin = long + "    assert json\n"
    longer = replace(screened(long), test_id="T002")
    assert screened(twin, earlier=(longer,)).reject_rule == "V8"
    assert screened(twin, earlier=(replace(longer, cells=("E2xC4",)),)).status == "proposed"
    gone = replace(longer, status="rejected")
    assert screened(twin, earlier=(gone,)).status == "proposed"


@pytest.mark.must("testgen-7")
def test_where_the_input_comes_from_is_said():
    reads = 'def test_x():\n    assert open("/app/in.csv").read() == open("/app/out").read()\n'
    made = (
        'def test_x(tmp_path):\n    (tmp_path / "a").write_text("1")\n    assert open("/app/o")\n'
    )
    assert screened(reads).input_source == "/app/in.csv@9f2c41aa"
    assert screened(made).input_source == "synthetic"
    assert screened(GOOD).input_source is None
    lines = screened(made, input_source="/app/in.csv@0000#lines 3-9")
    assert lines.input_source == "/app/in.csv@9f2c41aa#lines 3-9"
    invented = screened(made, input_source="/app/other.csv@1234")
    assert (invented.reject_rule, invented.reject_reason) == (
        "V1",
        "/app/other.csv is no input of this box",
    )


@pytest.mark.must("testgen-8")
def test_what_is_stated_must_be_in_the_instruction():
    quoted: dict[str, Any] = {
        "expected_source": "stated",
        "expected_quote": "Blank  lines\nare skipped.",
    }
    assert screened(GOOD, **quoted).expected_source == "stated"
    quoted["expected_quote"] = "Blank lines are kept."
    assert screened(GOOD, **quoted).expected_source == "assumed"


def test_unknown_requirements_and_cells_are_left_out():
    test = screened(GOOD, requirement_ids=("R3", "R9"), cells=("E2xC4", "E9xC9", "E2xC4"))
    assert (test.requirement_ids, test.cells) == (("R3",), ("E2xC4",))


def test_what_stands_beside_a_test_moves_into_it():
    code = (
        "import os\nLIMIT = 3\n\ndef helper():\n    return os.getpid()\n\n"
        'def test_y():\n    """Why."""\n    assert helper() > LIMIT\n'
    )
    parsed = one_function(code, "test_T001_y", doc="unused")
    assert [type(node) for node in ast.parse(parsed.code).body] == [ast.FunctionDef]
    space: dict[str, object] = {}
    exec(parsed.code, space)
    space["test_T001_y"]()  # type: ignore[operator]
    assert ast.get_docstring(parsed.function) == "Why."
    with pytest.raises(BadSource, match="longer"):
        one_function(f"def test_x():\n    x = '{'a' * 20_000}'\n", "n", doc="")


MANIFESTED = screened(
    'def test_x():\n    assert open("/app/out").read() == open("/app/in.csv").read()\n',
    title="Empty line gives no row",
    requirement_ids=("R3",),
    cells=("E2xC4",),
    expected_source="computed",
    expected_output="count of non-blank lines",
)
GOLDEN = '''"""Generated tests: boundary. Each says what it is for; `suite.json` tells the rest."""

import pytest


@pytest.mark.mechagym(
    id="T014",
    category="boundary",
    role="goal",
    requirements=["R3"],
    cells=["E2xC4"],
    expected="computed",
    source="/app/in.csv@9f2c41aa",
    run="tg-20250101-120000-a1b2c3",
)
def test_T014_empty_line_gives_no_row():
    """R3: Empty line gives no row. Expected: count of non-blank lines"""
    assert open('/app/out').read() == open('/app/in.csv').read()
'''


@pytest.mark.must("testgen-12")
def test_the_form_of_a_suite_is_the_golden_one():
    import json

    valid = replace(MANIFESTED, status="valid", label="Real")
    suite = freeze([valid], runner="python", survey_digest="s", config_digest="c", ready=True)
    files = files_of(suite)
    assert set(files) == {"test_boundary.py", "suite.json", "conftest.py", "runner.py"}
    assert files["test_boundary.py"] == GOLDEN
    manifest = json.loads(files["suite.json"])
    (told,) = manifest["tests"]
    assert set(GeneratedTest.__dataclass_fields__) <= told.keys()
    assert told["provenance"]["run_id"] == RUN
    assert (manifest["digest"], manifest["ready"]) == (suite.digest, True)
    advisory = replace(valid, status="advisory")
    others = [
        freeze([t], runner="python", survey_digest="s", config_digest="c").digest
        for t in (advisory, replace(valid, code=valid.code + "\n"), replace(valid, test_id="T1"))
    ]
    assert len({suite.digest, *others}) == 4
    again = freeze([valid], runner="python", survey_digest="x", config_digest="y")
    assert again.digest == suite.digest


@pytest.mark.must("testgen-12")
def test_names_are_unique_whatever_the_titles():
    names = {
        screen(Proposal(title="Same!", code=GOOD), replace(PLACE, number=n), GROUND, ()).function
        for n in range(1, 6)
    }
    assert names == {f"test_T00{n}_same" for n in range(1, 6)}
