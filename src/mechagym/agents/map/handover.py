"""The handover at a change of sub-task: what is next, how things stand, and the work itself.

Every cut states the true size of what is cut.
"""

from mechagym.agents.map.gate import open_points
from mechagym.agents.map.tools.files import read_bytes
from mechagym.agents.map.types import Executed, ExecutionState, Subtask
from mechagym.sandbox.base import Box

FILE_CHARS = 8_000
ALL_CHARS = 30_000
TRIED_SHOWN = 8


async def handover(box: Box, state: ExecutionState, *, all_chars: int, why: str) -> str:
    """The whole of it. `why`: how the sub-task before it ended."""
    parts = [
        f"Next part of the work: {state.subtask.name}. {why}",
        subtask_told(state.subtask),
        _others(state),
        _evaluation(state),
        _tried(state),
        await files_told(box, state.modified_files, all_chars=all_chars),
    ]
    return "\n\n".join(filter(None, parts))


def subtask_told(part: Subtask) -> str:
    """Goal, checkpoint, artifacts and hints of a sub-task."""
    lines = [
        f"Goal: {part.goal}",
        f"It is reached when: {part.checkpoint}" if part.checkpoint else "",
        f"Files it should leave: {', '.join(part.expected_artifacts)}"
        if part.expected_artifacts
        else "",
        *(f"Hint: {hint}" for hint in part.hints),
        f"Turns for it: {part.max_turns}",
    ]
    return "\n".join(filter(None, lines))


async def files_told(box: Box, paths: tuple[str, ...], *, all_chars: int = ALL_CHARS) -> str:
    """The contents of files, newest first, as far as there is room."""
    left, told, unread = all_chars, [], 0
    for path in paths:
        if left <= 0:
            unread += 1
            continue
        room = min(FILE_CHARS, left)
        text = await _content(box, path, room)
        if text is None:
            continue
        left -= min(len(text), room)
        told.append(f"--- {path}\n{text}")
    if unread:
        told.append(f"--- and {unread} more changed files that are not shown")
    return "Changed files, newest first:\n" + "\n".join(told) if told else ""


async def _content(box: Box, path: str, room: int) -> str | None:
    """A text file's content, cut where it is longer; None where there is none to show."""
    data = await read_bytes(box, path)
    if data is None:
        return None
    if b"\0" in data[:8_192]:
        return f"[{len(data)} bytes, no text]"
    text = data.decode("utf-8", "replace")
    if len(text) <= room:
        return text
    return f"{text[:room]}\n[cut here: the file has {len(text)} characters]"


def _others(state: ExecutionState) -> str:
    rows = [
        f"- {status.name}: {status.status}"
        for index, status in enumerate(state.subtask_status)
        if index != state.current_subtask
    ]
    return "The other parts:\n" + "\n".join(rows) if rows else ""


def _evaluation(state: ExecutionState) -> str:
    said = state.last_evaluation
    checks = said is not None and said.progress is not None
    head = f"Self-check: {said.tests_passing} of {said.tests_total}" if said and checks else ""
    rows = [f"- {point}" for point in open_points(state)]
    still = "Still open:\n" + "\n".join(rows) if rows else ""
    return "\n".join(filter(None, (head, still)))


def _tried(state: ExecutionState) -> str:
    rows = [f"- {tried(done)}" for done in state.actions[-TRIED_SHOWN:]]
    denials = f"\nDenied just now, by rule: {', '.join(state.denials)}" if state.denials else ""
    return "Done last:\n" + "\n".join(rows) + denials if rows or denials else ""


def tried(done: Executed) -> str:
    """One executed action in a line."""
    arguments = done.action.tool_args.model_dump(exclude_defaults=True)
    first = " ".join(str(next(iter(arguments.values()), "")).split())[:120]
    outcome = "well" if done.result.ok else f"badly (exit code {done.result.exit_code})"
    return f"{done.action.tool_name} {first}: ended {outcome}"
