"""A wrapper around the task of any agent: it says more than the instruction, and looks afterwards.

What it put into the box is out again before anything is judged; what it reports is an event beside
the verdict and never touches it.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from mechagym.events import Event, EventBody, StepStarted
from mechagym.sandbox.base import Box


class TaskWrapper(Protocol):
    """Made for one step of one try and not used again."""

    async def wrap(self, instruction: str, box: Box) -> str:
        """Make ready in the box, and say what the agent is told.

        Raises ConfigError where the box cannot serve, SandboxError.
        """
        ...

    async def unwrap(
        self, box: Box, events: Sequence[Event]
    ) -> tuple[EventBody, Mapping[str, str]]:
        """Leave nothing in the box; give a report, and the texts that it rests on by file name.

        `events` are those of the agent's work. Raises SandboxError.
        """
        ...


def of_last_step(events: Sequence[Event], try_number: int) -> list[Event]:
    """The events of a try since its last step began."""
    ours = [event for event in events if event.try_number == try_number]
    begins = [n for n, event in enumerate(ours) if isinstance(event.body, StepStarted)]
    return ours[begins[-1] :] if begins else ours
