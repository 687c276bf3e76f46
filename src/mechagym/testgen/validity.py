"""What the box says of a test before any work: V3 to V7 and V9, in forks where there are any.

A test is valid because it fails now, by an assertion or for want of the work, three times the same
way, quickly, and leaves everything as it was. The suite lies in the box only while it runs.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mechagym.events import Emit, TestgenResult
from mechagym.records.testgen import Category, GeneratedTest, Occasion
from mechagym.sandbox.base import Box, ExecOptions
from mechagym.testgen.proposals import Ground, reject
from mechagym.testgen.running import (
    TEST_TIMEOUT_S,
    Ran,
    RunOptions,
    Runs,
    aside,
    laid,
    run_laid,
    run_passes,
)
from mechagym.testgen.suite import freeze
from mechagym.testgen.types import TestSuite

OWN_ERRORS = frozenset(
    {
        "NameError",
        "UnboundLocalError",
        "SyntaxError",
        "IndentationError",
        "ImportError",
        "ModuleNotFoundError",
    }
)
MOST_GUARDS = 0.2
_RESULTS: frozenset[Category] = frozenset({"correctness", "boundary", "integration"})
_MAKE_EMPTY = r"""
for path in "$@"; do
    if [ ! -e "$path" ]; then mkdir -p -- "${path%/*}" && : > "$path" && printf '%s\n' "$path"; fi
done
"""
_TAKE_AWAY = 'rm -f -- "$@"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where tests are tried: the untouched box, and a folder for them."""

    box: Box
    folder: str
    ground: Ground
    outputs: tuple[str, ...]
    run_id: str
    emit: Emit
    suite_timeout_s: float

    @property
    def watched(self) -> str:
        """The workspace, unless it is the whole machine."""
        workdir = self.box.info.workdir
        return "" if workdir == "/" else workdir

    def tell(self, runs: Runs, occasion: Occasion, ordinal: int) -> None:
        """Emit the results of a run."""
        for ran in runs.tests:
            self.emit(
                TestgenResult(
                    run_id=self.run_id,
                    test_id=ran.test_id,
                    occasion=occasion,
                    ordinal=ordinal,
                    status=ran.status,
                    duration_s=ran.duration_s,
                    message=ran.message[:500],
                )
            )


async def judge(bench: Bench, tests: Sequence[GeneratedTest]) -> tuple[GeneratedTest, ...]:
    """Try screened tests; those that were rejected before come back as they are.

    Raises SandboxError.
    """
    tried = [test for test in tests if test.status == "proposed"]
    if not tried:
        return tuple(tests)
    suite = _unfrozen(tried, bench)
    async with aside(bench.box) as box, laid(box, bench.folder, suite):
        runs = await _run(bench, box, suite, passes=3)
        for ordinal, run in enumerate(runs):
            bench.tell(run, "repeat" if ordinal else "untouched", ordinal or 1)
        empty = await _on_empty(bench, box, suite)
    found = {test.test_id: _judged(test, runs, empty, bench.ground) for test in tried}
    return tuple(found.get(test.test_id, test) for test in tests)


async def judge_together(bench: Bench, tests: Sequence[GeneratedTest]) -> tuple[GeneratedTest, ...]:
    """The last look at a whole suite: each test as it did alone, all in time, few guards."""
    kept = [test for test in tests if test.status in {"valid", "advisory"}]
    if not kept:
        return tuple(tests)
    suite = _unfrozen(kept, bench)
    async with aside(bench.box) as box, laid(box, bench.folder, suite):
        runs = await _run(bench, box, suite, passes=2)
    for ordinal, run in enumerate(runs, start=3):
        bench.tell(run, "repeat", ordinal)
    found: dict[str, GeneratedTest] = {}
    for test in kept:
        expected = "passed" if test.role == "guard" else "failed"
        seen = [ran.status for run in runs if (ran := run.by_id.get(test.test_id))]
        if any(status != expected for status in seen) or not seen:
            why = f"alone it {expected}, among the others: {', '.join(seen) or 'no result'}"
            test = replace(test, status="quarantined", reject_rule="V3", reject_reason=why)  # noqa: PLW2901
        found[test.test_id] = test
    found |= _too_slow(found, runs[0], bench.suite_timeout_s)
    found |= _too_many_guards(found)
    return tuple(found.get(test.test_id, test) for test in tests)


def _unfrozen(tests: Sequence[GeneratedTest], bench: Bench) -> TestSuite:
    """Proposed tests as a suite, to be run once."""
    shown = [replace(t, status="valid" if t.status == "proposed" else t.status) for t in tests]
    return freeze(shown, runner=bench.ground.runner, survey_digest=None, config_digest="")


async def _run(bench: Bench, box: Box, suite: TestSuite, *, passes: int) -> tuple[Runs, ...]:
    """Runs on the untouched state, every second one in another order."""
    total_s = TEST_TIMEOUT_S * (len(suite.tests) + 1)
    options = RunOptions(passes=passes, watch=bench.watched, total_s=total_s)
    return await run_passes(box, bench.folder, suite, options)


async def _on_empty(bench: Bench, box: Box, suite: TestSuite) -> Runs | None:
    """A run with the outputs there and empty; None where no output is missing."""
    if not bench.outputs:
        return None
    limits = ExecOptions(timeout_s=20.0)
    made = await box.exec(("sh", "-c", _MAKE_EMPTY, "sh", *bench.outputs), limits)
    paths = made.text.splitlines()
    try:
        total_s = TEST_TIMEOUT_S * (len(suite.tests) + 1)
        runs = await run_laid(box, bench.folder, suite, RunOptions(total_s=total_s))
    finally:
        if paths:
            await box.exec(("sh", "-c", _TAKE_AWAY, "sh", *paths), limits)
    bench.tell(runs, "empty", 1)
    return runs


def _judged(
    test: GeneratedTest, runs: Sequence[Runs], empty: Runs | None, ground: Ground
) -> GeneratedTest:
    """One test by all its runs, in the order of the rules that need no other."""
    ran = [found for run in runs if (found := run.by_id.get(test.test_id))]
    if len(ran) < len(runs):
        why = next((run.fault for run in runs if run.fault), "it was not collected")
        return reject(test, "V1", why or "it was not collected")
    for fault in (_collected(ran), _slow(ran), _leaves(ran), _own_error(ran, ground), _flaky(ran)):
        if fault is not None:
            rule, reason = fault
            if rule == "V3":
                return replace(test, status="quarantined", reject_rule="V3", reject_reason=reason)
            return reject(test, rule, reason)  # type: ignore[arg-type]
    if ran[0].passed and test.role == "goal":
        return reject(test, "V6", "it passes before any work")
    return _labelled(replace(test, role="guard" if ran[0].passed else "goal"), empty)


Fault = tuple[str, str] | None


def _collected(ran: Sequence[Ran]) -> Fault:
    if ran[0].status == "error":
        return "V1", f"it is not collected: {ran[0].message}"
    return None


def _slow(ran: Sequence[Ran]) -> Fault:
    if any(one.timed_out or one.duration_s > TEST_TIMEOUT_S for one in ran):
        return "V4", f"it takes longer than {TEST_TIMEOUT_S:g} s"
    return None


def _leaves(ran: Sequence[Ran]) -> Fault:
    changed = next((one.changed for one in ran if one.changed), None)
    return ("V5", f"it changes {', '.join(changed[:3])}") if changed else None


def _own_error(ran: Sequence[Ran], ground: Ground) -> Fault:
    """A module or program that the instruction names is the work's: its want is to be seen."""
    first = ran[0]
    if first.exception not in OWN_ERRORS:
        return None
    missing = first.missing or ""
    for name in (missing, missing.partition(".")[0]):
        if name and re.search(rf"(?<![\w/]){re.escape(name)}(?!\w)", ground.instruction):
            return None
    return "V7", f"it fails by its own fault: {first.message}"


def _flaky(ran: Sequence[Ran]) -> Fault:
    statuses = [one.status for one in ran]
    if len(set(statuses)) > 1:
        return "V3", f"three runs on the same state: {', '.join(statuses)}"
    return None


def _labelled(test: GeneratedTest, empty: Runs | None) -> GeneratedTest:
    """Valid; advisory where it guesses, or is content with outputs that are empty."""
    ran = empty.by_id.get(test.test_id) if empty else None
    if test.role == "goal" and test.category in _RESULTS and ran is not None and ran.passed:
        why = "it passes on outputs that are empty"
        return replace(
            test, status="advisory", label="Suspicious", reject_rule="V9", reject_reason=why
        )
    if test.expected_source == "assumed":
        why = "what it expects is assumed"
        return replace(test, status="advisory", label="Real", reject_reason=why)
    return replace(test, status="valid", label="Real")


def _too_slow(
    tests: Mapping[str, GeneratedTest], runs: Runs, limit_s: float
) -> dict[str, GeneratedTest]:
    """The slowest go until the rest fits the caller's time."""
    valid = [ran for ran in runs.tests if tests[ran.test_id].status == "valid"]
    total = sum(ran.duration_s for ran in valid)
    gone: dict[str, GeneratedTest] = {}
    for ran in sorted(valid, key=lambda ran: ran.duration_s, reverse=True):
        if total <= limit_s:
            break
        total -= ran.duration_s
        gone[ran.test_id] = reject(tests[ran.test_id], "V4", f"the suite may take {limit_s:g} s")
    return gone


def _too_many_guards(tests: Mapping[str, GeneratedTest]) -> dict[str, GeneratedTest]:
    """At most a fifth of the suite may be guards; later ones go."""
    valid = [test for test in tests.values() if test.status == "valid"]
    guards = [test for test in valid if test.role == "guard"]
    goals = len(valid) - len(guards)
    # g ≤ 0.2 · (goals + g)
    room = int(goals * MOST_GUARDS / (1 - MOST_GUARDS) + 1e-9)
    why = "guards are at most a fifth of a suite"
    return {test.test_id: reject(test, "V6", why) for test in guards[room:]}
