"""The protocol in a box: the helper folder is put in before the agent and taken out after it.

Whatever happens in between, `unwrap` leaves no helper file; the agent's tests are run once more by
us, in a fork, so that the box that is judged is the one that the agent left.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mechagym.errors import ConfigError, SandboxError
from mechagym.events import Event, ProtocolReported
from mechagym.sandbox.base import MIB, Box, ExecOptions
from mechagym.testgen import runner
from mechagym.testgen.inputs import look
from mechagym.testgen.paths import named_paths
from mechagym.testgen.protocol import expand_tests as helper
from mechagym.testgen.protocol.steps import Collected, check
from mechagym.testgen.protocol.text import FOLDER, MATRIX, wrap

SCHEMA = "matrix.schema.json"
_TIMEOUT_S = 30.0
_SUITE_S = 120.0


class TestgenV2:
    """See `TaskWrapper` in `run`: one for each step of a try."""

    __test__ = False

    def __init__(self) -> None:
        self._inputs: tuple[str, ...] = ()

    async def wrap(self, instruction: str, box: Box) -> str:
        """Put the helper folder into the box and say what the agent is told.

        Raises ConfigError where the box has no Python.
        """
        await stage(box)
        self._inputs = await inputs_of(instruction, box)
        return wrap(instruction, self._inputs)

    async def unwrap(
        self, box: Box, events: Sequence[Event]
    ) -> tuple[ProtocolReported, Mapping[str, str]]:
        """Take the folder out of the box; whether the protocol was followed, and what it left."""
        collected = replace(await collect(box), inputs=self._inputs)
        return check(events, collected), collected.files


async def stage(box: Box) -> None:
    """Put the helper folder into a box, writable for whoever the agent runs as.

    Raises ConfigError where the box has no Python 3.8, SandboxError.
    """
    old = "import sys; sys.exit(sys.version_info < (3, 8))"
    found = await box.exec(["python3", "-c", old], ExecOptions(timeout_s=_TIMEOUT_S))
    if not found.ok:
        raise ConfigError(
            "the protocol testgen-v2 needs Python 3.8 or newer in the box, and there is none",
            remedy="run this task without --protocol, or with an image that has python3",
            reason="no_python",
        )
    for module in (helper, runner):
        path = Path(module.__file__ or "")
        await box.put(path.read_bytes(), f"{FOLDER}/{path.name}")
    await box.put(json.dumps(helper.SCHEMA, indent=1).encode(), f"{FOLDER}/{SCHEMA}")
    await box.exec(["chmod", "0777", FOLDER], ExecOptions(user="root", timeout_s=_TIMEOUT_S))


async def inputs_of(instruction: str, box: Box) -> tuple[str, ...]:
    """The files that the instruction names and that are there."""
    present = await look(box, named_paths(instruction, box.info.workdir))
    return tuple(present.files)


async def collect(box: Box) -> Collected:
    """Run the agent's tests in a fork, read what it wrote, and remove the folder."""
    try:
        files = {}
        for name in (MATRIX, helper.TESTS, helper.REVIEWS):
            options = ExecOptions(user="root", timeout_s=_TIMEOUT_S, limit_bytes=MIB)
            found = await box.exec(["cat", f"{FOLDER}/{name}"], options)
            if found.ok and found.stdout_total <= MIB:
                files[name] = found.stdout.decode("utf-8", "replace")
        statuses = await _own_run(box, files.get(helper.TESTS))
    finally:
        gone = await box.exec(
            ["rm", "-rf", FOLDER], ExecOptions(user="root", cwd="/", timeout_s=_TIMEOUT_S)
        )
    if not gone.ok:
        raise SandboxError(f"box {box.info.box_id}: {FOLDER} could not be removed")
    return Collected(
        files=files,
        tests_run=None if statuses is None else len(statuses),
        tests_passed=None if statuses is None else statuses.count("passed"),
    )


async def _own_run(box: Box, tests: str | None) -> list[str] | None:
    """How the agent's tests do when we run them; None: they cannot be run, or the box not forked.

    The runner is put in anew: the one that was there has been in the agent's hands. What they do
    to the fork, be it its end, touches nothing else.
    """
    if not tests:
        return None
    try:
        manifest = helper.manifest(tests)
        async with box.fork() as fork:
            await fork.put(Path(runner.__file__).read_bytes(), f"{FOLDER}/{helper.RUNNER}")
            await fork.put(manifest.encode(), f"{FOLDER}/suite.json")
            argv = ["python3", "-B", f"{FOLDER}/{helper.RUNNER}", FOLDER, f"--total={_SUITE_S / 2}"]
            done = await fork.exec(argv, ExecOptions(timeout_s=_SUITE_S, limit_bytes=4 * MIB))
        return [str(test["status"]) for test in json.loads(done.stdout)["tests"]]
    except (SandboxError, SyntaxError, ValueError, KeyError, TypeError):
        return None
