"""What is found out before the first turn: where the work is, what is there, and the plan."""

import hashlib
import posixpath
import time
from dataclasses import replace

from mechagym.agents.base import Context
from mechagym.agents.map.base import Decomposer
from mechagym.agents.map.conversation import Window
from mechagym.agents.map.first import INSTRUCTION_CHARS, Known
from mechagym.agents.map.paths import named
from mechagym.agents.map.telling import Telling
from mechagym.agents.map.tools.files import existing, read_bytes, write_bytes
from mechagym.agents.map.types import Decomposition, Surroundings, TaskView
from mechagym.errors import BoxDied, SandboxError
from mechagym.events.map import MapPlan, MapSnapshot
from mechagym.sandbox.base import Box, ExecOptions
from mechagym.sandbox.survey import survey

SNAPSHOT_S, SNAPSHOT_CHARS = 10.0, 6_000
SNAPSHOT_DEPTH, SNAPSHOT_FILES = 2, 100
READ_FILES, READ_CHARS, READ_ALL_CHARS = 8, 4_000, 20_000


async def surroundings(context: Context) -> Surroundings:
    """Ask the box where we are. Raises SandboxError."""
    script = 'pwd; cd ~ 2>/dev/null && pwd || echo "${HOME:-/root}"'
    result = await context.box.exec(("sh", "-c", script), ExecOptions(timeout_s=20.0))
    lines = result.text.splitlines()
    if not result.ok or len(lines) < 2:
        raise SandboxError("the box does not say where its work takes place", reason="no_shell")
    workdir = lines[0]
    paths = [name.path for name in named(context.instruction)]
    return Surroundings(
        instruction=context.instruction,
        workdir=workdir,
        home=lines[1],
        user=context.user,
        helper=f"/tmp/.map-{_short(workdir)}",  # noqa: S108 – in the box, gone at the end
        named=tuple(path for path in paths if path.startswith("/")),
    )


async def snapshot(box: Box, telling: Telling, *, seconds_left: float | None, scale: float) -> str:
    """Look around once; without an answer the work begins without. Raises BoxDied."""
    began, problem, text = time.monotonic(), "", ""
    try:
        seen = await survey(
            box, timeout_s=SNAPSHOT_S, depth=SNAPSHOT_DEPTH, files=SNAPSHOT_FILES, previews=0
        )
        text = seen.text(int(SNAPSHOT_CHARS * scale) - 40)
        if seconds_left is not None:
            text += f"\nSeconds for the task: {seconds_left:.0f}"
    except BoxDied:
        raise
    except SandboxError as error:
        problem = str(error)
    telling.emit(MapSnapshot(text=text, duration_s=time.monotonic() - began, problem=problem))
    return text


async def plan(
    box: Box, decomposer: Decomposer, place: Surroundings, telling: Telling, view: TaskView
) -> Decomposition:
    """Split the work, knowing which of the named paths are there."""
    paths = {
        name.path: posixpath.join(place.workdir, name.path) for name in named(view.instruction)
    }
    there = await existing(box, tuple(paths.values()))
    view = replace(view, exists=frozenset(p for p, whole in paths.items() if whole in there))
    made = await decomposer.split(view)
    telling.emit(MapPlan(plan=made))
    return made


async def known(
    box: Box, place: Surroundings, made: Decomposition, *, seen: str, window: Window
) -> Known:
    """What the first prompt is made of: the files that the plan wants read, a long task kept."""
    instruction_file = ""
    if len(place.instruction) > INSTRUCTION_CHARS * window.scale:
        instruction_file = f"{place.outputs}/task.md"
        if await write_bytes(box, instruction_file, place.instruction.encode("utf-8", "replace")):
            instruction_file = ""
    return Known(
        instruction=place.instruction,
        instruction_file=instruction_file,
        snapshot=seen,
        files=await _files(box, place, made.files_to_read, scale=window.scale),
        head_chars=int(INSTRUCTION_CHARS * window.scale),
    )


async def _files(box: Box, place: Surroundings, paths: tuple[str, ...], *, scale: float) -> str:
    told: list[str] = []
    left = int(READ_ALL_CHARS * scale)
    for path in paths[:READ_FILES]:
        room = min(int(READ_CHARS * scale), left)
        data = await read_bytes(box, posixpath.join(place.workdir, path)) if room > 0 else None
        if not data or b"\0" in data[:8_192]:
            continue
        text = data.decode("utf-8", "replace")
        left -= min(len(text), room)
        cut = "" if len(text) <= room else f"\n[cut here: the file has {len(text)} characters]"
        told.append(f"--- {path}\n{text[:room]}{cut}")
    return "\n".join(told)


def _short(workdir: str) -> str:
    """The same in every run of a task, so that a recorded one can be played again."""
    return hashlib.sha256(workdir.encode("utf-8", "replace")).hexdigest()[:8]
