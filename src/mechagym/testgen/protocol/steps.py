"""Whether an agent followed the protocol: decided from its events and the files that it left.

Each step is held, missing, or unknown where the agent shows no tool calls; the evidence are numbers
of events. Nothing is read from what it says of itself, and nothing here touches a verdict.
"""

import json
import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from mechagym.events import AgentStarted, Event, ProtocolReported
from mechagym.events.testgen import ProtocolStep
from mechagym.testgen.protocol import expand_tests as helper
from mechagym.testgen.protocol.deeds import Deed, deeds_of
from mechagym.testgen.protocol.text import FOLDER, MATRIX

State = Literal["held", "missing", "unknown"]

_MODES = re.compile(r"--(?:stubs|summary|diff|review|run)\b")
_PASSED = re.compile(r"\b(\d+) passed\b")
_BROKEN = re.compile(r"\b[1-9]\d* (?:failed|errors?)\b")
_SCRATCH = ("/tmp", "/var/tmp", "/dev", "/proc", "/logs")  # noqa: S108 – paths of the box


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What a wrapped agent left: the texts in the helper folder by name, and what came of its tests
    when we ran them ourselves (None: they could not be run).
    """

    files: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    tests_run: int | None = None
    tests_passed: int | None = None


def check(events: Sequence[Event], collected: Collected) -> ProtocolReported:
    """Judge each step by the events of one agent's work and what was collected after it."""
    case = _Case.of(events, collected)
    steps = tuple(_named(name, judge(case)) for name, judge in zip(NAMES, _JUDGES, strict=True))
    return ProtocolReported(
        followed=all(step.state == "held" for step in steps),
        steps=steps,
        tests_claimed=_claimed(case.runs),
        tests_passed=collected.tests_passed,
        tests_run=collected.tests_run,
        stubs=None if case.tests is None else len(helper.stubs_of(case.tests)),
        notes=_tests_changed(case),
    )


@dataclass(frozen=True, slots=True)
class _Found:
    state: State
    detail: str = ""
    evidence: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """All that is known. `tests` None: there is no file of tests that can be parsed."""

    deeds: Sequence[Deed]
    collected: Collected
    matrix: Any
    tests: str | None
    outputs: Sequence[Deed]
    runs: Sequence[Deed]

    @classmethod
    def of(cls, events: Sequence[Event], collected: Collected) -> "_Case":
        deeds = deeds_of(events)
        asked = next((e.body.instruction for e in events if isinstance(e.body, AgentStarted)), "")
        return cls(
            deeds=deeds,
            collected=collected,
            matrix=_parsed(collected.files.get(MATRIX)),
            tests=_sound(collected.files.get(helper.TESTS)),
            outputs=[deed for deed in deeds if any(_is_output(p, asked) for p in deed.wrote)],
            runs=[deed for deed in deeds if _runs_tests(deed)],
        )

    @property
    def blind(self) -> bool:
        """Whether the agent shows no tool calls, so that nothing can be said of what it did."""
        return not self.deeds

    @property
    def matrix_faults(self) -> list[str]:
        return ["there is none"] if self.matrix is None else helper.faults_of(self.matrix)


def _parse_inputs(case: _Case) -> _Found:
    inputs = case.collected.inputs
    if not inputs:
        return _Found("held", "no input file is given")
    if case.blind:
        return _Found("unknown", "no tool call is seen")
    first = case.outputs[0].seq if case.outputs else None
    before = [deed for deed in case.deeds if first is None or deed.seq < first]
    opened = {p: next((d.seq for d in before if _opens(d, p)), None) for p in inputs}
    late = [path for path, seq in opened.items() if seq is None]
    seen = tuple(sorted({seq for seq in opened.values() if seq is not None}))
    if late:
        return _Found("missing", f"not opened before the first output: {', '.join(late)}", seen)
    return _Found("held", f"{len(inputs)} opened", seen)


def _analyze(case: _Case) -> _Found:
    if faults := case.matrix_faults:
        return _Found("missing", f"{MATRIX}: {'; '.join(faults[:3])}")
    wrote = tuple(d.seq for d in case.deeds if any(_is_helper(p, MATRIX) for p in d.wrote))
    return _Found("held", f"{len(case.matrix['ticks'])} ticks", wrote)


def _expand(case: _Case) -> _Found:
    if case.matrix_faults or case.tests is None:
        return _Found("missing", "no matrix to expand" if case.matrix_faults else "no tests")
    tested = {helper.cell_of(test.name) for test in helper.cases_in(case.tests)}
    if bare := [cell for cell in helper.cells_of(case.matrix) if cell not in tested]:
        return _Found("missing", f"no test for {', '.join(bare)}")
    if case.blind:
        return _Found("unknown", "a test for every tick; that it was run is not seen")
    ran = tuple(d.seq for d in case.deeds if _runs_helper(d) and d.ok)
    if not ran:
        return _Found("missing", "expand_tests.py was not run with exit code 0")
    return _Found("held", f"a test for each of {len(helper.cells_of(case.matrix))} ticks", ran)


def _review(case: _Case) -> _Found:
    lines = (case.collected.files.get(helper.REVIEWS) or "").splitlines()
    answers = [_parsed(line) for line in lines]
    valid = [answer for answer in answers if not helper.faults_of_answer(answer)]
    if not 1 <= len(valid) <= helper.MAX_REVIEWS or len(valid) < len(answers):
        return _Found("missing", f"{len(valid)} valid answers of {len(answers)}")
    kept = [d for d in case.deeds if d.command and "--review" in d.command and d.ok]
    context = _context(case.deeds, kept)
    evidence = tuple(deed.seq for deed in kept)
    if not valid[-1]["thorough_enough"] and len(valid) < helper.MAX_REVIEWS:
        return _Found(
            "missing", f"ended with gaps after {len(valid)} ({context} context)", evidence
        )
    return _Found("held", f"{len(valid)} reviews, {context} context", evidence)


def _context(deeds: Sequence[Deed], kept: Sequence[Deed]) -> Literal["fresh", "same", "unknown"]:
    """Whether a sub-agent was asked before each answer was kept."""
    if not kept:
        return "unknown"
    since = 0
    for review in kept:
        if not any(since < d.seq < review.seq and d.sub_agent for d in deeds):
            return "same"
        since = review.seq
    return "fresh"


def _implement(case: _Case) -> _Found:
    if case.tests is None:
        return _Found("missing", f"there is no {helper.TESTS} that can be parsed")
    count, stubs = len(helper.cases_in(case.tests)), helper.stubs_of(case.tests)
    if stubs or not count:
        return _Found("missing", f"{len(stubs)} of {count} are stubs: {', '.join(stubs[:5])}")
    return _Found("held", f"{count} tests")


def _iterate(case: _Case) -> _Found:
    if case.blind:
        return _Found("unknown", "no tool call is seen")
    green = [deed for deed in case.runs if _is_green(deed)]
    evidence = tuple(deed.seq for deed in green[-1:])
    if not green:
        return _Found("missing", f"no green run of the tests ({len(case.runs)} runs)")
    if not case.outputs:
        return _Found("unknown", "green, but no change of an output is seen", evidence)
    last = case.outputs[-1].seq
    if green[-1].seq < last:
        return _Found(
            "missing", f"an output was changed after the last green run ({last})", evidence
        )
    return _Found("held", "green after the last change", evidence)


NAMES = ("PARSE INPUTS", "ANALYZE", "EXPAND", "REVIEW", "IMPLEMENT", "ITERATE")
_JUDGES: tuple[Callable[[_Case], _Found], ...] = (
    _parse_inputs,
    _analyze,
    _expand,
    _review,
    _implement,
    _iterate,
)


def _named(name: str, found: _Found) -> ProtocolStep:
    return ProtocolStep(name=name, state=found.state, evidence=found.evidence, detail=found.detail)


def _tests_changed(case: _Case) -> tuple[str, ...]:
    """Where tests were changed once there was a solution: allowed, but a reader wants to know."""
    if not case.outputs:
        return ()
    first = case.outputs[0].seq
    late = [d.seq for d in case.deeds if d.seq > first and any(map(_is_tests, d.wrote))]
    return tuple(f"tests changed after the first solution: event {seq}" for seq in late)


def _claimed(runs: Sequence[Deed]) -> int | None:
    """How many tests passed when the agent ran them last, by what it was shown."""
    counts = [_PASSED.findall(run.output or "") for run in runs]
    return next((int(found[-1]) for found in reversed(counts) if found), None)


def _opens(deed: Deed, path: str) -> bool:
    written = any(posixpath.basename(p) == posixpath.basename(path) for p in deed.wrote)
    return deed.names(path) and not written and not deed.sub_agent and deed.ok is not False


def _is_output(path: str, instruction: str) -> bool:
    """Whether a written file belongs to the work: no helper, and no scratch nobody asked for."""
    if any(_is_helper(path, name) for name in (MATRIX, helper.TESTS, helper.REVIEWS)):
        return False
    if path.startswith(FOLDER):
        return False
    in_scratch = any(path == root or path.startswith(f"{root}/") for root in _SCRATCH)
    return not in_scratch or path in instruction


def _is_helper(path: str, name: str) -> bool:
    return path == f"{FOLDER}/{name}" or path == name


def _is_tests(path: str) -> bool:
    return _is_helper(path, helper.TESTS)


def _runs_helper(deed: Deed) -> bool:
    command = deed.command or ""
    calls = command.split("expand_tests.py")[1:]
    return any(not _MODES.search(re.split(r"[;&|\n]", part)[0]) for part in calls)


def _runs_tests(deed: Deed) -> bool:
    command = deed.command or ""
    if "expand_tests.py" in command and "--run" in command:
        return True
    return "pytest" in command and (helper.TESTS in command or FOLDER in command)


def _is_green(deed: Deed) -> bool:
    output = deed.output or ""
    return bool(deed.ok and _PASSED.search(output) and not _BROKEN.search(output))


def _parsed(text: str | None) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None


def _sound(text: str | None) -> str | None:
    try:
        return text if text and helper.cases_in(text) is not None else None
    except (SyntaxError, ValueError):
        return None
