"""Each wire's usage becomes the same six disjoint counts, and none is counted twice."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechagym.llm import usage as borders
from mechagym.llm.usage import READERS, Dialect, UsageSoFar
from mechagym.records import Spend, Usage
from mechagym.trajectory.atif import _metrics

pytestmark = pytest.mark.must("llm-13")

counts = st.integers(0, 10**7)
usages = st.builds(
    Usage,
    input=counts,
    cache_read=counts,
    cache_write_5m=counts,
    cache_write_1h=counts,
    output=counts,
    reasoning=counts,
    web_searches=st.integers(0, 5),
)


def carried(usage: Usage, *, writes: bool = True, searches: bool = False) -> Usage:
    """What a wire can carry of a usage: OpenAI's has one kind of write, Gemini's none."""
    written = usage.cache_write_5m + usage.cache_write_1h if writes else 0
    return Usage(
        input=usage.input,
        cache_read=usage.cache_read,
        cache_write_5m=written,
        output=usage.output,
        reasoning=usage.reasoning,
        web_searches=usage.web_searches if searches else 0,
    )


@given(usages)
def test_there_and_back_is_the_same(usage: Usage):
    assert borders.from_anthropic(borders.to_anthropic(usage)) == usage
    assert borders.from_chat(borders.to_chat(usage)) == carried(usage)
    assert borders.from_responses(borders.to_responses(usage)) == carried(usage)
    assert borders.from_gemini(borders.to_gemini(usage)) == carried(usage, writes=False)
    measured = usage if usage != Usage() else None
    assert borders.from_library(borders.to_library(usage)) == measured


@pytest.mark.parametrize(
    ("dialect", "said", "usage"),
    [
        (
            "anthropic",
            {
                "input_tokens": 3,
                "cache_read_input_tokens": 50,
                "cache_creation_input_tokens": 100,
                "cache_creation": {
                    "ephemeral_5m_input_tokens": 60,
                    "ephemeral_1h_input_tokens": 40,
                },
                "output_tokens": 12,
                "output_tokens_details": {"thinking_tokens": 5},
                "server_tool_use": {"web_search_requests": 2},
            },
            Usage(
                input=3,
                cache_read=50,
                cache_write_5m=60,
                cache_write_1h=40,
                output=7,
                reasoning=5,
                web_searches=2,
            ),
        ),
        (
            "anthropic",
            {"input_tokens": 3, "cache_creation_input_tokens": 100, "output_tokens": 1},
            Usage(input=3, cache_write_5m=100, output=1),
        ),
        (
            "openai-chat",
            {
                "prompt_tokens": 100,
                "prompt_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 20},
                "completion_tokens": 50,
                "completion_tokens_details": {"reasoning_tokens": 40},
            },
            Usage(input=50, cache_read=30, cache_write_5m=20, output=10, reasoning=40),
        ),
        (
            "openai-responses",
            {
                "input_tokens": 100,
                "input_tokens_details": {"cached_tokens": 30},
                "output_tokens": 50,
                "output_tokens_details": {"reasoning_tokens": 40},
            },
            Usage(input=70, cache_read=30, output=10, reasoning=40),
        ),
        (
            "google",
            {
                "promptTokenCount": 100,
                "toolUsePromptTokenCount": 10,
                "cachedContentTokenCount": 30,
                "candidatesTokenCount": 7,
                "thoughtsTokenCount": 9,
            },
            Usage(input=80, cache_read=30, output=7, reasoning=9),
        ),
    ],
)
def test_each_wire_by_hand(dialect: Dialect, said: Any, usage: Usage):
    assert READERS[dialect](said) == usage


numbers = st.none() | st.integers(-5, 10**6) | st.floats() | st.text(max_size=3) | st.booleans()
names = st.sampled_from(
    [
        "input_tokens",
        "output_tokens",
        "prompt_tokens",
        "completion_tokens",
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
        "promptTokenCount",
        "cachedContentTokenCount",
        "candidatesTokenCount",
    ]
)
inner = st.dictionaries(
    st.sampled_from(["cached_tokens", "reasoning_tokens", "thinking_tokens", "cache_write_tokens"]),
    numbers,
)
details = st.sampled_from(["prompt_tokens_details", "output_tokens_details", "cache_creation"])
lies = st.dictionaries(names | details, numbers | inner)


@given(st.sampled_from(list(READERS)), numbers | lies | st.lists(numbers, max_size=2))
def test_whatever_a_provider_says_no_count_is_negative(dialect: Dialect, said: Any):
    usage = READERS[dialect](said)
    if usage is not None:
        assert min(vars_of(usage).values()) >= 0


def vars_of(usage: Usage) -> dict[str, int]:
    return {name: getattr(usage, name) for name in Usage.__dataclass_fields__}


@pytest.mark.parametrize("dialect", READERS)
@pytest.mark.parametrize("said", [None, {}, [], "many", {"input_tokens": None}])
def test_no_usage_is_not_zero(dialect: Dialect, said: Any):
    assert READERS[dialect](said) is None


def test_the_running_totals_of_a_stream_are_not_added():
    """As recorded: the delta repeats and raises what the start said."""
    seen = UsageSoFar("anthropic")
    start = {"input_tokens": 472, "cache_read_input_tokens": 5, "output_tokens": 2}
    seen.saw({"type": "message_start", "message": {"usage": start}})
    seen.saw({"type": "content_block_delta", "delta": {"text": "hi"}})
    assert seen.usage == Usage(input=472, cache_read=5, output=2)
    seen.saw({"type": "message_delta", "usage": {"input_tokens": 472, "output_tokens": 40}})
    seen.saw({"type": "message_delta", "usage": {"output_tokens": 89}})
    assert seen.usage == Usage(input=472, cache_read=5, output=89)


@given(usages, st.lists(st.fractions(0, 1), max_size=4))
def test_a_stream_and_a_plain_reply_of_one_exchange_agree(usage: Usage, parts: list[Any]):
    plain = borders.from_anthropic(borders.to_anthropic(usage))
    seen = UsageSoFar("anthropic")
    first = borders.to_anthropic(usage) | {"output_tokens": 0, "output_tokens_details": None}
    seen.saw({"message": {"usage": first}})
    for part in sorted(parts):
        seen.saw({"usage": {"output_tokens": int(usage.output * part)}})
    seen.saw({"usage": borders.to_anthropic(usage)})
    assert seen.usage == plain
    places: list[tuple[Dialect, Any, Any]] = [
        ("openai-chat", borders.to_chat(usage), lambda said: {"usage": said}),
        ("openai-responses", borders.to_responses(usage), lambda u: {"response": {"usage": u}}),
        ("google", borders.to_gemini(usage), lambda said: {"usageMetadata": said}),
    ]
    for dialect, said, event in places:
        running = UsageSoFar(dialect)
        running.saw(event(None))
        running.saw("garbage")
        running.saw(event(said))
        assert running.usage == READERS[dialect](said)


@given(st.lists(usages, max_size=5))
def test_the_sum_of_steps_is_the_sum_of_tokens(steps: list[Usage]):
    total = sum(steps, Usage())
    assert total.tokens == sum(step.tokens for step in steps)
    assert vars_of(total) == {
        name: sum(getattr(step, name) for step in steps) for name in Usage.__dataclass_fields__
    }


@given(usages)
def test_atif_keeps_the_sums(usage: Usage):
    metrics = _metrics(Spend(usage=usage))
    writes = usage.cache_write_5m + usage.cache_write_1h
    assert metrics["prompt_tokens"] == usage.input + usage.cache_read + writes
    assert metrics["cached_tokens"] == usage.cache_read
    assert metrics["completion_tokens"] == usage.output + usage.reasoning
    assert metrics["extra"]["cache_write_tokens"] == writes
    assert metrics["extra"]["reasoning_tokens"] == usage.reasoning
