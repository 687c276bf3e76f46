"""Runs that sample: where they do, who wins, and what is left of the others."""

from collections.abc import Callable
from typing import Any

import pytest
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models.function import AgentInfo, FunctionModel

from mechagym.errors import ConfigError, SandboxError
from mechagym.events import ToolCalled
from mechagym.events.map import (
    MapCandidate,
    MapNoProgress,
    MapSampleComplete,
    MapSampleStart,
    MapVerifyComplete,
)
from mechagym.sandbox.base import Box
from mechagym.testing.checks import ShellChecks
from tests.actors import read
from tests.agents.map.play import Play, completes, model_of, play, text_of
from tests.agents.map.test_flow import BETTER, TEN, level

HINTS = ("precision", "balance", "recall")


def candidates_say(
    seen: Play, replies: list[Any], level_of: Callable[[int], int]
) -> Callable[[str, Any], FunctionModel]:
    """The trial's model says `replies`; a candidate (with a meter) brings its own level at once."""
    ours = model_of(replies, seen)

    def open_model(_role: str, meter: Any) -> FunctionModel:
        if meter is None:
            return ours
        turns = [0]

        def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            turns[0] += 1
            if turns[0] == 1:
                seen.asked.append(list(messages))
                seen.tools.append([tool.name for tool in info.function_tools])
            prompt = text_of(messages[0])
            (number,) = [n for n, hint in enumerate(HINTS, 1) if f"Your way: {hint}" in prompt]
            return level(level_of(number), number) if turns[0] == 1 else completes()

        return FunctionModel(answer, model_name="candidate")

    return open_model


@pytest.mark.must("map-17", "map-22")
async def test_at_a_stall_the_best_of_three_is_taken(quick_box: Box):
    box = quick_box
    seen = Play()
    replies: list[Any] = [level(3, 0)]
    replies += [level(3, salt) for salt in range(1, 11)]
    replies += [completes(), completes()]
    await play(
        box,
        replies,
        task=BETTER,
        checks=ShellChecks(lines=TEN),
        options={"decomposer": "off"},
        open_model=candidates_say(seen, replies, lambda number: (4, 10, 6)[number - 1]),
        seen=seen,
    )
    assert [n.rung for n in seen.of(MapNoProgress)] == [1, 2]
    (start,) = seen.of(MapSampleStart)
    assert (start.n, start.temperatures) == (3, (0.3, 0.5, 0.7))
    assert {c.index: c.passing for c in seen.of(MapCandidate)} == {0: 3, 1: 4, 2: 10, 3: 6}
    (done,) = seen.of(MapSampleComplete)
    assert (done.chosen, done.distinct) == (2, 3)
    assert await read(box, "/app/n") == "10\n"
    assert seen.ended.self_passed is True
    assert [v.passing for v in seen.of(MapVerifyComplete) if v.trigger == "candidate"] == [10]
    threads = {c.parent_call_id for c in seen.of(ToolCalled)}
    assert len(threads) == 4, "each candidate has a part of the trajectory of its own"
    ids = [c.call_id for c in seen.of(ToolCalled)]
    assert len(set(ids)) == len(ids)
    assert any("verify_progress" not in tools for tools in seen.tools)


async def test_where_none_is_better_what_is_there_stays(mini: Box):
    seen = Play()
    replies: list[Any] = [level(3, salt) for salt in range(11)]
    replies += [completes()] * 3
    await play(
        mini,
        replies,
        task=BETTER,
        checks=ShellChecks(lines=TEN),
        options={"decomposer": "off"},
        open_model=candidates_say(seen, replies, lambda number: 1),
        seen=seen,
    )
    (done,) = seen.of(MapSampleComplete)
    assert done.chosen == 0
    assert await read(mini, "/app/n") == "3\n"
    assert seen.ended.best_progress == 0.3


@pytest.mark.must("map-2")
@pytest.mark.parametrize(("switch", "samplings"), [("stall", 0), ("initial", 1), ("always", 2)])
async def test_the_switch_says_where_it_samples(mini: Box, switch: str, samplings: int):
    seen = Play()
    replies: list[Any] = [level(1), level(2), level(3), completes(), completes(), completes()]
    await play(
        mini,
        replies,
        task=f"{BETTER} Write it to `n`.",
        checks=ShellChecks(lines=TEN),
        options={"sampler": switch, "max_turns": "12", "sampler_n": "2"},
        open_model=candidates_say(seen, replies, lambda number: 3 + number),
        seen=seen,
    )
    assert len(seen.of(MapSampleStart)) == samplings
    assert all(start.n == 2 for start in seen.of(MapSampleStart))


async def test_sampling_from_the_start_needs_a_box_that_forks(mini: Box):
    class Unforkable:
        def __getattr__(self, name: str) -> Any:
            return getattr(mini, name)

        def fork(self) -> Any:
            raise SandboxError("it cannot fork")

    seen = Play()
    with pytest.raises(ConfigError, match="needs a box that can fork"):
        await play(Unforkable(), [], options={"sampler": "initial"}, seen=seen)
    assert seen.events == [], "before any call of a model"
    await play(mini, [completes()] * 3, options={"sampler": "initial"}, seen=seen)
