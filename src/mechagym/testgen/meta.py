"""The model that proposes a change of the config: what it sees, and how it answers.

It sees files: the config, the last runs as they were, counts of calibration, the targets. No
verdict's test names, no expected values and no task of the hold-out are among them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mechagym.errors import ModelError
from mechagym.llm.ask import ask
from mechagym.records import Json, to_dict
from mechagym.store.testgen_rows import CalibrationRow, RunParts, RunRow
from mechagym.testgen.config import (
    MAX_PROMPT_CHARS,
    OF_KIND,
    ONLY_A_PERSON,
    SPANS,
    ChangeKind,
    body_of,
)
from mechagym.testgen.types import TestGenConfig

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage
    from pydantic_ai.models import Model

SHOWN_RUNS = 5
MAX_FILE_CHARS = 12_000
TARGETS: Mapping[str, float] = {
    "balance": 0.8,
    "anti_cheat": 0.9,
    "parameter_discovery": 0.8,
    "reflection_effectiveness": 0.7,
    "token_efficiency": 0.6,
}
_SYSTEM = """\
You improve a generator of tests. It gets an instruction and a machine before the work is done, and
writes tests that fail now, pass on every right solution and fail on wrong ones. You change its
config, never a single test. Read how the last runs went, see why tests were rejected and what
measures stay below their targets, and propose one change that would help on all kinds of work.
Never write of a particular task, file or expected value: such a text is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed:
    """A change as the model puts it. `changes`: field → new value."""

    kind: ChangeKind
    changes: dict[str, Json] = field(default_factory=dict)
    reasoning: str = ""
    expected_improvement: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenRun:
    """A run as it was: its row, what it made, and what was reflected."""

    row: RunRow
    parts: RunParts
    reflections: tuple[str, ...] = ()


async def propose(
    model: "Model",
    config: TestGenConfig,
    runs: Sequence[SeenRun],
    counts: Sequence[CalibrationRow],
) -> Proposed:
    """Ask for a change; a reply that cannot be read is `keep`. Raises ModelError, BudgetError."""
    files = files_of(config, runs, counts)
    text = "\n\n".join(f'<file name="{name}">\n{body}\n</file>' for name, body in files.items())
    try:
        return await ask(model, _messages(text), Proposed)
    except ModelError as error:
        if error.reason not in ("wrong_shape", "truncated"):
            raise
        return Proposed(kind="keep", reasoning=f"no readable proposal: {error.message}")


def files_of(
    config: TestGenConfig, runs: Sequence[SeenRun], counts: Sequence[CalibrationRow]
) -> dict[str, str]:
    """What the model sees, by file name."""
    files = {
        "config.json": _json(body_of(config)),
        "rules.json": _json(_rules()),
        "targets.json": _json(TARGETS),
        "calibration.json": _json([_count(row) for row in counts]),
    }
    for number, run in enumerate(runs[:SHOWN_RUNS], 1):
        files[f"runs/{number}.json"] = _json(_raw(run))
    return {name: text[:MAX_FILE_CHARS] for name, text in files.items()}


def _messages(text: str) -> "list[ModelMessage]":
    from pydantic_ai.messages import ModelRequest, SystemPromptPart, UserPromptPart

    return [ModelRequest(parts=[SystemPromptPart(content=_SYSTEM), UserPromptPart(content=text)])]


def _rules() -> dict[str, Json]:
    """What may change and by how much, so that little has to be clamped."""
    return {
        "kinds": {kind: sorted(names) for kind, names in OF_KIND.items()},
        "numbers": {name: to_dict(span) for name, span in SPANS.items()},
        "prompts": f"one at once, at most {MAX_PROMPT_CHARS} characters; places in braces stay",
        "only_a_person": ONLY_A_PERSON,
    }


def _raw(run: SeenRun) -> dict[str, Json]:
    """A run with its tests and what became of them; the task is not named."""
    row = run.row
    return {
        "score": row.score,
        "metrics": dict(row.metrics),
        "stopped_by": row.stopped_by,
        "notes": row.notes,
        "reflections": run.reflections,
        "tests": [
            {
                "category": test.category,
                "status": test.status,
                "rule": test.reject_rule,
                "reason": test.reject_reason,
                "title": test.title,
                "code": test.code,
            }
            for test in run.parts.tests
        ],
    }


def _count(row: CalibrationRow) -> dict[str, Json]:
    return {
        "category": row.category,
        "metric": row.metric,
        "successes": row.successes,
        "trials": row.trials,
    }


def _json(value: Json) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, default=list)
