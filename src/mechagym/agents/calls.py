"""A command that an agent runs in its box, told as the tool call that it is."""

from collections.abc import Sequence
from dataclasses import replace

from mechagym.agents.base import Context
from mechagym.events import ToolCalled, ToolReturned
from mechagym.sandbox.base import ExecOptions, ExecResult

SHOWN_BYTES = 32 * 1024


async def run_told(
    context: Context, call: ToolCalled, argv: Sequence[str], options: ExecOptions
) -> ExecResult:
    """Run it between the events of its call and of its return, with its output cut as shown."""
    context.emit(call)
    result = await context.box.exec(argv, replace(options, limit_bytes=SHOWN_BYTES))
    context.emit(
        ToolReturned(
            call_id=call.call_id,
            output=result.stdout.decode("utf-8", "replace"),
            is_error=not options.background and not result.ok,
            duration_s=result.duration_s,
        )
    )
    return result
