"""How a try ended, decided from what is known: pure, so that every combination has a test.

The order matters: a person's cancel first; then what kept the tests from giving a reward; then
how the agent ended; the reward last. Without a verdict nothing is graded, and nothing silently
counts as 0.
"""

import traceback
from dataclasses import replace
from typing import Literal

from mechagym.errors import (
    AgentError,
    BudgetExhausted,
    LimitRefused,
    MechagymError,
    TaskRefused,
)
from mechagym.records import ErrorRecord, Outcome, Verdict

Ending = Literal["finished", "deadline", "budget", "cancelled", "error"]


def outcome_of(ending: Ending, verdict: Verdict | None, error: BaseException | None) -> Outcome:
    """Name the outcome. `error` is the fault that stopped the try or, with a verdict, the agent's
    own.
    """
    if ending == "cancelled":
        return Outcome.CANCELLED
    if verdict is None:
        return _ungraded(error)
    match ending:
        case "deadline":
            return Outcome.TIMED_OUT
        case "budget":
            return Outcome.BUDGET_EXHAUSTED
        case "error":
            return Outcome.AGENT_ERROR
        case "finished":
            return Outcome.PASSED if verdict.passed else Outcome.FAILED


def ending_of(error: BaseException) -> Ending:
    """How an agent ended that raised."""
    return "budget" if isinstance(error, BudgetExhausted) else "error"


def cause(error: Exception) -> Exception:
    """What really went wrong, where a backend's task group has wrapped it.

    Of several faults the first typed one is told: the others came with it.
    """
    if not isinstance(error, ExceptionGroup):
        return error
    inner = [cause(each) for each in error.exceptions]
    return next((each for each in inner if isinstance(each, MechagymError)), inner[0])


def error_record(error: BaseException) -> ErrorRecord:
    """An error as it is kept; the trace only where we did not expect it."""
    if isinstance(error, MechagymError):
        return ErrorRecord(
            type=type(error).__name__,
            reason=error.reason,
            message=str(error),
            blame=error.blame,
            retry=error.retry,
        )
    return ErrorRecord(
        type=type(error).__name__,
        reason="unexpected",
        message=f"{type(error).__name__}: {error}",
        blame="host",
        trace="".join(traceback.format_exception(error)),
    )


def after_tampering(verdict: Verdict, rule: Literal["flag", "fail"]) -> Verdict:
    """With `fail`, a verdict with findings passes nothing; what the tests had said stands in
    `reported`.
    """
    if rule == "flag" or not verdict.findings:
        return verdict
    return replace(verdict, rewards={"reward": 0.0, "reported": verdict.reward})


def _ungraded(error: BaseException | None) -> Outcome:
    match error:
        case TaskRefused() | LimitRefused():
            return Outcome.REFUSED
        case AgentError():
            return Outcome.AGENT_ERROR
        case BudgetExhausted():
            return Outcome.BUDGET_EXHAUSTED
        case _:
            return Outcome.INFRA_ERROR
