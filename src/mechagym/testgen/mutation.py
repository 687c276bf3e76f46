"""How many mutants of a chosen solution a suite kills, tried in a fork of the solved box.

Each mutant is put in, the goal tests are run, and the file is put back. A mutant that cannot be put
in is not counted as made.
"""

import shlex
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio

from mechagym.events import Emit, TestgenResult
from mechagym.records.testgen import GeneratedTest
from mechagym.sandbox.base import Box, ExecOptions
from mechagym.testgen.metrics import mutation_score
from mechagym.testgen.mutants import MAX_TEXT_BYTES, Artifact, Mutant, mutants_of
from mechagym.testgen.running import RunOptions, Runs, aside, laid, run_laid
from mechagym.testgen.suite import counted
from mechagym.testgen.types import TestSuite

TOTAL_S = 60.0
_EXEC = ExecOptions(user="root", timeout_s=20.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """What came of it. `killed_by`: mutant → ids of the goal tests that failed.

    `blunt`: goal tests that no mutant makes fail.
    """

    made: tuple[Mutant, ...]
    killed_by: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    blunt: tuple[str, ...] = ()

    @property
    def killed(self) -> int:
        """How many mutants some goal test noticed."""
        return sum(bool(tests) for tests in self.killed_by.values())

    @property
    def score(self) -> float | None:
        """Killed of made; unknown where none could be made."""
        return mutation_score(self.killed, len(self.made))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which files are the solution, where the suite may lie, and who hears of results."""

    paths: tuple[str, ...]
    folder: str
    prohibited: tuple[str, ...] = ()
    run_id: str = ""
    emit: Emit | None = None
    total_s: float = TOTAL_S


async def mutate(box: Box, suite: TestSuite, wanted: Wanted) -> Mutation:
    """Try mutants on a box that holds the solution, which stays as it is. Raises SandboxError."""
    async with aside(box) as fork, laid(fork, wanted.folder, suite):
        sound = await _run(fork, suite, wanted)
        goals = tuple(
            test.test_id
            for test in counted(suite)
            if test.role == "goal" and _passed(sound, test.test_id)  # else its failing says nothing
        )
        artifacts = [a for path in wanted.paths if (a := await read_artifact(fork, path))]
        by_path = {artifact.path: artifact for artifact in artifacts}
        planned = mutants_of(artifacts, prohibited=wanted.prohibited)
        made: list[Mutant] = []
        killed: dict[int, tuple[str, ...]] = {}
        with anyio.move_on_after(wanted.total_s):
            for mutant in planned:
                runs = await _try(fork, suite, wanted, mutant, by_path[mutant.path])
                if runs is None:
                    continue
                number = len(made)
                made.append(mutant)
                killed[number] = tuple(t for t in goals if not _passed(runs, t))
                _tell(wanted, runs, number + 1)
    struck = {test for tests in killed.values() for test in tests}
    blunt = tuple(test for test in goals if test not in struck) if made else ()
    return Mutation(made=tuple(made), killed_by=killed, blunt=blunt)


def without_blunt(
    tests: Sequence[GeneratedTest], mutation: Mutation, passes_on_empty: frozenset[str]
) -> tuple[GeneratedTest, ...]:
    """V10: a goal that no mutant fails and that also passes on empty outputs always passes."""
    gone = set(mutation.blunt) & passes_on_empty
    why = "no mutant makes it fail, and it passes on empty outputs"
    return tuple(
        replace(test, status="quarantined", reject_rule="V10", reject_reason=why)
        if test.test_id in gone
        else test
        for test in tests
    )


async def read_artifact(box: Box, path: str) -> Artifact | None:
    """A file of the solution; None where there is none of that name."""
    quoted = shlex.quote(path)
    found = await box.exec(("sh", "-c", f"[ -f {quoted} ] && stat -c '%a %s' {quoted}"), _EXEC)
    mode, _, size = found.text.strip().partition(" ")
    if not found.ok or not size.isdecimal():
        return None
    content = None
    if int(size) <= MAX_TEXT_BYTES:
        with tempfile.TemporaryDirectory(prefix="mechagym-artifact-") as folder:
            target = Path(folder) / "file"
            await box.get(path, target)
            content = target.read_bytes()
    return Artifact(path=path, mode=int(mode, 8), content=content)


async def _try(
    box: Box, suite: TestSuite, wanted: Wanted, mutant: Mutant, original: Artifact
) -> Runs | None:
    """Put in, run, put back; also when the time ends in the middle."""
    if not await _put_in(box, mutant, original):
        return None
    try:
        return await _run(box, suite, wanted)
    finally:
        with anyio.CancelScope(shield=True):
            await _put_back(box, mutant, original)


async def _run(box: Box, suite: TestSuite, wanted: Wanted) -> Runs:
    workdir = box.info.workdir
    watch = "" if workdir == "/" else workdir  # what a mutant leaves behind is not the next one's
    return await run_laid(
        box, wanted.folder, suite, RunOptions(total_s=wanted.total_s, watch=watch)
    )


async def _put_in(box: Box, mutant: Mutant, original: Artifact) -> bool:
    if mutant.content is not None:
        await _write(box, mutant.path, mutant.content, original.mode)
        return True
    path = shlex.quote(mutant.path)
    if mutant.new_path is not None:
        command = f"mv -- {path} {shlex.quote(mutant.new_path)}"
    else:
        command = f"chmod {mutant.new_mode:o} -- {path}"
    return (await box.exec(("sh", "-c", command), _EXEC)).ok


async def _put_back(box: Box, mutant: Mutant, original: Artifact) -> None:
    path = shlex.quote(mutant.path)
    if mutant.new_path is not None:
        await box.exec(("sh", "-c", f"mv -- {shlex.quote(mutant.new_path)} {path}"), _EXEC)
    elif mutant.content is not None and original.content is not None:
        await _write(box, mutant.path, original.content, original.mode)
    await box.exec(("sh", "-c", f"chmod {original.mode:o} -- {path}"), _EXEC)


async def _write(box: Box, path: str, content: bytes, mode: int) -> None:
    """New bytes in the same file: owner and links stay."""
    command = f"cat > {shlex.quote(path)} && chmod {mode:o} -- {shlex.quote(path)}"
    await box.exec(("sh", "-c", command), replace(_EXEC, stdin=content))


def _passed(runs: Runs, test_id: str) -> bool:
    ran = runs.by_id.get(test_id)
    return ran is not None and ran.passed


def _tell(wanted: Wanted, runs: Runs, ordinal: int) -> None:
    if wanted.emit is None:
        return
    for ran in runs.tests:
        wanted.emit(
            TestgenResult(
                run_id=wanted.run_id,
                test_id=ran.test_id,
                occasion="mutant",
                ordinal=ordinal,
                status=ran.status,
                duration_s=ran.duration_s,
                message=ran.message[:500],
            )
        )
