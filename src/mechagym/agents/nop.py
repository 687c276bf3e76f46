"""The agent that does nothing: what it passes, a task gives away."""

from collections.abc import Mapping

from mechagym import __version__
from mechagym.agents.base import AgentResult, Context
from mechagym.agents.options import check_options
from mechagym.sandbox.base import Box
from mechagym.tasks.model import Task


class NopAgent:
    """Looks at the instruction and is done."""

    name = "nop"
    version = __version__

    def __init__(self, *, task: Task, options: Mapping[str, str]) -> None:  # noqa: ARG002
        check_options(self.name, options, ())

    async def prepare(self, box: Box) -> None:
        """Nothing to prepare."""

    async def run(self, context: Context) -> AgentResult:  # noqa: ARG002
        """Nothing to do."""
        return AgentResult(turns=0)
