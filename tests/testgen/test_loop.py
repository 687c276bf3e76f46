"""Whole runs in a small machine without Python, with models of good and of bad days."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields, replace
from typing import Any, get_args

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechagym.budget import Budget, Meter
from mechagym.errors import BudgetExhausted, ConfigError, ModelError, SandboxError
from mechagym.events import (
    EventBody,
    TestgenComplete,
    TestgenError,
    TestgenMatrix,
    TestgenProgress,
    TestgenReflection,
    TestgenStart,
    TestgenSurvey,
    TestgenTest,
    body_from_json,
    body_to_json,
)
from mechagym.records import Spend, Usage
from mechagym.records.testgen import CATEGORIES, Category, Matrix, Standing, Tick
from mechagym.testgen.limits import categories_of, preset, quota, within
from mechagym.testgen.loop import Means, Order, generate
from mechagym.testgen.readiness import unready
from mechagym.testgen.running import laid, run_suite
from mechagym.testgen.types import GenerationInput, TestGenConfig, TestGenResult
from tests.actors import open_box
from tests.testgen.event_examples import TEST
from tests.testgen.writers import Said, category_of, opener

INSTRUCTION = """Write the sum of the numbers in /app/in.txt to /app/sum.txt.

- It must be exactly one line.
- Nothing else may be written to `/app/log.txt`.
"""
SPLIT = {
    "requirements": [
        {"id": "R1", "quote": "Write the sum of the numbers in /app/in.txt to /app/sum.txt."},
        {"id": "R2", "quote": "It must be exactly one line.", "kind": "output_format"},
        {"id": "R3", "quote": "Nothing else may be written to `/app/log.txt`.", "kind": "negative"},
    ],
    "entities": [{"id": "E1", "name": "sum.txt", "quote": "/app/sum.txt"}],
    "constraints": [{"id": "C1", "name": "one line", "quote": "exactly one line"}],
    "ticks": [{"entity_id": "E1", "constraint_id": "C1"}],
}
NUMBERS = b"1\n2\n3\n"
COUNTS = iter(range(1, 10_000))


def check(**changes: object) -> dict[str, object]:
    """A test that fails for want of the work, each time another one."""
    line = f'[ "$(head -c {next(COUNTS)} /app/sum.txt)" = 6 ] && [ -s /app/in.txt ]'
    told = {"title": "the sum is six", "code": line, "requirement_ids": ["R1"], "cells": ["E1xC1"]}
    return {**told, "expected_source": "computed", **changes}


@dataclass(slots=True)
class Day:
    """A model with replies by what is asked for; it remembers what it was asked."""

    replies: Mapping[str, object] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, asked: str, prompt: str) -> object:
        self.asked.append((asked, prompt))
        usual: Mapping[str, object] = {
            "Split": SPLIT,
            "MoreRequirements": {"requirements": []},
            "tests": lambda _: {"tests": [check(), check()]},
            "Reflection": {"gaps": []},
            "Assessment": {"comprehensiveness": 9.0},
        }
        reply = self.replies.get(asked, usual.get(asked))
        return reply(prompt) if callable(reply) else reply

    def prompts(self, asked: str) -> list[str]:
        return [prompt for name, prompt in self.asked if name == asked]


@asynccontextmanager
async def untouched():
    async with open_box("memory") as box:
        await box.put(NUMBERS, "/app/in.txt")
        yield box


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    result: TestGenResult
    events: list[EventBody]

    def of(self, kind: type) -> list[Any]:
        return [body for body in self.events if isinstance(body, kind)]


CORRECTNESS = Order(context="custom", categories=("correctness",))


async def run(
    said: Said,
    *,
    order: Order = CORRECTNESS,
    meter: Meter | None = None,
    **changes: Any,
) -> Ran:
    events: list[EventBody] = []
    given = GenerationInput(
        instruction=INSTRUCTION,
        config=changes.pop("config", TestGenConfig()),
        limits=replace(preset("map"), **changes),
    )
    async with untouched() as box:
        means = Means(open_writer=opener(said), meter=meter or Meter(), emit=events.append)
        result = await generate(given, box, means, order)
    return Ran(result=result, events=events)


async def test_a_good_day():
    day = Day()
    ran = await run(day)
    totals = ran.result.totals
    assert (totals.ready, totals.stopped_by, totals.unready) == (True, "target", ())
    assert ran.result.suite.runner == "sh"
    assert {test.status for test in ran.result.tests} == {"valid"}
    assert all(test.input_source == f"/app/in.txt@{SUM}" for test in ran.result.tests)
    assert totals.metrics.cell_coverage == 1
    assert "testgen_start" in [body.kind for body in ran.events[:2]]
    assert ran.events[-1].kind == "testgen_complete"
    lines = [body_to_json(body) for body in ran.events]
    assert [body_to_json(body_from_json(line)) for line in lines] == lines


SUM = hashlib.sha256(NUMBERS).hexdigest()[:8]


@pytest.mark.must("testgen-1")
async def test_a_prompt_holds_nothing_but_the_instruction_and_the_box():
    names = {one.name for one in fields(GenerationInput)}
    assert names == {
        "instruction",
        "survey",
        "input_facts",
        "config",
        "limits",
        "tests_so_far",
        "reflections",
    }
    canary = "planted-canary-77"
    day = Day()
    await run(day, order=replace(Order(run_id=f"tg-{canary}"), context="benchmark"))
    assert len(day.asked) > 5
    assert [name for name, prompt in day.asked if canary in prompt] == []


@pytest.mark.must("testgen-10")
async def test_every_reflection_is_part_of_every_later_prompt_of_tests():
    gaps = iter(f"gap number {n} is open" for n in range(100))
    day = Day(replies={"Reflection": lambda _: {"gaps": [next(gaps)]}})
    ran = await run(day, order=Order(context="interactive"), rounds=6)
    reflections = [body for body in ran.of(TestgenReflection) if body.purpose == "refining"]
    assert len(reflections) >= 2
    order = [name for name, _ in day.asked]
    written = 0
    for (name, prompt), _ in zip(day.asked, order, strict=True):
        if name == "tests":
            assert all(f"gap number {n} is open" in prompt for n in range(written))
        written += name == "Reflection"


@pytest.mark.must("testgen-10")
async def test_the_minimum_alone_never_completes_a_category():
    one = lambda _: {"tests": [check()]}  # noqa: E731
    never_content = Day(replies={"tests": one, "Reflection": {"gaps": ["zero is not tested"]}})
    ran = await run(never_content, rounds_per_category=3, config=TestGenConfig(max_rounds=3))
    assert ran.result.totals.rounds == 3
    content = Day(replies={"tests": one})
    ran = await run(content, rounds_per_category=3, tests_min=1)
    assert ran.result.totals.rounds == 1
    unreadable = Day(replies={"tests": one, "Reflection": "what?"})
    ran = await run(unreadable, rounds_per_category=3, config=TestGenConfig(max_rounds=3))
    assert ran.result.totals.rounds == 3


@pytest.mark.must("testgen-10")
async def test_a_refinement_goes_where_the_gaps_are():
    gap = {"category": "boundary", "text": "an empty file"}
    rated = iter([{"comprehensiveness": 4.0, "gaps": [gap]}, {"comprehensiveness": 9.0}])
    day = Day(replies={"Assessment": lambda _: next(rated)})
    ran = await run(day, order=Order(context="interactive"), refinements=2)
    assert ran.result.totals.refinements == 1
    last = day.prompts("tests")[-1]
    assert category_of(last) == "boundary"
    assert "Gaps to close:\n- an empty file" in last
    assert ran.result.totals.metrics.comprehensiveness == 9


@pytest.mark.must("testgen-14")
async def test_example_3_five_times_assert_true_is_five_rejections():
    stub = {"title": "t", "code": "true", "expected_source": "computed"}
    day = Day(replies={"tests": {"tests": [stub] * 5}})
    ran = await run(day, rounds_per_category=1)
    tests = [body.test for body in ran.of(TestgenTest)]
    assert {(t.status, t.reject_rule, t.label) for t in tests} == {("rejected", "V2", "Stub")}
    assert (ran.result.totals.ready, ran.result.totals.tests_valid) == (False, 0)
    assert ran.result.suite.tests == ()


async def test_a_reply_that_breaks_the_schema_gets_one_turn_and_then_the_round_is_empty():
    broken = Day(replies={"tests": '{"tests": [{"title": 3'})
    ran = await run(broken, rounds_per_category=2)
    assert ran.result.totals.rounds == 4  # two of the category, for cells, for inputs
    assert len(broken.prompts("tests")) == 8
    assert ran.result.tests == ()
    assert ran.result.totals.stopped_by == "complete"
    assert any("is empty" in note for note in ran.result.totals.notes)
    replies: list[object] = ["no JSON", {"tests": [check()]}]
    mended = Day(replies={"tests": lambda _: replies.pop(0) if replies else {"tests": []}})
    ran = await run(mended, rounds_per_category=1)
    assert ran.result.totals.tests_valid == 1
    as_text = Day(replies={"tests": lambda _: json.dumps({"tests": [check()]})})
    assert (await run(as_text, rounds_per_category=1)).result.totals.tests_valid == 1


async def test_an_instruction_that_is_not_split_leaves_the_suite_unready():
    ran = await run(Day(replies={"Split": "I would rather not."}))
    assert ran.result.totals.ready is False
    assert ran.result.totals.metrics.cell_coverage is None
    assert any("not split" in note for note in ran.result.totals.notes)
    assert any("no matrix" in reason for reason in ran.result.totals.unready)


@pytest.mark.must("testgen-3")
async def test_an_unreadable_rating_leaves_comprehensiveness_and_score_unknown():
    ran = await run(Day(replies={"Assessment": "Seven, I think."}))
    totals = ran.result.totals
    assert (totals.metrics.comprehensiveness, totals.score) == (None, None)
    assert totals.metrics.token_efficiency is None
    assert totals.ready


@pytest.mark.must("testgen-3")
async def test_example_2_without_a_survey_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch):
    async def broken(*_: object, **__: object) -> None:
        raise SandboxError("it could not be surveyed", reason="no_survey")

    monkeypatch.setattr("mechagym.testgen.loop.survey", broken)
    ran = await run(Day())
    (event,) = ran.of(TestgenSurvey)
    assert (event.survey, event.why_none) == (None, "it could not be surveyed")
    metrics = ran.result.totals.metrics
    assert (metrics.anti_cheat, metrics.parameter_discovery) == (None, None)
    assert ran.result.totals.score is None
    assert ran.result.totals.tests_valid > 0


@pytest.mark.must("testgen-8")
async def test_quotes_that_do_not_occur_are_dropped_and_sentences_listed_back_once():
    split = {
        **SPLIT,
        "requirements": [
            {"id": "R1", "quote": "Write  the sum of\nthe numbers in /app/in.txt"},
            {"id": "R2", "quote": "It must be exactly two lines."},
        ],
        "constraints": [{"id": "C1", "name": "x", "quote": "exactly two lines"}],
    }
    more = {"requirements": [{"id": "R1", "quote": "It must be exactly one line."}]}
    day = Day(replies={"Split": split, "MoreRequirements": more})
    ran = await run(day)
    (event,) = ran.of(TestgenMatrix)
    assert [(r.id, r.quote) for r in event.requirements] == [
        ("R1", "Write the sum of the numbers in /app/in.txt"),
        ("R2", "It must be exactly one line."),
    ]
    assert len(event.dropped) == 2
    assert event.matrix.ticks == ()
    (listed,) = day.prompts("MoreRequirements")
    assert "- It must be exactly one line." in listed
    assert "- Write the sum" not in listed
    assert event.uncovered == ("- Nothing else may be written to `/app/log.txt`.",)


@pytest.mark.must("testgen-9")
async def test_each_tick_has_a_valid_test_or_the_suite_is_not_ready():
    missing = Day(replies={"tests": lambda _: {"tests": [check(cells=[]), check(cells=[])]}})
    ran = await run(missing)
    assert ran.result.totals.unready == ("E1xC1 has no valid test",)
    assert ran.result.suite.ready is False
    cells = [
        prompt for prompt in missing.prompts("tests") if "Cells without a valid test" in prompt
    ]
    assert len(cells) == ran.result.totals.rounds
    advisory = Day(
        replies={"tests": lambda _: {"tests": [check(expected_source="assumed"), check(cells=[])]}}
    )
    assert (await run(advisory)).result.totals.ready is False


@pytest.mark.must("testgen-9")
async def test_example_4_a_rule_for_two_things_is_ticked_and_tested_on_both():
    text = "Clean users.csv and orders.csv into /app/out. No field may be empty."
    things = ("users.csv", "orders.csv")
    split = {
        "requirements": [{"id": "R1", "quote": text}],
        "entities": [{"id": f"E{n}", "name": name, "quote": name} for n, name in enumerate(things)],
        "constraints": [{"id": "C1", "name": "full", "quote": "No field may be empty."}],
        "ticks": [
            {"entity_id": "E0", "constraint_id": "C1"},
            {"entity_id": "E1", "constraint_id": "C1"},
        ],
    }
    lines = {name: f"[ -s /app/out/{name} ] && ! grep -q ',,' /app/out/{name}" for name in things}
    tests = [check(code=lines[name], cells=[f"E{n}xC1"]) for n, name in enumerate(things)]
    given = GenerationInput(instruction=text, config=TestGenConfig(), limits=preset("map"))
    day = Day(replies={"Split": split, "tests": {"tests": tests}})
    async with open_box("memory") as box:
        means = Means(open_writer=opener(day), meter=Meter(), emit=lambda _: None)
        result = await generate(given, box, means, CORRECTNESS)
        await box.put(b"1,a\n", "/app/out/users.csv")
        await box.put(b"1,,7\n", "/app/out/orders.csv")
        async with laid(box, "/tmp/suite", result.suite):
            report = await run_suite(result.suite, box, "/tmp/suite", total_s=20)
    assert result.totals.metrics.cell_coverage == 1
    assert [case.status for case in report.tests] == ["passed", "failed"]


@pytest.mark.must("testgen-7")
async def test_inputs_that_no_test_reads_block_ready_after_one_more_round():
    def blind(prompt: str) -> dict[str, object]:
        line = f'[ "$(head -c {next(COUNTS)} /app/sum.txt)" = 6 ] && : mktemp'
        return {"tests": [check(code=line), check(code=line.replace("= 6", "= 7"))]}

    day = Day(replies={"tests": blind})
    ran = await run(day)
    assert {test.input_source for test in ran.result.tests} == {"synthetic"}
    assert any(reason.startswith("inputs_unused") for reason in ran.result.totals.unready)
    asked = ["must read one of the given input files" in p for p in day.prompts("tests")]
    assert asked.count(True) == 1
    assert asked[-1]


async def test_a_test_that_passes_before_any_work_is_rejected_and_told_back():
    always = check(code="[ -s /app/in.txt ]", title="the input is there")
    guard = {
        **always,
        "role": "guard",
        "guard_reason": "it must stay",
        "code": "[ -f /app/in.txt ]",
    }
    replies = [{"tests": [always, check()]}, {"tests": [guard, check()]}]
    last = lambda _: replies.pop(0) if replies else {"tests": [check(), check()]}  # noqa: E731
    day = Day(replies={"tests": last, "Reflection": {"gaps": ["more"]}})
    ran = await run(day, category_target=5, rounds_per_category=3)
    first, *_ = ran.result.tests
    assert (first.status, first.reject_rule) == ("rejected", "V6")
    assert "T001 the input is there (V6): it passes before any work" in day.prompts("tests")[1]
    guards = [test for test in ran.result.tests if test.role == "guard"]
    assert [test.status for test in guards] == ["valid"]


@pytest.mark.must("testgen-14")
async def test_a_program_that_is_missing_is_the_works_or_the_tests_own_fault():
    codes = ["/app/sum.txt && [ 1 = 1 ]", "no_such_tool /app/sum.txt", "if then"]
    day = Day(replies={"tests": {"tests": [check(code=code) for code in codes]}})
    ran = await run(day, rounds_per_category=1)
    found = [(test.status, test.reject_rule) for test in ran.result.tests[:3]]
    assert found == [("valid", None), ("rejected", "V7"), ("rejected", "V7")]


async def test_guards_are_at_most_a_fifth():
    def guards(_: str) -> dict[str, object]:
        code = f"[ -f /app/in.txt ] && [ {next(COUNTS)} -gt 0 ]"
        return {"tests": [check(role="guard", guard_reason="stays", code=code), check()]}

    day = Day(replies={"tests": guards, "Reflection": {"gaps": ["more"]}})
    ran = await run(day, category_target=5, rounds_per_category=3)
    valid = [test for test in ran.result.tests if test.status == "valid"]
    assert sum(test.role == "guard" for test in valid) <= len(valid) / 5
    assert any(test.reject_reason.startswith("guards are") for test in ran.result.tests)


@pytest.mark.must("testgen-11")
@pytest.mark.parametrize(
    ("limits", "stopped_by"),
    [
        ({"tests_max": 2, "tests_min": 1}, "tests"),
        ({"rounds": 5, "rounds_per_category": 1}, "rounds"),
    ],
)
async def test_limits_of_tests_and_rounds(limits: dict[str, Any], stopped_by: str):
    lazy: Mapping[str, object] = {"tests": {"tests": []}}
    day = Day(replies=lazy if stopped_by == "rounds" else {})
    ran = await run(day, order=Order(context="benchmark"), **limits)
    totals = ran.result.totals
    assert totals.stopped_by == stopped_by
    assert totals.rounds <= limits.get("rounds", 8)
    assert totals.tests_valid <= limits.get("tests_max", 20)


@pytest.mark.must("testgen-11")
async def test_no_reply_brings_more_tests_than_were_asked_for():
    day = Day(replies={"tests": lambda _: {"tests": [check() for _ in range(30)]}})
    ran = await run(day, rounds_per_category=1)
    assert len(ran.result.tests) == 3


@pytest.mark.must("testgen-11")
@pytest.mark.parametrize("name", ["tokens", "usd", "seconds"])
async def test_out_of_money_in_the_middle_keeps_what_is_valid(name: str):
    spent = 0

    def pay(prompt: str) -> dict[str, object]:
        nonlocal spent
        spent += 1
        if spent == 2:
            raise BudgetExhausted("budget: over", reason=f"budget_{name}")
        return {"tests": [check(), check()]}

    ran = await run(Day(replies={"tests": pay}), order=Order(context="interactive"))
    totals = ran.result.totals
    assert (totals.stopped_by, totals.tests_valid, totals.ready) == (name, 2, False)
    (complete,) = ran.of(TestgenComplete)
    assert complete.status == "limited"
    assert [body.error for body in ran.of(TestgenError)] == ["BudgetExhausted"]


@pytest.mark.must("testgen-11")
async def test_tokens_and_seconds_are_those_of_the_meter():
    clock = [0.0]
    meter = Meter(budget=Budget(), clock=lambda: clock[0])

    def late(_: str) -> dict[str, object]:
        clock[0] += 100
        return {"tests": [check(), check()]}

    ran = await run(Day(replies={"tests": late}), meter=meter, order=Order(context="benchmark"))
    assert (ran.result.totals.stopped_by, ran.result.totals.rounds) == ("seconds", 2)
    assert ran.result.totals.duration_s == 200
    assert ran.result.totals.tests_valid == 4


@pytest.mark.must("testgen-11")
async def test_most_of_a_limit_is_noted_once():
    clock = [0.0]

    def late(_: str) -> dict[str, object]:
        clock[0] += 50
        return {"tests": [check(), check()]}

    ran = await run(
        Day(replies={"tests": late}),
        meter=Meter(clock=lambda: clock[0]),
        order=Order(context="benchmark"),
    )
    notes = [body.note for body in ran.of(TestgenProgress) if body.note]
    assert notes == ["80% of the limit of seconds is used"]


async def test_a_model_that_fails_for_good_ends_the_run_with_what_is_valid():
    def gone(prompt: str) -> dict[str, object]:
        if category_of(prompt) == "boundary":
            raise ModelError("nobody answers", reason="server")
        return {"tests": [check(), check()]}

    ran = await run(Day(replies={"tests": gone}), order=Order(context="interactive"))
    assert ran.result.totals.stopped_by == "model_error"
    assert ran.of(TestgenComplete)[0].status == "failed"
    assert ran.result.totals.tests_valid == 4
    assert len(ran.result.suite.tests) == 4


async def test_a_model_that_hangs_is_not_waited_for():
    events: list[EventBody] = []

    def open_slow(_role: str, _meter: Meter):
        from pydantic_ai.models.function import FunctionModel

        async def answer(_messages: object, _info: object):
            await anyio.sleep_forever()

        return FunctionModel(answer, model_name="slow")

    given = GenerationInput(
        instruction=INSTRUCTION,
        config=TestGenConfig(),
        limits=within(preset("map"), seconds=0.3, suite_timeout_s=1),
    )
    async with untouched() as box:
        means = Means(open_writer=open_slow, meter=Meter(), emit=events.append)
        result = await generate(given, box, means, Order())
    assert (result.totals.stopped_by, result.tests) == ("seconds", ())


async def test_a_cancelled_run_says_so_and_is_cancelled():
    events: list[EventBody] = []

    def stop(_: str) -> dict[str, object]:
        scope.cancel()
        return {"tests": [check(), check()]}

    with anyio.CancelScope() as scope:
        async with untouched() as box:
            given = GenerationInput(
                instruction=INSTRUCTION, config=TestGenConfig(), limits=preset("map")
            )
            opened = opener(Day(replies={"tests": stop}))
            means = Means(open_writer=opened, meter=Meter(), emit=events.append)
            await generate(given, box, means, Order())
    assert scope.cancelled_caught
    last = events[-1]
    assert isinstance(last, TestgenComplete)
    assert (last.status, last.totals.stopped_by) == ("limited", "cancelled")


@pytest.mark.must("testgen-11")
def test_the_smaller_of_config_and_limit_holds():
    config = TestGenConfig(min_tests=2, max_tests=4, max_rounds=1)
    held = quota(config, preset("full"), CATEGORIES)
    assert (held.category_min, held.category_target, held.rounds_per_category) == (2, 4, 1)
    held = quota(TestGenConfig(), preset("map"), CATEGORIES)
    assert (held.category_min, held.category_target, held.rounds_per_category) == (1, 3, 2)
    assert held.budget == Budget(tokens=30_000, seconds=120.0, usd=0.15)


def test_contexts_and_presets():
    config = TestGenConfig()
    assert categories_of("benchmark", config) == CATEGORIES
    assert categories_of("interactive", config) == ("existence", "correctness", "boundary")
    assert categories_of("build", config) == ("correctness", "boundary")
    assert categories_of("custom", config) == ("correctness",)
    backwards = replace(config, category_order=CATEGORIES[::-1])
    wanted: tuple[Category, ...] = ("existence", "integration")
    assert categories_of("custom", backwards, wanted) == ("integration", "existence")
    with pytest.raises(ConfigError, match="no context"):
        categories_of("other", config)
    with pytest.raises(ConfigError, match="no category"):
        categories_of("custom", config, ("speed",))
    with pytest.raises(ConfigError, match="no preset"):
        preset("huge")
    with pytest.raises(ConfigError, match="rounds are too few"):
        quota(config, replace(preset("map"), rounds=4), CATEGORIES)


async def test_a_second_opinion_makes_a_test_advisory():
    def told(_: str) -> dict[str, object]:
        return {"tests": [check(expected_output="6"), check(expected_output="7")]}

    day = Day(replies={"tests": told, "Expected": {"value": " 6 "}})
    config = TestGenConfig(cross_check=True)
    ran = await run(day, config=config, rounds_per_category=1)
    assert [test.status for test in ran.result.tests[:2]] == ["valid", "advisory"]
    assert all("head -c" not in prompt for prompt in day.prompts("Expected"))


@pytest.mark.must("testgen-9")
@given(
    st.sets(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1),
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4), st.sampled_from(get_args(Standing)))),
)
def test_ready_means_a_valid_test_for_every_tick(
    ticks: set[tuple[int, int]], tests: list[tuple[int, int, Standing]]
):
    matrix = Matrix(
        ticks=tuple(Tick(entity_id=f"E{e}", constraint_id=f"C{c}") for e, c in sorted(ticks))
    )
    made = [
        replace(TEST, category="correctness", cells=(f"E{e}xC{c}",), status=status)
        for e, c, status in tests
    ]
    held = replace(quota(TestGenConfig(), preset("map"), ("correctness",)), category_min=0)
    reasons = unready(made, matrix, (), quota=held)
    shown = {(e, c) for e, c, status in tests if status == "valid"}
    assert (reasons == ()) == (ticks <= shown)
    assert len(reasons) == len(ticks - shown)


async def test_what_a_start_tells():
    ran = await run(Day())
    (start,) = ran.of(TestgenStart)
    assert (start.context, start.categories, start.models) == (
        "custom",
        ("correctness",),
        ("writer",),
    )
    assert start.limits["tokens"] == 30_000
    assert start.task_id is None
    assert ran.result.totals.notes == ("writer both writes the tests and judges them",)
    assert Spend(usage=Usage()) == ran.result.totals.spend
