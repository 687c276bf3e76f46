"""Every try has one valid ATIF document."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechagym.events import (
    AgentSpent,
    AgentStarted,
    EventBody,
    MessageSaid,
    ModelAnswered,
    ToolCalled,
    ToolReturned,
)
from mechagym.records import Spend, Usage
from mechagym.trajectory.atif import fold
from mechagym.trajectory.validate import validate
from tests.trajectory.makers import KEY, SPENT, TRIES, events_of, whole, work

SCHEMA = jsonschema.Draft202012Validator(
    json.loads((Path(__file__).parent.parent / "data" / "atif-1.8.schema.json").read_text())
)


def document_of(bodies: list[EventBody]) -> dict[str, Any]:
    document = json.loads(json.dumps(fold(KEY, 1, events_of(*bodies))))
    assert validate(document) == []
    SCHEMA.validate(document)
    return document  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", TRIES)
def test_every_try_has_a_valid_document(name: str):
    document = document_of(TRIES[name][1])
    assert document["schema_version"] == "ATIF-v1.7"
    assert document["steps"]


def test_a_whole_try():
    document = document_of(whole())
    steps = document["steps"]
    assert [step["source"] for step in steps] == [
        "user", "system", "agent", "agent", "user", "agent",
    ]  # fmt: skip
    assert steps[0]["message"] == "Fix `{it}` – $(now)"
    two = steps[2]
    assert (two["message"], two["reasoning_content"]) == ("Two looks at once.", "hm")
    assert [call["tool_call_id"] for call in two["tool_calls"]] == ["c1", "c2"]
    assert two["observation"]["results"] == [
        {"source_call_id": "c2", "content": "no such file", "extra": {"is_error": True}},
        {"source_call_id": "c1", "content": "a\nb\x00", "extra": {"duration_s": 0.25}},
    ]
    assert (two["metrics"]["prompt_tokens"], two["metrics"]["completion_tokens"]) == (105, 27)
    again = steps[5]
    assert again["tool_calls"][0]["tool_call_id"] == "c1#2"
    assert again["observation"]["results"][0] == {"source_call_id": "c1#2", "content": "done"}
    assert again["observation"]["results"][1]["extra"] == {"call_id": "never-called"}
    assert document["final_metrics"]["total_cached_tokens"] == 180
    assert document["final_metrics"]["total_cost_usd"] == 2_469_134 / 1e9
    assert document["extra"]["outcome"] == "passed"
    assert document["extra"]["claim"] == "all tests pass"


def test_a_sub_agent_has_its_own_trajectory():
    document = document_of(whole())
    (sub,) = document["subagent_trajectories"]
    task = document["steps"][3]
    (result,) = task["observation"]["results"]
    assert result["subagent_trajectory_ref"] == [{"trajectory_id": sub["trajectory_id"]}]
    assert result["content"] == "found"
    assert [step["message"] for step in sub["steps"]] == ["I look."]
    assert sub["steps"][0]["observation"]["results"][0]["content"] == "content"


def test_parallel_sub_agents_stay_in_one_turn():
    document = document_of(
        [
            MessageSaid(text="two helpers"),
            ToolCalled(call_id="a", tool="Task"),
            MessageSaid(text="I am a", parent_call_id="a"),
            ToolCalled(call_id="b", tool="Task"),
            MessageSaid(text="I am b", parent_call_id="b"),
            ToolCalled(call_id="b1", tool="Task", parent_call_id="b"),
            MessageSaid(text="I am b's", parent_call_id="b1"),
            ToolReturned(call_id="a", output="A"),
            ToolReturned(call_id="b", output="B"),
        ]
    )
    assert len(document["steps"]) == 1
    a, b = document["subagent_trajectories"]
    assert "subagent_trajectories" not in a
    assert b["subagent_trajectories"][0]["steps"][0]["message"] == "I am b's"


def test_a_try_that_failed_early_says_why():
    document = document_of(TRIES["no box"][1])
    assert "before its agent started" in document["steps"][0]["message"]
    assert document["notes"] == "BoxDied: the box is gone"


def test_output_is_stored_once():
    text = json.dumps(document_of([*work()[:5], *_one("output that is unique")]))
    assert text.count("output that is unique") == 1


def _one(output: str) -> list[EventBody]:
    return [ToolCalled(call_id="q", tool="t"), ToolReturned(call_id="q", output=output)]


def test_other_tries_are_left_out():
    events = events_of(*whole()) + events_of(MessageSaid(text="second"), number=2)
    assert "second" not in json.dumps(fold(KEY, 1, events))
    assert [step["message"] for step in fold(KEY, 2, events)["steps"]] == ["second"]


IDS = st.sampled_from(["a", "b", "c", "a#2"])
PARENTS = st.none() | IDS
ANY: st.SearchStrategy[EventBody] = st.one_of(
    st.builds(
        MessageSaid,
        text=st.text(max_size=5),
        source=st.sampled_from(["agent", "user", "system"]),
        thinking=st.none() | st.just("t"),
        parent_call_id=PARENTS,
    ),
    st.builds(ToolCalled, call_id=IDS, tool=st.just("t"), parent_call_id=PARENTS),
    st.builds(ToolReturned, call_id=IDS, output=st.text(max_size=5)),
    st.builds(
        AgentSpent,
        spend=st.builds(
            Spend,
            usage=st.builds(
                Usage, input=st.integers(0, 9), cache_read=st.integers(0, 9), output=st.just(1)
            ),
            billed_nano=st.integers(0, 10**12),
        ),
    ),
    st.builds(AgentStarted, agent=st.just("a"), version=st.just("1"), instruction=st.just("i")),
)


@given(st.lists(ANY, max_size=25))
def test_any_order_of_events_gives_a_valid_document(bodies: list[EventBody]):
    document_of(bodies)


def test_the_cost_of_an_answer_stands_at_the_step_it_paid_for():
    answer = ModelAnswered(call_id="m", model="a:b", spend=SPENT, price_ref="p", total_ms=1.0)
    early = document_of([AgentStarted(agent="a", version="1", instruction="go"), answer])
    assert early["steps"][1]["metrics"]["completion_tokens"] == 27
    bodies: list[EventBody] = [
        AgentStarted(agent="a", version="1", instruction="go"),
        answer,
        MessageSaid(text="first"),
        ToolCalled(call_id="c", tool="bash"),
        answer,
        MessageSaid(text="second"),
    ]
    steps = document_of(bodies)["steps"]
    assert [step["message"] for step in steps] == ["go", "first", "second"]
    assert steps[1]["metrics"]["completion_tokens"] == 54
    assert "metrics" not in steps[2]
