"""What a run came to, as its last event has it and as the trial's record keeps it.

The self-check is a claim. It is kept beside the verdict, so that claims that were wrong can be
counted, and it is never called a pass.
"""

import json

from mechagym.agents.base import AgentResult
from mechagym.agents.map.types import ExecutionState, MapResult
from mechagym.records import Spend, TryRecord, Usage, from_json, to_json

KEY = "map"
"""Where the result stands in the record's `agent_metadata`."""


def agent_result(result: MapResult) -> AgentResult:
    """For the trial: the claim in words, and all of it beside."""
    return AgentResult(
        claim=claim(result), turns=result.turns, metadata={KEY: json.loads(to_json(result))}
    )


def claim(result: MapResult) -> str:
    """The agent's own opinion in a line."""
    checks = f"self-check {result.tests_passing}/{result.tests_total}"
    parts = [result.stop_reason, checks if result.tests_total else "no self-check", result.summary]
    return " · ".join(filter(None, parts))


def read_result(record: TryRecord) -> MapResult | None:
    """The result as a record has it; None of another agent's."""
    kept = record.agent_metadata.get(KEY)
    return from_json(MapResult, json.dumps(kept)) if kept else None


def is_false_self_pass(record: TryRecord) -> bool:
    """Whether our checks were content and the task's own tests were not."""
    result = read_result(record)
    return bool(
        result and result.self_passed and record.verdict is not None and not record.verdict.passed
    )


def since(now: Spend, before: Spend) -> Spend:
    """What was spent between two moments of one meter."""
    usage = {
        name: getattr(now.usage, name) - getattr(before.usage, name)
        for name in Usage.__dataclass_fields__
    }
    return Spend(
        usage=Usage(**usage),
        billed_nano=now.billed_nano - before.billed_nano,
        imputed_nano=now.imputed_nano - before.imputed_nano,
        unpriced_calls=now.unpriced_calls - before.unpriced_calls,
    )


def share(spend: Spend, of: int) -> Spend:
    """One part of `of`, rounded up: an estimate, for a reservation."""
    usage = {name: -(-getattr(spend.usage, name) // of) for name in Usage.__dataclass_fields__}
    return Spend(
        usage=Usage(**usage),
        billed_nano=-(-spend.billed_nano // of),
        imputed_nano=-(-spend.imputed_nano // of),
    )


def progress_of(state: ExecutionState | None) -> MapResult:
    """The part of a result that the state alone tells, with nothing said of how it ended."""
    if state is None:
        return MapResult(self_passed=None, stop_reason="cancelled")
    said = state.last_evaluation
    return MapResult(
        self_passed=None,
        stop_reason="cancelled",
        progress=said.progress if said else None,
        best_progress=state.best_progress,
        tests_passing=said.tests_passing if said else 0,
        tests_total=said.tests_total if said else 0,
        turns=state.total_turns,
        subtask_status=state.subtask_status,
        last_evaluation=said,
    )
