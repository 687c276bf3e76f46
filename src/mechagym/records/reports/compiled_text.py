"""What `go test` and `cargo test` print."""

import re
from collections import Counter
from collections.abc import Iterator

from mechagym.records.reports.told import UNFINISHED, Detail, Told, reconciled
from mechagym.records.reports.values import CaseStatus, TestCase

_GO_STATUS: dict[str, CaseStatus] = {"PASS": "passed", "FAIL": "failed", "SKIP": "skipped"}
_GO_RUN = re.compile(r"^=== (?:RUN|CONT|NAME) +(\S+)$")
_GO_ROW = re.compile(r"^ *--- (PASS|FAIL|SKIP): (\S+) \(([\d.]+)s\)$")
_GO_PACKAGE = re.compile(r"^(ok|FAIL|\?) *\t(\S+)[ \t]*(.*)$")
_GO_BUILD = re.compile(r"^FAIL\t(\S+) \[(build|setup) failed\]$")
_GO_SAID = re.compile(r"^ +(\S+\.go):(\d+): (.*)$")
_GO_WANTED = re.compile(r"\bgot:? (.+?)[,;] want(?:ed)?:? (.+)$")


def read_go(text: str) -> Told | None:
    """Read it; None where it is not `go test`'s."""
    lines = text.splitlines()
    packages = [match for line in lines if (match := _GO_PACKAGE.match(line))]
    begun = dict.fromkeys(match[1] for line in lines if (match := _GO_RUN.match(line)))
    rows = _go_rows(lines)
    if not packages and not begun:
        return None
    panic = next((line for line in lines if line.startswith(("panic:", "fatal error:"))), None)
    cases = list(rows.values())
    cases += [
        TestCase(name=name, status="error", message=panic or "it began and never ended")
        for name in begun
        if name not in rows
    ]
    cases += [case for match in packages if (case := _go_package(match, bool(rows), lines))]
    whole = bool(packages) and not _go_cut(lines)
    return Told(tests=tuple(cases), fault=None if whole else UNFINISHED)


def _go_rows(lines: list[str]) -> dict[str, TestCase]:
    rows: dict[str, CaseStatus] = {}
    details: dict[str, Detail] = {}
    here = Detail()
    for line in lines:
        if match := _GO_RUN.match(line):
            here = details.setdefault(match[1], Detail())
        elif (match := _GO_SAID.match(line)) and here.message is None:
            here.file, here.line, here.message = match[1], int(match[2]), match[3]
            if wanted := _GO_WANTED.search(match[3]):
                here.actual, here.expected = wanted[1], wanted[2]
        elif match := _GO_ROW.match(line):
            here = details.setdefault(match[2], Detail())
            rows[match[2]] = _GO_STATUS[match[1]]
        elif line.startswith(("panic: ", "fatal error: ")) and here.message is None:
            here.message = line
    return {name: details[name].of(name, status) for name, status in rows.items()}


def _go_package(match: re.Match[str], named: bool, lines: list[str]) -> TestCase | None:
    """A package as a case: where it was not built or died, or where no test is named."""
    how, name, rest = match.groups()
    if how == "FAIL" and ("build failed" in rest or "setup failed" in rest):
        errors = [line for line in lines if re.match(r"^\S+\.go:\d+:\d+: ", line)]
        return TestCase(name=name, status="error", message="\n".join(errors[:5]) or rest)
    if named or how == "?" or "no tests to run" in rest:
        return None
    return TestCase(name=name, status="passed" if how == "ok" else "failed")


def _go_cut(lines: list[str]) -> bool:
    """Whether tests were begun after the last package was summed up."""
    last = max(i for i, line in enumerate(lines) if _GO_PACKAGE.match(line))
    return any(_GO_RUN.match(line) for line in lines[last:])


_CARGO_RUNNING = re.compile(r"^running (\d+) tests?$", re.MULTILINE)
_CARGO_ROW = re.compile(r"^test (\S+)(?: \(line \d+\))?(?: - .+?)? \.\.\. ?(.*)$")
_CARGO_RESULT = re.compile(
    r"^test result: (?:ok|FAILED)\. (\d+) passed; (\d+) failed; (\d+) ignored;", re.MULTILINE
)
_CARGO_BROKEN = re.compile(r"^error(?:\[E\d+\])?: .*$", re.MULTILINE)
_CARGO_SECTION = re.compile(r"^---- (\S+) stdout ----$")
_CARGO_PANIC = re.compile(r"^thread '.*' (?:\(\d+\) )?panicked at (\S+?):(\d+):\d+:$")
_CARGO_SIDE = re.compile(r"^ *(left|right): (.*)$")
_CARGO_STATUS: dict[str, CaseStatus] = {
    "ok": "passed", "FAILED": "failed", "ignored": "skipped",
}  # fmt: skip


def read_cargo(text: str) -> Told | None:
    """Read it; None where it is not `cargo test`'s."""
    running = _CARGO_RUNNING.findall(text)
    broken = re.search(r"^error: could not compile ", text, re.MULTILINE)
    if not running and not broken:
        return None
    lines = text.splitlines()
    if broken and not running:
        said = "\n".join(_CARGO_BROKEN.findall(text)[:5])
        return Told(tests=(TestCase(name="(compilation)", status="error", message=said),))
    results = _CARGO_RESULT.findall(text)
    counts: Counter[CaseStatus] = Counter()
    for passed, failed, ignored in results:
        counts += Counter({"passed": int(passed), "failed": int(failed), "skipped": int(ignored)})
    whole = len(results) == len(running)
    all_counts = {status: counts[status] for status in _CARGO_STATUS.values()}
    return reconciled(_cargo_rows(lines), all_counts if whole else None)


def _cargo_rows(lines: list[str]) -> Iterator[TestCase]:
    details = _cargo_details(lines)
    for line in lines:
        if (match := _CARGO_ROW.match(line)) and not line.startswith("test result:"):
            how = match[2].split(",")[0].strip()
            detail = details.get(match[1], Detail())
            if how not in _CARGO_STATUS:
                detail = Detail(message="it began and never ended")
            yield detail.of(match[1], _CARGO_STATUS.get(how, "error"))


def _cargo_details(lines: list[str]) -> dict[str, Detail]:
    details: dict[str, Detail] = {}
    here = Detail()
    said = False
    for line in lines:
        if match := _CARGO_SECTION.match(line):
            here = details.setdefault(match[1], Detail())
            said = True
        elif match := _CARGO_PANIC.match(line):
            here.file, here.line = match[1], int(match[2])
            said = True
        elif match := _CARGO_SIDE.match(line):
            if match[1] == "left":
                here.actual = match[2]
            else:
                here.expected = match[2]
        elif said and line.strip():
            here.message = here.message or line.strip()
            said = False
    return details
