"""The first prompt: what stays of it comes first, so that a provider's cache hits."""

from dataclasses import dataclass

from mechagym.agents.map.config import MapConfig
from mechagym.agents.map.handover import subtask_told
from mechagym.agents.map.prompts import SYSTEM
from mechagym.agents.map.types import Decomposition

INSTRUCTION_CHARS = 32_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What was found out before the first turn. `files` as told; `instruction_file` where it is
    too long to stand here.
    """

    instruction: str
    instruction_file: str = ""
    snapshot: str = ""
    files: str = ""
    head_chars: int = INSTRUCTION_CHARS


def system_prompt(config: MapConfig) -> str:
    """Role and rules, then what a person gave for every task."""
    parts = [config.prompts.system_prompt or SYSTEM]
    if config.hint:
        parts.append(f"Hint: {config.hint}")
    if config.use_skills and config.skills:
        parts.append("What is known to work:\n" + "\n\n".join(config.skills))
    return "\n\n".join(parts)


def first_prompt(known: Known, plan: Decomposition) -> str:
    """The task word for word, the machine, the files it names, the plan."""
    parts = [
        f"# The task\n\n{instruction_told(known)}",
        f"# The machine, as it is now\n\n{known.snapshot}" if known.snapshot else "",
        f"# Files the task names\n\n{known.files}" if known.files else "",
        _plan(plan),
    ]
    return "\n\n".join(filter(None, parts))


def instruction_told(known: Known) -> str:
    """Word for word; a longer one by its head, and where all of it stands."""
    text = known.instruction
    if not known.instruction_file:
        return text
    return (
        f"{text[: known.head_chars]}\n[cut here: the task has {len(text)} characters, all of it is"
        f" in {known.instruction_file}; read it before you begin]"
    )


def _plan(plan: Decomposition) -> str:
    if plan.source == "off":
        return ""
    names = "\n".join(f"{i}. {part.name}: {part.goal}" for i, part in enumerate(plan.subtasks, 1))
    outputs = ", ".join(plan.required_outputs)
    lines = [
        f"# The plan\n\n{names}",
        f"Files that must be there in the end: {outputs}" if outputs else "",
        *(f"Hint: {hint}" for hint in plan.global_hints),
        f"You begin with {plan.subtasks[0].name}.\n{subtask_told(plan.subtasks[0])}",
    ]
    return "\n\n".join(filter(None, lines))
