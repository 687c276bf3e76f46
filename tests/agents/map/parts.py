"""What the planner's tests share: states, and actions as a model wants them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from mechagym.agents.map.arguments import RunCommand, ToolArgs, WriteFile
from mechagym.agents.map.types import (
    ActionResult,
    Executed,
    ExecutionState,
    Surroundings,
    ToolAction,
)
from mechagym.records.map import Decomposition, Subtask, SubtaskStatus
from mechagym.sandbox.base import Box, BoxSpec, NetworkPolicy, RegistryImage
from mechagym.sandbox.docker import DockerSandbox

HELPER = "/tmp/.mechagym-map"
SUBTASK = Subtask(id="all", name="all", goal="do it", max_turns=30)
STATE = ExecutionState(
    plan=Decomposition(subtasks=(SUBTASK,)),
    subtask_status=(SubtaskStatus(id="all", name="all"),),
    workdir="/app",
    max_turns=30,
)


def surroundings(instruction: str = "Do it.", *, workdir: str = "/app") -> Surroundings:
    """The working directory /app of root."""
    return Surroundings(
        instruction=instruction, workdir=workdir, home="/root", user=None, helper=HELPER
    )


async def sh(box: Box, script: str) -> str:
    """What a script prints; the test fails where it fails."""
    result = await box.exec(["sh", "-c", script])
    assert result.ok, (script, result)
    return result.text


def action(args: ToolArgs, name: str = "run_command", *, action_id: str = "a1") -> ToolAction:
    """A call of a tool."""
    return ToolAction(action_id=action_id, tool_name=name, tool_args=args)


def command(text: str) -> ToolAction:
    """A shell command."""
    return action(RunCommand(command=text))


def write(path: str, content: str = "x") -> ToolAction:
    """A file to write."""
    return action(WriteFile(path=path, content=content), "write_file")


def done(
    what: ToolAction, *, digest: str = "d", revision: int = 0, changed: tuple[str, ...] = ()
) -> Executed:
    """An action that was executed."""
    result = ActionResult(
        action_id=what.action_id,
        ok=True,
        output="",
        output_chars=0,
        shown_chars=0,
        result_digest=digest,
        changed_paths=changed,
    )
    return Executed(action=what, result=result, revision=revision)


@asynccontextmanager
async def open_python_box() -> AsyncIterator[Box]:
    """A Docker box with Python and the working directory /app, or a skip that says why not."""
    sandbox = DockerSandbox()
    probe = await sandbox.probe()
    if not probe.usable:
        pytest.skip(f"docker: {probe.reason}; {probe.remedy}")
    image = RegistryImage(reference="python:3.13-slim-bookworm")
    await sandbox.prepare(image, lambda _: None)
    spec = BoxSpec(image=image, workdir="/app", network=NetworkPolicy(mode="no-network"))
    async with sandbox.open(spec) as box:
        yield box
