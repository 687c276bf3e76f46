"""What command-line agents print, as events: recorded output of the real programs, and bad days."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechagym.agents.installed.claude_stream import ClaudeStream
from mechagym.agents.installed.codex_stream import CodexStream
from mechagym.agents.installed.lines import Lines
from mechagym.events import ToolCalled, body_from_json, body_to_json

DATA = Path(__file__).parent / "data"


def read(reader, name: str) -> list[Any]:
    lines = (DATA / name).read_bytes().splitlines()
    return [body for line in lines for body in reader.line(line)]


def test_claude_codes_own_words():
    stream = ClaudeStream()
    bodies = read(stream, "claude-code-2.1.197.jsonl")
    thought, said, first, second, *returned, last = bodies
    assert (thought.thinking, said.text, last.text) == ("hm", "I will write it.", "Done.")
    assert [type(body) for body in (first, second)] == [ToolCalled, ToolCalled]
    assert first.arguments["command"] == "echo hello > hello.txt; ls"
    assert [(r.call_id, r.is_error) for r in returned] == [("toolu_1", False), ("toolu_2", True)]
    assert returned[0].output == "hello.txt"
    report = stream.report()
    assert (report.claim, report.turns, report.error) == ("Done.", 3, None)
    assert report.metadata["cost_usd_by_the_cli"] == pytest.approx(0.00007)
    assert report.metadata["lines_not_understood"] == 0


def test_the_last_usage_of_a_message_counts():
    stream = ClaudeStream()
    for usage in ({"input_tokens": 3, "output_tokens": 1}, {"input_tokens": 3, "output_tokens": 9}):
        message = {"id": "m1", "content": [], "usage": usage}
        list(stream.line(json.dumps({"type": "assistant", "message": message}).encode()))
    usage = stream.report().metadata["usage_by_the_cli"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (3, 9)


def test_what_a_sub_agent_says_hangs_on_its_call():
    content = [{"type": "tool_use", "id": "t2", "name": "Read", "input": {}}]
    line = {"type": "assistant", "message": {"content": content}, "parent_tool_use_id": "t1"}
    call: Any
    (call,) = ClaudeStream().line(json.dumps(line).encode())
    assert (call.call_id, call.parent_call_id) == ("t2", "t1")


def test_pictures_of_a_tool_are_named_and_text_is_kept():
    content = [{"type": "text", "text": "a"}, {"type": "image", "source": {}}]
    block = {"type": "tool_result", "tool_use_id": "t", "content": content}
    line = {"type": "user", "message": {"content": [block]}}
    returned: Any
    (returned,) = ClaudeStream().line(json.dumps(line).encode())
    assert returned.output == "a\n[image]"


@pytest.mark.parametrize(
    "result",
    [
        {"subtype": "success", "is_error": True, "result": "API Error: 402 mechagym: no money"},
        {"subtype": "error_max_turns", "is_error": False},
        {"subtype": "error_during_execution", "is_error": True, "errors": ["boom"]},
    ],
)
def test_an_error_that_it_says_of_itself_is_one(result: dict[str, Any]):
    stream = ClaudeStream()
    assert not list(stream.line(json.dumps({"type": "result", **result}).encode()))
    assert result["subtype"] in (stream.report().error or "")


def test_codex_own_words():
    stream = CodexStream()
    bodies = read(stream, "codex-0.169.0.jsonl")
    note, thought, said, call, returned, last = bodies
    assert (note.source, thought.thinking, said.text, last.text) == (
        *("system", "hm", "I will write it."),
        "Done.",
    )
    assert (call.tool, call.arguments["command"]) == (
        "command_execution",
        "/bin/bash -lc 'echo hello > hello.txt; ls'",
    )
    assert (returned.call_id, returned.output, returned.is_error) == (
        *(call.call_id, "hello.txt\n"),
        False,
    )
    report = stream.report()
    assert (report.claim, report.turns, report.error) == ("Done.", 2, None)
    assert report.metadata["lines_not_understood"] == 0


def test_codex_failing_for_good_is_an_error_and_a_hiccup_is_none():
    stream = CodexStream()
    list(stream.line(b'{"type":"error","message":"Reconnecting"}'))
    done = {"id": "i", "type": "agent_message", "text": "ok"}
    list(stream.line(json.dumps({"type": "item.completed", "item": done}).encode()))
    assert stream.report().error is None
    list(stream.line(b'{"type":"turn.failed","error":{"message":"402 mechagym: no money"}}'))
    assert stream.report().error == "402 mechagym: no money"


def test_a_call_that_never_ended_stays_a_call():
    stream = CodexStream()
    item = {"id": "i", "type": "command_execution", "command": "sleep 9", "status": "in_progress"}
    (call,) = stream.line(json.dumps({"type": "item.started", "item": item}).encode())
    assert isinstance(call, ToolCalled)


BLOCK = {"type": "text", "text": 1, "id": [], "name": None, "input": {}, "thinking": {}}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
KINDS = ["text", "thinking", "tool_use", "agent_message", "reasoning", "error", "x"]
blocks = st.sampled_from(KINDS).map(lambda kind: {**BLOCK, "type": kind})
TYPES = ["assistant", "user", "result", "system", "item.completed", "error"]
shaped = st.fixed_dictionaries(
    {"type": st.sampled_from(TYPES)},
    optional={
        "message": json_values | blocks.map(lambda block: {"content": [block]}),
        "item": json_values | blocks,
        "result": json_values,
        "num_turns": json_values,
        "parent_tool_use_id": json_values,
    },
)


@given(st.lists(st.binary() | (json_values | shaped).map(lambda v: json.dumps(v).encode())))
@pytest.mark.parametrize("reader", [ClaudeStream, CodexStream])
def test_nothing_that_a_program_prints_makes_a_reader_fail(reader, lines: list[bytes]):
    stream = reader()
    for line in lines:
        for body in stream.line(line):
            assert body_from_json(body_to_json(body))
    stream.report()


@given(st.lists(st.binary(max_size=20)), st.integers(1, 30))
def test_lines_are_the_same_however_they_come(parts: list[bytes], limit: int):
    whole = b"".join(parts)
    lines = Lines(limit)
    got = [line for part in parts for line in lines.feed(part)] + list(lines.last())
    texts = whole.split(b"\n")
    assert got == [t.strip() for t in texts if t.strip() and len(t) <= limit]
    assert lines.skipped == sum(len(t) > limit for t in texts)
