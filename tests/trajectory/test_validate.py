"""The checker names each fault by its path, and never breaks on what it is given."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechagym.trajectory.atif import fold
from mechagym.trajectory.validate import validate, validate_file
from tests.trajectory.makers import KEY, events_of, whole

GOOD: dict[str, Any] = json.loads(json.dumps(fold(KEY, 1, events_of(*whole()))))


def put(document: Any, path: str, value: Any) -> None:
    """Set (or with `...`, drop) what a dotted path names."""
    *before, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in before:
        document = document[part]
    if value is ...:
        del document[last]
    else:
        document[last] = value


BITMAP = {"type": "image", "source": {"media_type": "image/bmp", "path": "x"}}
SOUND = {"type": "audio", "source": {"media_type": "audio/wav", "path": "x"}}
REF_PLACE = "steps.3.observation.results.0.subagent_trajectory_ref.0"
REF = "steps[3].observation.results[0].subagent_trajectory_ref[0]"
RESULT_PLACE = "steps.2.observation.results.0"
RESULT = "steps[2].observation.results[0]"
SUB = "subagent_trajectories[0]"
FAULTS = [
    ("schema_version", "ATIF-v9.9", "schema_version"),
    ("schema_version", ..., "schema_version"),
    ("agent", ..., "agent"),
    ("agent.name", 5, "agent.name"),
    ("agent.colour", "red", "agent.colour"),
    ("steps", [], "steps"),
    ("surprise", 1, "surprise"),
    ("steps.1.step_id", 7, "steps[1].step_id"),
    ("steps.0.step_id", True, "steps[0].step_id"),
    ("steps.0.source", "robot", "steps[0].source"),
    ("steps.0.message", ..., "steps[0].message"),
    ("steps.0.tool_calls", [], "steps[0].tool_calls"),
    ("steps.0.metrics", {}, "steps[0].metrics"),
    ("steps.0.timestamp", "yesterday", "steps[0].timestamp"),
    ("steps.1.timestamp", "2020-01-01T00:00:00Z", "steps[1].timestamp"),
    ("steps.2.llm_call_count", 0, "steps[2].metrics"),
    ("steps.2.llm_call_count", -1, "steps[2].llm_call_count"),
    ("steps.2.metrics.prompt_tokens", -5, "steps[2].metrics.prompt_tokens"),
    ("steps.2.metrics.cost_usd", float("nan"), "steps[2].metrics.cost_usd"),
    ("steps.2.metrics.cached_tokens", 1000, "steps[2].metrics.cached_tokens"),
    ("steps.2.metrics.speed", 1, "steps[2].metrics.speed"),
    ("steps.2.tool_calls.0.arguments", "ls", "steps[2].tool_calls[0].arguments"),
    ("steps.2.tool_calls.1.tool_call_id", "c1", "steps[2].tool_calls[1].tool_call_id"),
    ("steps.3.tool_calls.0.tool_call_id", "s1", f"{SUB}.steps[0].tool_calls[0].tool_call_id"),
    (f"{RESULT_PLACE}.source_call_id", "c3", f"{RESULT}.source_call_id"),
    (f"{RESULT_PLACE}.exit", 1, f"{RESULT}.exit"),
    (REF_PLACE, {"session_id": "s"}, REF),
    ("subagent_trajectories.0.trajectory_id", "else", f"{REF}.trajectory_id"),
    ("subagent_trajectories.0.trajectory_id", ..., "subagent_trajectories[0].trajectory_id"),
    ("subagent_trajectories.0.steps.0.step_id", 2, "subagent_trajectories[0].steps[0].step_id"),
    ("final_metrics.total_cost_usd", 9.9, "final_metrics.total_cost_usd"),
    ("final_metrics.total_prompt_tokens", 1, "final_metrics.total_prompt_tokens"),
    ("final_metrics.total_steps", 99, "final_metrics.total_steps"),
    ("steps.0.message", [{"type": "text"}], "steps[0].message[0].text"),
    ("steps.0.message", [{"type": "smell"}], "steps[0].message[0].type"),
    ("steps.0.message", [BITMAP], "steps[0].message[0].source.media_type"),
    ("steps.0.message", [{"type": "image"}], "steps[0].message[0].source"),
    ("steps.0.message", [SOUND], "steps[0].message[0].type"),
]


@pytest.mark.parametrize(("path", "value", "expected"), FAULTS)
def test_each_fault_is_named_by_its_path(path: str, value: Any, expected: str):
    document = copy.deepcopy(GOOD)
    assert validate(document) == []
    put(document, path, value)
    assert expected in [fault.path for fault in validate(document)]


def test_all_faults_are_told_at_once():
    document = copy.deepcopy(GOOD)
    for path, value, _ in FAULTS[3:5]:
        put(document, path, value)
    assert len(validate(document)) == 2


@pytest.mark.parametrize("minor", range(9))
def test_every_schema_version_is_read(minor: int):
    assert validate(GOOD | {"schema_version": f"ATIF-v1.{minor}"}) == []


def test_audio_is_fine_from_1_8_on():
    document = copy.deepcopy(GOOD) | {"schema_version": "ATIF-v1.8"}
    put(document, "steps.0.message", [SOUND, {"type": "text", "text": "listen"}])
    assert validate(document) == []


def test_totals_may_count_sub_agents_or_leave_out_copied_context():
    document = copy.deepcopy(GOOD)
    spent = {"prompt_tokens": 100, "cached_tokens": 0, "completion_tokens": 3, "cost_usd": 0.5}
    put(document, "subagent_trajectories.0.steps.0.metrics", spent)
    total = document["final_metrics"]["total_prompt_tokens"]
    for allowed in (total, total + 100):
        put(document, "final_metrics.total_prompt_tokens", allowed)
        assert validate(document) == []
    document = copy.deepcopy(GOOD)
    put(document, "steps.2.is_copied_context", True)
    half = {name: value / 2 for name, value in document["final_metrics"].items() if name != "extra"}
    put(document, "final_metrics", {n: int(v) for n, v in half.items() if n != "total_cost_usd"})
    put(document, "final_metrics.total_steps", 6)
    assert validate(document) == []


def test_a_file_that_is_no_json_is_said_to_be(tmp_path: Path):
    path = tmp_path / "t.json"
    path.write_text("{")
    (fault,) = validate_file(path)
    assert str(fault).startswith("is no JSON")
    path.write_text(json.dumps(GOOD))
    assert validate_file(path) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
PLACES = sorted({path for path, _, _ in FAULTS})


@given(JSON)
def test_any_value_is_judged_without_a_crash(value: Any):
    assert validate(value)


@given(st.lists(st.tuples(st.sampled_from(PLACES), JSON), min_size=1, max_size=3))
def test_any_value_in_any_place_is_judged_without_a_crash(changes: list[tuple[str, Any]]):
    document = copy.deepcopy(GOOD)
    for path, value in changes:
        try:
            put(document, path, value)
        except (KeyError, IndexError, TypeError, AttributeError):
            continue
    validate(document)
