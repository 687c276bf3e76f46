"""A conversation that is too long is shortened: no call without its result, the task stays."""

from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
)

from mechagym.agents.base import ModelFacts
from mechagym.agents.map.compaction import KEPT_CALLS, compacted
from mechagym.agents.map.conversation import Window
from mechagym.agents.map.messages import answer, opening, returned, tokens_of
from mechagym.errors import ModelError
from mechagym.events.map import MapCompaction
from mechagym.sandbox.base import Box
from tests.agents.map.play import Play, completes, play, runs, says, writes

TASK = "The task, word for word."


def talk(turns: list[list[int]]) -> tuple[ModelMessage, ...]:
    """A conversation: per turn the sizes of its calls' outputs; a turn may have none."""
    messages: list[ModelMessage] = [opening("Rules.", TASK)]
    for turn, sizes in enumerate(turns):
        ids = [f"c{turn}-{number}" for number in range(len(sizes))]
        calls: list[Any] = [
            ToolCallPart(tool_name="run_command", args={}, tool_call_id=i) for i in ids
        ]
        messages.append(ModelResponse(parts=calls or [TextPart(content="hm")]))
        results = [returned(i, "run_command", "o" * n) for i, n in zip(ids, sizes, strict=True)]
        messages.append(answer(results, f"status {turn}"))
    return tuple(messages)


def ids(messages: tuple[ModelMessage, ...], kind: type) -> list[str]:
    parts: list[Any] = [part for message in messages for part in message.parts]
    return [getattr(part, "tool_call_id", "") for part in parts if isinstance(part, kind)]


@pytest.mark.must("map-19")
@given(
    st.lists(st.lists(st.integers(0, 3_000), max_size=4), min_size=1, max_size=15),
    st.integers(200, 8_000),
)
def test_calls_keep_their_results_and_the_task_stays(turns: list[list[int]], window: int):
    messages = talk(turns)

    async def summarise(_messages: tuple[ModelMessage, ...]) -> str:
        return "in short"

    async def shorten() -> Any:
        return await compacted(
            messages, window_tokens=window, summarise=summarise, stated="2 of 3 checks pass"
        )

    done = anyio.run(shorten)
    assert ids(done.messages, ToolCallPart) == ids(done.messages, ToolReturnPart)
    first = done.messages[0]
    assert [part.content for part in first.parts[:2]] == ["Rules.", TASK]
    kept = ids(messages, ToolCallPart)[-KEPT_CALLS:]
    assert ids(done.messages, ToolCallPart)[-len(kept) :] == kept or not kept
    before = {
        p.tool_call_id: p.content
        for m in messages
        for p in m.parts
        if isinstance(p, ToolReturnPart)
    }
    after = {
        p.tool_call_id: p.content
        for m in done.messages
        for p in m.parts
        if isinstance(p, ToolReturnPart)
    }
    assert all(after[i] == before[i] for i in kept), "the last calls stay word for word"
    for left, right in zip(done.messages, done.messages[1:], strict=False):
        assert isinstance(left, ModelRequest) is not isinstance(right, ModelRequest)
    if done.method == "summary":
        assert "in short\n\n2 of 3 checks pass" in str(first.parts[-1].content)
    assert (done.tokens_before, done.tokens_after) == (
        tokens_of(messages),
        tokens_of(done.messages),
    )


@pytest.mark.must("map-19")
async def test_a_full_window_is_shortened_and_the_work_goes_on(mini: Box):
    long = "x" * 20_000
    lines = [runs(f"echo {number}; echo {long}") for number in range(9)]
    asked: list[str] = []

    def answers(messages: list[ModelMessage]) -> ModelResponse:
        last = str(getattr(messages[-1].parts[-1], "content", ""))
        asked.append("summary" if "is about to be shortened" in last else "turn")
        if asked[-1] == "summary":
            return says("I echoed a lot.")
        number = asked.count("turn")
        return lines[number - 1] if number <= len(lines) else completes()

    seen = await play(
        mini,
        [answers] * 20,
        options={"switches": "off", "compaction": "on"},
        facts=ModelFacts(window_tokens=70_000),
    )
    done = seen.of(MapCompaction)
    assert {c.method for c in done} == {"summary"}
    assert all(c.tokens_after < c.tokens_before for c in done)
    assert "I echoed a lot." in seen.prompt(len(seen.asked))
    assert seen.ended.stop_reason == "completed"
    off = await play(
        mini,
        [*lines, completes()],
        options={"switches": "off"},
        facts=ModelFacts(window_tokens=70_000),
    )
    assert not off.of(MapCompaction)


async def test_a_provider_s_own_word_that_it_is_too_long_is_heard_once(mini: Box):
    def refuses(messages: list[ModelMessage]) -> ModelResponse:
        raise ModelError("prompt is too long: 210000 tokens > 200000 maximum", reason="rejected")

    replies: list[Any] = [runs(f"echo {n}") for n in range(7)]
    replies += [refuses, says("so far so good"), completes()]
    seen = await play(mini, replies, options={"switches": "off", "compaction": "on"})
    assert len(seen.of(MapCompaction)) == 1
    assert seen.ended.stop_reason == "completed"
    seen = Play()
    options = {"switches": "off", "compaction": "on"}
    with pytest.raises(ModelError):  # nothing stands before the last calls
        await play(mini, [runs("true"), refuses], options=options, seen=seen)
    assert seen.ended.stop_reason == "context_exhausted"


async def test_in_a_small_window_each_part_begins_anew_from_its_handover(mini: Box):
    replies = [writes(), completes(), completes()]
    seen = await play(
        mini,
        replies,
        task="Make it better.",
        options={"sampler": "off"},
        facts=ModelFacts(window_tokens=16_000),
    )
    assert len(seen.asked[1]) == 1, "the first prompt again, with the handover behind it"
    assert "--- /app/out.txt\ndone" in seen.told(2)
    assert "Make it better." in seen.told(2)


@pytest.mark.parametrize(
    ("tokens", "small", "scale", "chars"),
    [(None, False, 1.0, 30_000), (200_000, False, 1.0, 30_000), (16_000, True, 0.5, 14_000)],
)
def test_a_small_window_shrinks_all_caps(tokens, small, scale, chars):
    window = Window(tokens=tokens)
    assert (window.is_small, window.scale, window.handover_chars) == (small, scale, chars)
