"""A suite on disk: a pytest file per category, a manifest with all fields, and what runs them.

The same tests in the same order give the same bytes; the digest is over what decides a result.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mechagym.records import to_dict
from mechagym.records.testgen import CATEGORIES, GeneratedTest, SuiteRunner
from mechagym.testgen.types import TestSuite, digest_of

MANIFEST = "suite.json"
RUNNER = "runner.py"
COUNTED = ("valid",)
SHOWN = ("valid", "advisory")
_HEAD = '''"""Generated tests: {category}. Each says what it is for; `suite.json` tells the rest."""

import pytest
'''
_CONFTEST = '''"""Makes the mark of generated tests known to pytest."""


def pytest_configure(config):
    config.addinivalue_line("markers", "mechagym(**fields): where a generated test comes from")
'''


def freeze(
    tests: Iterable[GeneratedTest],
    *,
    runner: SuiteRunner,
    survey_digest: str | None,
    config_digest: str,
    ready: bool = False,
) -> TestSuite:
    """The tests that are good for something, with their digest."""
    kept = tuple(test for test in tests if test.status in SHOWN)
    decides = [[test.test_id, test.role, test.status, test.code] for test in kept]
    return TestSuite(
        digest=digest_of([runner, decides]),
        tests=kept,
        runner=runner,
        survey_digest=survey_digest,
        config_digest=config_digest,
        ready=ready,
    )


def counted(suite: TestSuite) -> tuple[GeneratedTest, ...]:
    """The tests that decide; advisory ones are shown only."""
    return tuple(test for test in suite.tests if test.status in COUNTED)


def file_of(test: GeneratedTest, runner: SuiteRunner) -> str:
    """Where a test stands in the folder."""
    return f"test_{test.category}.py" if runner == "python" else f"{test.test_id}.sh"


def files_of(suite: TestSuite) -> Mapping[str, str]:
    """Name → text of everything that makes up the suite's folder."""
    files = {MANIFEST: _manifest(suite)}
    if suite.runner == "sh":
        files |= {file_of(test, "sh"): _check(test) for test in suite.tests}
        return files
    for category in CATEGORIES:
        if tests := [test for test in suite.tests if test.category == category]:
            files[f"test_{category}.py"] = _module(category, tests)
    files["conftest.py"] = _CONFTEST
    files[RUNNER] = Path(__file__).with_name(RUNNER).read_text(encoding="utf-8")
    return files


def _manifest(suite: TestSuite) -> str:
    tests = [{"file": file_of(test, suite.runner), **to_dict(test)} for test in suite.tests]
    told = {**to_dict(replace(suite, tests=())), "tests": tests}
    return json.dumps(told, indent=1, ensure_ascii=False) + "\n"


def _module(category: str, tests: Sequence[GeneratedTest]) -> str:
    blocks = [f"{_mark(test)}\n{test.code.rstrip()}\n" for test in tests]
    return "\n\n".join([_HEAD.format(category=category), *blocks])


def _mark(test: GeneratedTest) -> str:
    fields = [
        f"id={json.dumps(test.test_id)}",
        f"category={json.dumps(test.category)}",
        f"role={json.dumps(test.role)}",
        f"requirements={json.dumps(list(test.requirement_ids))}",
        f"cells={json.dumps(list(test.cells))}",
        f"expected={json.dumps(test.expected_source)}",
        f"source={json.dumps(test.input_source) if test.input_source else None}",
        f"run={json.dumps(test.provenance.run_id)}",
    ]
    return "@pytest.mark.mechagym(\n" + "".join(f"    {field},\n" for field in fields) + ")"


def _check(test: GeneratedTest) -> str:
    """A check of sh says the same in comments."""
    requirements = ", ".join(test.requirement_ids) or "no requirement"
    lines = [
        f"# {test.test_id} {test.category} {test.role}: {' '.join(test.title.split())}",
        f"# {requirements}; expected: {test.expected_source}; run {test.provenance.run_id}",
    ]
    return "\n".join([*lines, test.code.rstrip()]) + "\n"
