"""What stands in the place of a module that is switched off."""

from mechagym.agents.map.types import Decomposition, Subtask, TaskView


class WholeTask:
    """A decomposer that does not decompose: one sub-task holds all turns. See `Decomposer`."""

    async def split(self, task: TaskView) -> Decomposition:
        """The task as it is."""
        whole = Subtask(
            id="task", name="the task", goal="Do what the task asks for.", max_turns=task.max_turns
        )
        return Decomposition(subtasks=(whole,), source="off")
