"""Every way a try can end has its name, and only what was verified is graded."""

import pytest

from mechagym.errors import (
    AgentError,
    AgentSetupError,
    BoxDied,
    BudgetExhausted,
    LimitRefused,
    TaskRefused,
    VerifierError,
)
from mechagym.records import Outcome, TamperFinding, Verdict, is_graded
from mechagym.run.outcome import after_tampering, cause, ending_of, error_record, outcome_of

PASS = Verdict(rewards={"reward": 1.0})
FAIL = Verdict(rewards={"reward": 0.5})


@pytest.mark.parametrize(
    ("ending", "verdict", "error", "outcome"),
    [
        ("finished", PASS, None, Outcome.PASSED),
        ("finished", FAIL, None, Outcome.FAILED),
        ("deadline", PASS, None, Outcome.TIMED_OUT),
        ("deadline", FAIL, None, Outcome.TIMED_OUT),
        ("error", PASS, AgentError("crashed"), Outcome.AGENT_ERROR),
        ("budget", FAIL, BudgetExhausted("usd"), Outcome.BUDGET_EXHAUSTED),
        ("cancelled", PASS, None, Outcome.CANCELLED),
        ("cancelled", None, BoxDied("gone"), Outcome.CANCELLED),
        ("finished", None, VerifierError("no reward"), Outcome.INFRA_ERROR),
        ("deadline", None, VerifierError("no reward"), Outcome.INFRA_ERROR),
        ("finished", None, BoxDied("gone"), Outcome.INFRA_ERROR),
        ("finished", None, None, Outcome.INFRA_ERROR),
        ("finished", None, ZeroDivisionError("a bug"), Outcome.INFRA_ERROR),
        ("finished", None, AgentSetupError("no node"), Outcome.AGENT_ERROR),
        ("finished", None, LimitRefused("no gpu"), Outcome.REFUSED),
        ("finished", None, TaskRefused("no key"), Outcome.REFUSED),
        ("finished", None, BudgetExhausted("usd"), Outcome.BUDGET_EXHAUSTED),
    ],
)
def test_outcomes(ending, verdict, error, outcome):
    assert outcome_of(ending, verdict, error) is outcome


@pytest.mark.parametrize("outcome", list(Outcome))
def test_nothing_is_graded_without_a_verdict(outcome):
    assert not is_graded(outcome, verified=False)


def test_graded_are_those_the_tests_judged():
    graded = {o for o in Outcome if is_graded(o, verified=True)}
    assert graded == {
        Outcome.PASSED,
        Outcome.FAILED,
        Outcome.TIMED_OUT,
        Outcome.AGENT_ERROR,
        Outcome.BUDGET_EXHAUSTED,
    }


def test_money_is_told_apart_from_faults():
    assert ending_of(BudgetExhausted("usd")) == "budget"
    assert ending_of(RuntimeError("x")) == "error"


def test_an_unexpected_error_keeps_its_trace():
    try:
        raise KeyError("missing")
    except KeyError as error:
        record = error_record(error)
    assert record.reason == "unexpected"
    assert "test_outcome.py" in (record.trace or "")


def test_an_expected_error_keeps_message_and_remedy():
    record = error_record(TaskRefused("needs X", remedy="export X=…", reason="host_variable"))
    assert record.trace is None
    assert (record.type, record.reason, record.blame) == ("TaskRefused", "host_variable", "task")
    assert "export X=…" in record.message


def test_a_task_group_hides_no_cause():
    died = BoxDied("gone")
    wrapped = ExceptionGroup("x", [ExceptionGroup("y", [ValueError("noise"), died])])
    assert cause(wrapped) is died
    assert cause(died) is died
    assert isinstance(cause(ExceptionGroup("z", [ValueError("only")])), ValueError)


def test_tampering_fails_a_pass_only_where_that_is_asked():
    found = Verdict(
        rewards={"reward": 1.0}, findings=(TamperFinding(rule="runner_replaced", detail="bash"),)
    )
    assert after_tampering(found, "flag").passed
    failed = after_tampering(found, "fail")
    assert not failed.passed
    assert failed.rewards == {"reward": 0.0, "reported": 1.0}
    assert after_tampering(PASS, "fail") is PASS
