"""Running a suite in a box: laid into a folder of its own, run, read, and taken away again.

Tests run by `runner.py` where the box has Python, else each is a line of sh of its own. Nothing is
installed. The report is the box's word: who needs more runs it in a fork that no agent ever saw.
"""

import json
import re
import tempfile
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio

from mechagym.errors import BoxDied, SandboxError
from mechagym.records.reports import CaseStatus, TestCase, TestReport
from mechagym.records.survey import Survey
from mechagym.records.testgen import GeneratedTest, SuiteRunner
from mechagym.sandbox.base import MIB, Box, ExecOptions
from mechagym.sandbox.scripts import clear
from mechagym.testgen.suite import RUNNER, counted, file_of, files_of
from mechagym.testgen.types import TestSuite

TEST_TIMEOUT_S = 10.0
_SPARE_S = 10.0
_CLEAR_S = 10.0
_NOT_FOUND = 127
_ABSENT = re.compile(r"([^\s:]+): (?:command )?(?:not found|No such file)")
_STATE = r"""
cd -- "$1" 2>/dev/null && find . -xdev \( -type f -o -type l -o -type d \) \
    -exec stat -c '%f %s %n' {} + 2>/dev/null | sort
cd -- "$1" 2>/dev/null && find . -xdev -type f -exec sha256sum {} + 2>/dev/null | sort
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How one test did once. `missing`: the module that an import did not find."""

    test_id: str
    status: CaseStatus
    message: str = ""
    duration_s: float = 0.0
    timed_out: bool = False
    exception: str = ""
    missing: str | None = None
    file: str | None = None
    line: int | None = None
    expected: str | None = None
    actual: str | None = None
    changed: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether it did."""
        return self.status == "passed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """`only` None: all. `watch`: the folder in which changes are told, and by Python undone.

    Of several `passes` every second one goes backwards; `total_s` is for each.
    """

    only: tuple[str, ...] | None = None
    passes: int = 1
    test_timeout_s: float = TEST_TIMEOUT_S
    total_s: float = 120.0
    watch: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """All results of a run; `fault` where the report is not whole."""

    tests: tuple[Ran, ...] = ()
    duration_s: float = 0.0
    fault: str | None = None
    by_id: dict[str, Ran] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_id", {test.test_id: test for test in self.tests})


def runner_for(survey: Survey | None) -> SuiteRunner:
    """Python where the box has one that the runner works with; sh works everywhere."""
    language = survey.language("Python") if survey else None
    if language is None:
        return "sh"
    numbers = [int(part) for part in language.version.split(".")[:2] if part.isdecimal()]
    return "python" if numbers >= [3, 8] else "sh"


@asynccontextmanager
async def aside(box: Box) -> AsyncIterator[Box]:
    """A fork of the box; the box itself where it cannot be forked."""
    async with AsyncExitStack() as stack:
        try:
            fork = await stack.enter_async_context(box.fork())
        except BoxDied:
            raise
        except SandboxError:
            fork = box
        yield fork


@asynccontextmanager
async def laid(box: Box, folder: str, suite: TestSuite) -> AsyncIterator[None]:
    """The suite in a fresh folder of the box, gone again at the end."""
    await lay(box, folder, suite)
    try:
        yield
    finally:
        with anyio.move_on_after(_CLEAR_S, shield=True):
            await clear(box, folder)


async def lay(box: Box, folder: str, suite: TestSuite) -> None:
    """Put the suite into a fresh folder. Raises SandboxError."""
    await clear(box, folder)
    with tempfile.TemporaryDirectory(prefix="mechagym-suite-") as made:
        for name, text in files_of(suite).items():
            (Path(made) / name).write_text(text, encoding="utf-8", errors="replace")
        Path(made).chmod(0o755)  # whoever the box's user is may read it
        await box.put(Path(made), folder)


async def run_laid(box: Box, folder: str, suite: TestSuite, options: RunOptions) -> Runs:
    """Run a suite that lies in the box, once. Raises SandboxError."""
    return (await run_passes(box, folder, suite, options))[0]


async def run_passes(
    box: Box, folder: str, suite: TestSuite, options: RunOptions
) -> tuple[Runs, ...]:
    """Run it `options.passes` times on the same state. Raises SandboxError."""
    if suite.runner == "sh":
        tests = [t for t in suite.tests if options.only is None or t.test_id in options.only]
        orders = [tests[::-1] if number % 2 else tests for number in range(options.passes)]
        return tuple([await _run_checks(box, folder, order, options) for order in orders])
    only = [] if options.only is None else [f"--only={','.join(options.only)}"]
    argv = [
        "sh",
        "-c",
        'p=$(command -v python3 || command -v python) && exec "$p" -B "$@"',
        "sh",
        f"{folder}/{RUNNER}",
        folder,
        *only,
        f"--passes={options.passes}",
        f"--timeout={options.test_timeout_s}",
        f"--total={options.total_s}",
        f"--watch={options.watch}",
    ]
    time_s = options.total_s * options.passes + _SPARE_S
    result = await box.exec(argv, ExecOptions(timeout_s=time_s, limit_bytes=8 * MIB))
    runs = read_runs(result.text, result.stderr.decode("utf-8", "replace"))
    return runs if len(runs) == options.passes else runs[:1] * options.passes


def read_runs(text: str, stderr: str = "") -> tuple[Runs, ...]:
    """Read the runner's report: a value for each pass, one that says so if it cannot be read."""
    try:
        report = json.loads(text.strip().splitlines()[-1])
        passes = [report["tests"], *report.get("again", [])]
        duration_s = float(report["duration_s"]) / len(passes)
        return tuple(Runs(tests=tuple(map(_ran, rows)), duration_s=duration_s) for rows in passes)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        said = (stderr or text).strip()[-300:]
        return (Runs(fault=f"the runner's report cannot be read ({error!r}): {said}"),)


def _ran(row: dict[str, object]) -> Ran:
    """One row; what it lacks has its default."""

    def text(name: str) -> str | None:
        value = row.get(name)
        return None if value is None else str(value)

    line, changed = row.get("line"), row.get("changed")
    known = {"passed", "failed", "error", "skipped"}
    status = text("status")
    return Ran(
        test_id=str(row["name"]),
        status=status if status in known else "error",  # type: ignore[arg-type]
        message=text("message") or "",
        duration_s=float(str(row.get("duration_ms") or 0.0)) / 1000,
        timed_out=row.get("timed_out") is True,
        exception=text("exception") or "",
        missing=text("missing"),
        file=text("file"),
        line=line if isinstance(line, int) else None,
        expected=text("expected"),
        actual=text("actual"),
        changed=tuple(map(str, changed)) if isinstance(changed, list) else (),
    )


async def _run_checks(
    box: Box, folder: str, tests: Sequence[GeneratedTest], options: RunOptions
) -> Runs:
    """Run checks of sh one by one; an exit code of 0 is a pass."""
    left = options.total_s
    ran: list[Ran] = []
    before = await _state_of(box, options.watch)
    for test in tests:
        result = await _run_check(box, folder, test, min(options.test_timeout_s, max(left, 0.1)))
        after = await _state_of(box, options.watch)
        changed = tuple(sorted(before ^ after))
        before = after
        left -= result.duration_s
        ran.append(replace(result, changed=changed))
    return Runs(tests=tuple(ran), duration_s=options.total_s - left)


async def _run_check(box: Box, folder: str, test: GeneratedTest, timeout_s: float) -> Ran:
    argv = ("sh", "-c", 'exec 2>&1; exec sh "$1"', "sh", f"{folder}/{file_of(test, 'sh')}")
    result = await box.exec(argv, ExecOptions(timeout_s=timeout_s))
    said = result.text.strip()[-500:]
    exception, missing = ("", None) if result.ok else _kind_of(said, result.exit_code)
    return Ran(
        test_id=test.test_id,
        status="passed" if result.ok else "failed",
        message=said or ("" if result.ok else f"exit code {result.exit_code}"),
        duration_s=result.duration_s,
        timed_out=result.timed_out,
        exception=exception,
        missing=missing,
        file=file_of(test, "sh"),
    )


def _kind_of(said: str, exit_code: int | None) -> tuple[str, str | None]:
    """Why a check failed, in the runner's words: a missing program is a missing import."""
    if "syntax error" in said.lower():
        return "SyntaxError", None
    if exit_code == _NOT_FOUND:
        found = _ABSENT.findall(said)
        return "ImportError", found[-1] if found else None
    return "AssertionError", None


async def _state_of(box: Box, folder: str) -> frozenset[str]:
    """Names, modes and contents below a folder; nothing where none is watched."""
    if not folder:
        return frozenset()
    options = ExecOptions(timeout_s=60.0, limit_bytes=8 * MIB)
    result = await box.exec(("sh", "-c", _STATE, "sh", folder), options)
    return frozenset(result.text.splitlines())


async def run_suite(suite: TestSuite, box: Box, folder: str, *, total_s: float) -> TestReport:
    """Run the tests that decide, where the suite lies, and report. Raises SandboxError."""
    only = tuple(test.test_id for test in counted(suite))
    runs = await run_laid(box, folder, suite, RunOptions(only=only, total_s=total_s))
    return report_of(runs, suite.tests)


def report_of(runs: Runs, tests: Iterable[GeneratedTest]) -> TestReport:
    """Results as everybody reads them; a test is called by its function."""
    names = {test.test_id: test.function for test in tests}
    if runs.fault is not None:
        return TestReport(source="unreadable", fault=runs.fault)
    cases = tuple(
        TestCase(
            name=names.get(ran.test_id, ran.test_id),
            status=ran.status,
            file=ran.file,
            line=ran.line,
            expected=ran.expected,
            actual=ran.actual,
            message=ran.message or None,
            duration_ms=ran.duration_s * 1000,
        )
        for ran in runs.tests
    )
    passed = bool(cases) and all(case.status == "passed" for case in cases)
    return TestReport(
        source="runner", tests=cases, exit_code=0 if passed else 1, duration_s=runs.duration_s
    )
