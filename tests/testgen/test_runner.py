"""The runner says what pytest says of the same file; checks of sh run where there is no Python."""

import ast
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from mechagym.records.testgen import GeneratedTest
from mechagym.testgen import runner
from mechagym.testgen.running import RunOptions, laid, read_runs, run_laid, run_passes, run_suite
from mechagym.testgen.suite import files_of, freeze
from tests.actors import QUICK_BOXES, open_box
from tests.testgen.event_examples import TEST

PASS = [
    "assert 1 == 1",
    "with pytest.raises(ValueError):\n    int('x')",
    (
        "with pytest.raises(ValueError, match='invalid') as caught:\n    int('x')\n"
        "assert 'x' in str(caught.value)"
    ),
    "with pytest.raises((KeyError, IndexError)):\n    [][0]",
    "assert 0.1 + 0.2 == pytest.approx(0.3)",
    "assert [0.1 + 0.2, 1] == pytest.approx([0.3, 1.0])",
    "assert {'a': 0.30000000001} == pytest.approx({'a': 0.3})",
    "assert 105 == pytest.approx(100, rel=0.1)",
    "assert 100.4 == pytest.approx(100, abs=0.5)",
    "assert 101 != pytest.approx(100)",
    "assert not (101 == pytest.approx(100))",
    "(tmp_path / 'x').write_text('1')\nassert (tmp_path / 'x').read_text() == '1'",
    "import subprocess, sys\nassert subprocess.run([sys.executable, '-c', '']).returncode == 0",
    "assert list(tmp_path.iterdir()) == []",
    "import os\nos.environ['X'] = '1'\nassert os.environ['X'] == '1'",
]
FAIL = [
    "assert 1 == 2",
    "assert [] , 'nothing there'",
    "with pytest.raises(ValueError):\n    int('1')",
    "with pytest.raises(ValueError, match='other'):\n    int('x')",
    "with pytest.raises(KeyError):\n    int('x')",
    "assert 0.1 + 0.2 == pytest.approx(0.31)",
    "assert [1, 2] == pytest.approx([1, 2, 3])",
    "assert {'a': 1} == pytest.approx({'b': 1})",
    "assert 100 == pytest.approx(105, abs=1)",
    "open('/no/such/file').read()",
    "raise RuntimeError('so')",
    "import no_such_module_at_all",
    "undefined_name",
    "import os\nassert 'X_Y_Z' in os.environ",
    "assert float('nan') == pytest.approx(float('nan'))",
]


def suite_of(bodies: list[str], **changes: object):
    tests = [made(number, body, **changes) for number, body in enumerate(bodies, start=1)]
    return freeze(tests, runner="python", survey_digest=None, config_digest="c")


def made(number: int, body: str, **changes: object) -> GeneratedTest:
    name = f"test_T{number:03d}_x"
    code = f"def {name}(tmp_path):\n" + "".join(f"    {line}\n" for line in body.splitlines())
    fields: dict[str, object] = {
        "test_id": f"T{number:03d}",
        "function": name,
        "code": code,
        "status": "valid",
        "reject_rule": None,
        "input_source": None,
        **changes,
    }
    return replace(TEST, **fields)  # type: ignore[arg-type]


def written(folder: Path, bodies: list[str]) -> Path:
    for name, text in files_of(suite_of(bodies)).items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def ran(folder: Path, *argv: str):
    command = [sys.executable, str(folder / "runner.py"), str(folder), *argv]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, read_runs(done.stdout)


@pytest.mark.must("testgen-13")
def test_runner_and_pytest_agree_on_thirty_tests(tmp_path: Path):
    bodies = PASS + FAIL
    assert len(bodies) == 30
    folder = written(tmp_path, bodies)
    code, (runs,) = ran(folder)
    ours = {test.test_id: test.passed for test in runs.tests}
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:anyio"]
    subprocess.run(
        [*argv, f"--junitxml={tmp_path}/x.xml", "-o", "addopts=", "--rootdir", str(folder)],
        cwd=folder,
        capture_output=True,
        check=False,
    )
    cases = ET.parse(tmp_path / "x.xml").iter("testcase")
    theirs = {
        (case.get("name") or "")[5:9]: not list(case.iter("failure")) + list(case.iter("error"))
        for case in cases
    }
    assert ours == theirs
    assert (code, sum(ours.values())) == (1, 15)


def test_the_runner_is_plain_python_3_8():
    source = Path(runner.__file__).read_text("utf-8")
    tree = ast.parse(source, feature_version=(3, 8))
    modules = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module]
        )
        if name
    }
    assert modules <= sys.stdlib_module_names


def test_what_a_failure_tells(tmp_path: Path):
    folder = written(tmp_path, ["found = [1, 2]\nassert len(found) == 3", "import nothing_here"])
    _, (runs,) = ran(folder)
    first, second = runs.tests
    assert (first.exception, first.actual, first.expected) == ("AssertionError", "2", "3")
    lines = (folder / "test_boundary.py").read_text("utf-8").splitlines()
    assert first.line
    assert "assert len(found) == 3" in lines[first.line - 1]
    assert (second.exception, second.missing) == ("ModuleNotFoundError", "nothing_here")


def test_tests_cannot_disturb_each_other(tmp_path: Path):
    bodies = [
        "import os, sys, pytest\npytest.raises = None\nsys.modules.clear()\nos._exit(0)",
        "with pytest.raises(ValueError):\n    int('x')",
        "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
        "assert True",
    ]
    _, (runs,) = ran(written(tmp_path, bodies))
    assert [test.status for test in runs.tests] == ["failed", "passed", "failed", "passed"]
    assert runs.tests[0].message == "its process ended by itself"


def test_time_limits(tmp_path: Path):
    folder = written(tmp_path, ["import time\ntime.sleep(60)", "assert 1"])
    _, (runs,) = ran(folder, "--timeout=0.3")
    slow, quick = runs.tests
    assert (slow.timed_out, slow.status, quick.status) == (True, "failed", "passed")
    _, (runs,) = ran(folder, "--timeout=5", "--total=0.2")
    assert [test.status for test in runs.tests] == ["failed", "failed"]


def test_what_a_test_changes_is_told_and_undone(tmp_path: Path):
    here = tmp_path / "app"
    (here / "sub").mkdir(parents=True)
    (here / "a").write_text("1")
    (here / "sub" / "b").write_text("2")
    (here / "link").symlink_to("a")
    (here / "a").chmod(0o600)
    bodies = [
        f"open('{here}/new', 'w').write('x')",
        f"open('{here}/a', 'w').write('other')",
        f"import shutil\nshutil.rmtree('{here}/sub')",
        f"import os\nos.chmod('{here}/a', 0o644)",
        f"import os\nos.unlink('{here}/link')",
        f"assert open('{here}/a').read() == '1' and open('{here}/sub/b').read() == '2'",
    ]
    folder = tmp_path / "suite"
    folder.mkdir()
    _, (runs,) = ran(written(folder, bodies), f"--watch={here}")
    changed = [[Path(path).name for path in test.changed] for test in runs.tests]
    assert changed == [["new"], ["a"], ["sub", "b"], ["a"], ["link"], []]
    assert runs.tests[-1].passed
    assert (here / "a").stat().st_mode & 0o777 == 0o600
    assert (here / "link").readlink() == Path("a")


def test_passes_and_choice(tmp_path: Path):
    folder = written(tmp_path, ["assert 1", "assert 0", "assert 1"])
    _, runs = ran(folder, "--passes=3", "--only=T001,T003")
    assert [[test.test_id for test in run.tests] for run in runs] == [
        ["T001", "T003"],
        ["T003", "T001"],
        ["T001", "T003"],
    ]


@pytest.mark.parametrize("text", ["", "Traceback", "[]", '{"tests": [{}]}', '{"tests": 3}'])
def test_a_report_that_cannot_be_read_is_no_pass(text: str):
    (runs,) = read_runs(text)
    assert runs.tests == ()
    assert runs.fault


@pytest.mark.must("testgen-13")
@pytest.mark.parametrize("name", QUICK_BOXES)
async def test_checks_of_sh_run_without_python(name: str):
    checks = ["[ -s /app/out.txt ]", "exit 3", "sleep 5", "echo said; [ 1 = 2 ]"]
    tests = [replace(made(n, ""), code=code) for n, code in enumerate(checks, start=1)]
    suite = freeze(tests, runner="sh", survey_digest=None, config_digest="c")
    async with open_box(name) as box:
        await box.put(b"x", "/app/out.txt")
        async with laid(box, "/tmp/checks", suite):
            options = RunOptions(test_timeout_s=1, passes=2)
            first, second = await run_passes(box, "/tmp/checks", suite, options)
            report = await run_suite(suite, box, "/tmp/checks", total_s=20)
            listed = json.loads((await box.exec(["cat", "/tmp/checks/suite.json"])).text)
        gone = await box.exec(["ls", "-d", "/tmp/checks"])
    assert [test.passed for test in first.tests] == [True, False, False, False]
    assert [test.test_id for test in second.tests] == ["T004", "T003", "T002", "T001"]
    assert first.tests[2].timed_out
    assert first.tests[3].message == "said"
    assert (report.source, report.passing, report.total) == ("runner", 2, 4)  # with more time
    assert len(listed["tests"]) == 4
    assert not gone.ok


async def test_advisory_tests_are_shown_and_never_counted():
    tests = [replace(made(1, ""), code="true; [ -d /app ]"), replace(made(2, ""), code="exit 1")]
    tests[1] = replace(tests[1], status="advisory")
    suite = freeze(tests, runner="sh", survey_digest=None, config_digest="c")
    async with open_box("memory") as box, laid(box, "/tmp/checks", suite):
        report = await run_suite(suite, box, "/tmp/checks", total_s=20)
        everything = await run_laid(box, "/tmp/checks", suite, RunOptions())
    assert [case.name for case in report.tests] == ["test_T001_x"]
    assert report.passed
    assert len(everything.tests) == 2
