"""The plan that a model makes: one call, checked, mended once, else the plan of the rules."""

import posixpath
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mechagym.agents.base import OpenModel
from mechagym.agents.map.decomposer_rules import shares, split_by_rules
from mechagym.agents.map.paths import named
from mechagym.agents.map.types import Decomposition, Subtask, TaskView
from mechagym.budget import Meter
from mechagym.errors import ModelError

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage

MOST_TURNS = 300
_BAD_PLAN = frozenset({"wrong_shape", "truncated"})
_ASKED = """\
Split this piece of work into 2 to 8 parts that are done one after the other by one engineer in a
shell. Each part has an id (short words with dashes), a name, a goal in one or two sentences, a
checkpoint (how one sees that it is done), the files that must exist then (expected_artifacts: paths
that the task names, or in the working directory), the ids of earlier parts that it needs
(depends_on), hints, the turns that it may take (max_turns; {turns} in all), and min_progress: the
share of checks that must pass before the next part, 0 to 1, or null. The last part's min_progress
is 1.

Task:
{instruction}

Where it is done ({workdir}):
{snapshot}"""


class PlannedPart(BaseModel):
    """One part of the work."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(min_length=1, max_length=60)
    name: str
    goal: str
    checkpoint: str = ""
    expected_artifacts: list[str] = []
    depends_on: list[str] = []
    hints: list[str] = []
    max_turns: int = Field(ge=1, le=MOST_TURNS)
    min_progress: float | None = Field(default=None, ge=0, le=1)


class Plan(BaseModel):
    """The parts, in the order in which they are done."""

    model_config = ConfigDict(extra="forbid")

    parts: list[PlannedPart] = Field(min_length=2, max_length=8)
    global_hints: list[str] = []

    @model_validator(mode="after")
    def _hangs_together(self) -> "Plan":
        ids = [part.id for part in self.parts]
        if len(set(ids)) < len(ids):
            raise ValueError("two parts have the same id")
        for i, part in enumerate(self.parts):
            if unknown := sorted(set(part.depends_on) - set(ids[:i])):
                raise ValueError(f"{part.id} depends on {unknown[0]}, which is no earlier part")
        if self.parts[-1].min_progress != 1.0:
            raise ValueError("the last part's min_progress is not 1")
        return self


class LlmDecomposer:
    """See `Decomposer`: asks the model of the role `decomposer`, paid by `meter`."""

    def __init__(self, open_model: OpenModel, meter: Meter) -> None:
        self._open_model, self._meter = open_model, meter

    async def split(self, task: TaskView) -> Decomposition:
        """Ask for a plan; a second bad one gives the plan of the rules, with the reason."""
        from mechagym.llm.ask import ask

        try:
            model = self._open_model("decomposer", self._meter)
            plan = await ask(model, _messages(task), Plan, check=lambda plan: _check(plan, task))
        except ModelError as error:
            if error.reason not in _BAD_PLAN:
                raise
            return split_by_rules(task, reason=f"the model's plan was no good: {error}")
        return _decomposition(plan, task)


def _messages(task: TaskView) -> "list[ModelMessage]":
    from pydantic_ai.messages import ModelRequest

    text = _ASKED.format(
        turns=task.max_turns,
        instruction=task.instruction,
        workdir=task.workdir,
        snapshot=task.snapshot or "(not looked at)",
    )
    return [ModelRequest.user_text_prompt(text)]


def _check(plan: Plan, task: TaskView) -> None:
    """Hold the artifacts against the task. Raises ValueError, which is told to the model."""
    told = {posixpath.join(task.workdir, name.path) for name in named(task.instruction)}
    for part in plan.parts:
        for path in part.expected_artifacts:
            whole = posixpath.normpath(posixpath.join(task.workdir, path))
            inside = whole.startswith(task.workdir.rstrip("/") + "/")
            if not inside and whole not in told:
                raise ValueError(f"{path} is neither named in the task nor in {task.workdir}")


def _decomposition(plan: Plan, task: TaskView) -> Decomposition:
    by_rules = split_by_rules(task)
    turns = shares([part.max_turns for part in plan.parts], task.max_turns)
    subtasks = tuple(
        Subtask(
            id=part.id,
            name=part.name,
            goal=part.goal,
            checkpoint=part.checkpoint,
            expected_artifacts=tuple(part.expected_artifacts),
            depends_on=tuple(part.depends_on),
            hints=tuple(part.hints),
            max_turns=given,
            min_progress=part.min_progress,
        )
        for part, given in zip(plan.parts, turns, strict=True)
    )
    return Decomposition(
        subtasks=subtasks,
        required_outputs=by_rules.required_outputs,
        files_to_read=by_rules.files_to_read,
        global_hints=tuple(plan.global_hints),
        source="llm",
    )
