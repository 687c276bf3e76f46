"""The plan that needs no model: four sub-tasks of any piece of work, seen from its text alone."""

from collections.abc import Sequence
from dataclasses import dataclass

from mechagym.agents.map.paths import named
from mechagym.agents.map.types import Decomposition, Subtask, TaskView


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    id: str
    turns: int
    goal: str
    checkpoint: str
    with_artifacts: bool = True
    min_progress: float | None = None


_PARTS = (
    _Part(
        id="understand-requirements",
        turns=3,
        goal="Find out what is asked: read the task again and the files that it names, look around,"
        " and try what is there. Then begin to write.",
        checkpoint="the first file is written",
        with_artifacts=False,
    ),
    _Part(
        id="write-initial-solution",
        turns=5,
        goal="Write a whole first solution, in the places that the task names.",
        checkpoint="everything that was asked for is there",
    ),
    _Part(
        id="test-and-iterate",
        turns=10,
        goal="Try the solution on real input and on its edges, and mend what is wrong.",
        checkpoint="at least half of the checks pass",
        min_progress=0.5,
    ),
    _Part(
        id="final-validation",
        turns=5,
        goal="Go through the task sentence by sentence, compare it with what is there, and mend the"
        " rest.",
        checkpoint="all checks pass",
        min_progress=1.0,
    ),
)


class RulesDecomposer:
    """See `Decomposer`: always the same four parts; paths are found by the grammar of `paths`."""

    async def split(self, task: TaskView) -> Decomposition:
        """The plan of the rules."""
        return split_by_rules(task)


def split_by_rules(task: TaskView, *, reason: str = "") -> Decomposition:
    """The plan of the rules; `reason`: why it is not another one."""
    paths = named(task.instruction)
    outputs = tuple(name.path for name in paths if name.asked)
    turns = shares([part.turns for part in _PARTS], task.max_turns)
    subtasks = tuple(
        Subtask(
            id=part.id,
            name=part.id.replace("-", " "),
            goal=part.goal,
            checkpoint=part.checkpoint,
            expected_artifacts=outputs if part.with_artifacts else (),
            depends_on=(_PARTS[i - 1].id,) if i else (),
            max_turns=turns[i],
            min_progress=part.min_progress,
        )
        for i, part in enumerate(_PARTS)
    )
    return Decomposition(
        subtasks=subtasks,
        required_outputs=outputs,
        files_to_read=tuple(n.path for n in paths if not n.asked and n.path in task.exists),
        source="rules",
        reason=reason,
    )


def shares(wanted: Sequence[int], max_turns: int) -> list[int]:
    """Divide turns as wanted; what is over belongs to the last part, what lacks is taken from all
    in proportion. Each part gets at least one turn.
    """
    total = sum(wanted)
    if max_turns >= total:
        return [*wanted[:-1], wanted[-1] + max_turns - total]
    exact = [turns * max_turns / total for turns in wanted]
    given = [max(1, int(share)) for share in exact]
    by_lack = sorted(range(len(given)), key=lambda i: given[i] - exact[i])
    for i in by_lack:
        given[i] += sum(given) < max_turns
    while sum(given) > max(max_turns, len(given)):
        given[given.index(max(given))] -= 1
    return given
