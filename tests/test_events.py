"""Events are the truth: each kind survives its JSON, and those of old versions always load."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from mechagym.events import (
    AgentSpent,
    AgentStarted,
    AgentStopped,
    ArtifactCollected,
    BoxClosed,
    BoxOpened,
    BudgetRaised,
    BudgetWarned,
    CredentialExposed,
    EgressConnected,
    ErrorRaised,
    Event,
    EventBody,
    ImageProgressed,
    JobEnded,
    JobStarted,
    MessageSaid,
    ModelAnswered,
    ModelFailed,
    ModelRefused,
    ModelRequested,
    ModelSelected,
    NetworkProved,
    OpAsked,
    OpTaken,
    PhaseEnded,
    PhaseStarted,
    ReserveExceeded,
    StepStarted,
    TamperFound,
    ToolCalled,
    ToolReturned,
    TrialEnded,
    TryEnded,
    TryStarted,
    VerdictReached,
    body_from_json,
    body_to_json,
)
from mechagym.records import (
    BoxInfo,
    ErrorRecord,
    Outcome,
    Phase,
    PhaseTime,
    Spend,
    TamperFinding,
    TestResult,
    TryRecord,
    Usage,
    Verdict,
    from_json,
    to_json,
)
from tests.agents.map.event_examples import MAP_EXAMPLES
from tests.testgen.event_examples import TESTGEN_EXAMPLES

GOLDEN = sorted((Path(__file__).parent / "data").glob("events-*.jsonl"))
AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
BOX = BoxInfo(backend="docker", box_id="b1", image="img:1", limits_asked={"cpus": 1.0})
SPEND = Spend(usage=Usage(input=3, output=2, cache_read=1), billed_nano=1_500)
FINDING = TamperFinding(rule="runner_replaced", detail="bash was changed", path="/bin/bash")
VERDICT = Verdict(
    rewards={"reward": 0.5, "style": 1.0},
    tests=(TestResult(name="test_a", status="skipped", duration_ms=1.5, message="no net"),),
    findings=(FINDING,),
    exit_code=127,
    duration_s=2.5,
)
ERROR = ErrorRecord(type="BoxDied", reason="oom", message="gone", blame="sandbox", retry=True)
RECORD = TryRecord(
    number=1,
    outcome=Outcome.FAILED,
    started_at=AT,
    ended_at=AT,
    phases=(PhaseTime(phase=Phase.AGENT, started_at=AT, duration_s=1.0),),
    box=BOX,
    verdict=VERDICT,
    error=ERROR,
    spend=SPEND,
    turns=4,
    claim="done",
)
EXAMPLES: tuple[EventBody, ...] = (
    *TESTGEN_EXAMPLES,
    *MAP_EXAMPLES,
    TryStarted(number=1, owner_pid=42, label="t.1"),
    PhaseStarted(phase=Phase.IMAGE),
    PhaseEnded(phase=Phase.IMAGE, duration_s=0.25),
    ImageProgressed(image="img:1", line="Step 1/3", digest="sha256:ab"),
    BoxOpened(box=BOX, purpose="verifier"),
    BoxClosed(box_id="b1", left=("mount /x",)),
    NetworkProved(policy="no-network", probe="tcp 1.1.1.1:443", expected="closed", held=True),
    StepStarted(name="main", index=0),
    AgentStarted(agent="oracle", version="0.1", instruction="Üb` $(x) {y}", deadline_s=9.5),
    MessageSaid(text="hi", thinking="hm", model="m", parent_call_id="c0"),
    ToolCalled(call_id="c1", tool="bash", arguments={"command": "ls", "n": [1, None, {"a": True}]}),
    ToolReturned(call_id="c1", output="a\x00b\n", is_error=True, duration_s=0.1),
    AgentSpent(spend=SPEND, model="m"),
    AgentStopped(reason="deadline", killed=("sh",), kept=("nginx",), claim="done"),
    ArtifactCollected(source="/app", target="artifacts/app", files=2, refused=("x: a link",)),
    TamperFound(finding=FINDING),
    VerdictReached(verdict=VERDICT, step="two"),
    ErrorRaised(error=ERROR, phase=Phase.VERIFY),
    TryEnded(record=RECORD),
    TrialEnded(outcome=Outcome.INFRA_ERROR, tries=3),
    BudgetWarned(limit="usd", percent=75, spent=0.76, of=1.0),
    BudgetRaised(limit="usd", before=1.0, after=2.5),
    ReserveExceeded(call_id="m1", model="a:b", held=SPEND, spent=SPEND + SPEND),
    ModelRequested(call_id="m1", model="a:b", door="gateway", held=SPEND, output_limit=2048),
    ModelAnswered(call_id="m1", model="a:b", spend=SPEND, price_ref="p@1", total_ms=12.5),
    ModelFailed(call_id="m1", model="a:b", error="rate_limit", message="429", wait_s=1.5),
    ModelRefused(model="a:b", reason="price_unknown", message="no price"),
    ModelSelected(
        role="builder", model="a:b", rule="chain", rationale="first", skipped=("c: off",)
    ),
    CredentialExposed(agent="claude-code", target="/root/.claude/.credentials.json"),
    EgressConnected(host="pypi.org", port=443, verdict="allowed", sent_bytes=1),
    JobStarted(owner_pid=42, trials=10, resumed=True),
    JobEnded(state="cancelled"),
    OpAsked(op_id=7, op="stop", author="page", job_id="j1"),
    OpTaken(op_id=7, op="stop", applied=False, detail="over"),
)
KINDS = {body.kind for body in EXAMPLES}


def test_there_is_an_example_of_every_kind():
    assert {type(body) for body in EXAMPLES} == set(get_args(EventBody))
    assert len(KINDS) == len(EXAMPLES), "kinds are unique"


@pytest.mark.parametrize("body", EXAMPLES, ids=lambda body: body.kind)
def test_every_body_survives_json(body: EventBody):
    line = body_to_json(body)
    assert "\n" not in line
    assert body_from_json(line) == body
    event = Event(subject="t1", seq=1, at=AT, body=body, try_number=2)
    assert from_json(Event, to_json(event)) == event


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_old_events_load_with_all_they_said(path: Path):
    for line in path.read_text(encoding="utf-8").splitlines():
        told = json.loads(line)
        assert holds(json.loads(body_to_json(body_from_json(line))), told), line


def test_every_kind_has_a_golden_line():
    lines = [line for path in GOLDEN for line in path.read_text(encoding="utf-8").splitlines()]
    assert {json.loads(line)["kind"] for line in lines} == KINDS


def test_a_field_from_the_future_is_passed_over():
    assert body_from_json('{"kind":"job_ended","state":"finished","new":1}') == JobEnded(
        state="finished"
    )


@pytest.mark.parametrize("line", ['{"kind":"nope"}', "{}", "", "[]", '{"kind":"job_ended"}'])
def test_what_is_no_event_is_said_clearly(line: str):
    with pytest.raises(ValidationError) as caught:
        body_from_json(line)
    assert "nope" not in line or "'nope'" in str(caught.value)


def test_bytes_that_are_no_text_do_not_stop_an_event():
    output = b"caf\xe9".decode("utf-8", "surrogateescape")
    line = body_to_json(ToolReturned(call_id="c1", output=output))
    assert body_from_json(line) == ToolReturned(call_id="c1", output="caf?")


def holds(now: object, then: object) -> bool:
    """Whether every value of `then` is still in `now`; fields may have come."""
    if isinstance(then, dict):
        return isinstance(now, dict) and all(k in now and holds(now[k], then[k]) for k in then)
    if isinstance(then, list):
        return isinstance(now, list) and len(now) == len(then) and all(map(holds, now, then))
    return now == then
