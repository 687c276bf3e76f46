"""The agent that knows the answer: it runs the task's own solution, to prove the task, not itself.

The solution enters the box when the oracle works, never before. Its exit code is data: solutions
that end with 127 and pass are real, as are those that end with 0 and fail. The tests decide.
"""

from collections.abc import Mapping
from pathlib import Path

from mechagym import __version__
from mechagym.agents.base import AgentResult, Context
from mechagym.agents.calls import run_told
from mechagym.agents.options import check_options
from mechagym.errors import AgentSetupError
from mechagym.events import ToolCalled
from mechagym.sandbox.base import Box, ExecOptions
from mechagym.sandbox.scripts import clear, lay, start
from mechagym.tasks.model import Step, Task

SOLUTION = "/solution"


class OracleAgent:
    """Puts the step's solution at `/solution` and starts it in the box's working directory."""

    name = "oracle"
    version = __version__

    def __init__(self, *, task: Task, options: Mapping[str, str]) -> None:
        check_options(self.name, options, ())
        self._task = task

    async def prepare(self, box: Box) -> None:  # noqa: ARG002
        """Look whether there is a solution at all. Raises AgentSetupError."""
        for step in self._task.steps:
            self._solution(step)

    async def run(self, context: Context) -> AgentResult:
        """Run the solution of the step. Raises AgentSetupError where it has none."""
        step = next(step for step in self._task.steps if step.name == context.step)
        await clear(context.box, SOLUTION)
        await lay(context.box, [self._solution(step)], SOLUTION)
        entry = step.solution_entry
        call = ToolCalled(
            call_id=f"solution-{step.name}", tool="solution", arguments={"script": entry}
        )
        env = {"DEBIAN_FRONTEND": "noninteractive", **self._task.solution_env}
        options = ExecOptions(env=env, user=context.user)
        result = await run_told(context, call, start(f"{SOLUTION}/{entry}"), options)
        return AgentResult(turns=1, exit_code=result.exit_code)

    def _solution(self, step: Step) -> Path:
        """The step's folder, or the one that all steps share."""
        for folder in (step.solution_dir, self._task.folder / "solution"):
            if (folder / step.solution_entry).is_file():
                return folder
        raise AgentSetupError(
            f"{step.solution_dir / step.solution_entry}: no such file,"
            f" so the oracle cannot solve {self._task.task_id}",
            remedy="add the solution, or run another agent on this task",
            reason="solution_missing",
        )
