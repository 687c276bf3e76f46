"""Whole runs of the planner by given replies: what it is asked, decides, tells and leaves."""

import re
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from pydantic_ai.messages import ModelMessage, ModelResponse

from mechagym.agents.map import heartbeat
from mechagym.agents.map.switches import SWITCHES
from mechagym.budget import Budget, Meter
from mechagym.errors import AgentError, BoxDied, BudgetExhausted, ConfigError, ModelError
from mechagym.events import ToolCalled, ToolReturned
from mechagym.events.map import (
    MapActionResult,
    MapChecksReady,
    MapCompletionCheck,
    MapDecision,
    MapError,
    MapHeartbeat,
    MapMonitor,
    MapNoProgress,
    MapPlan,
    MapRunComplete,
    MapSnapshot,
    MapSubtaskChange,
    MapTripwire,
    MapVerifyComplete,
)
from mechagym.records import Spend
from mechagym.sandbox.base import Box
from mechagym.testing.checks import ShellChecks
from tests.actors import read
from tests.agents.map.play import TASK, Play, call, completes, play, runs, says, writes

BETTER = "Make it better."
OUT = {"out": "grep -q done /app/out.txt"}
TEN = {f"t{n}": f"[ $(cat /app/n 2>/dev/null || echo 0) -ge {n} ]" for n in range(1, 11)}
QUIET = {"sampler": "off"}


def level(n: int, salt: int = 0) -> ModelResponse:
    """Work that brings n of the ten checks to pass; `salt` makes it another change."""
    return runs(f"echo {n} > /app/n; echo {salt} > /app/salt")


@pytest.mark.must("map-7", "map-18")
async def test_the_right_file_and_a_confirmed_end(mini: Box):
    """Example 1: one evaluation, one checklist, two turns."""
    checks = ShellChecks(lines=OUT)
    seen = await play(mini, [writes(), completes()], checks=checks)
    ended = seen.ended
    assert (ended.stop_reason, ended.self_passed, ended.turns) == ("completed", True, 2)
    assert checks.runs == 1
    assert [c.accepted for c in seen.of(MapCompletionCheck)] == [False, True]
    assert seen.told(2).count(TASK) == 1
    assert "three seats" in seen.told(2)
    assert await read(mini, "/app/out.txt") == "done\n"


async def test_a_model_that_never_verifies_still_advances(mini: Box):
    checks = ShellChecks(lines=TEN)
    replies = [level(n) for n in (1, 5, 10)]
    seen = await play(mini, [*replies, completes()], task=BETTER, checks=checks, options=QUIET)
    assert [(c.subtask, c.status) for c in seen.of(MapSubtaskChange)] == [
        ("understand-requirements", "completed"),
        ("write-initial-solution", "in_progress"),
        ("write-initial-solution", "completed"),
        ("test-and-iterate", "in_progress"),
    ]
    assert [d.decision for d in seen.of(MapDecision)] == [
        *("advance", "advance", "complete", "complete")
    ]
    assert seen.ended.self_passed is True


@pytest.mark.must("map-17")
async def test_no_progress_is_acted_on_and_ends_with_the_best_state(mini: Box):
    """Example 2: think anew, the best put back, stop; in the box is 3/10 and not the later 1/10."""
    checks = ShellChecks(lines=TEN)
    replies: list[Any] = [level(3, 0)]
    replies += [level(3, salt) for salt in range(1, 6)]
    replies += [level(2, salt) for salt in range(6, 11)]
    replies += [level(1, salt) for salt in range(11, 16)]
    seen = await play(mini, replies, checks=checks, options=QUIET | {"decomposer": "off"})
    assert [(n.rung, n.done) for n in seen.of(MapNoProgress)] == [
        (1, "the model is asked to think anew"),
        (2, "the best state was put back"),
        (3, "the run stops, the best state is in the box"),
    ]
    assert (seen.ended.stop_reason, seen.ended.self_passed) == ("stalled", False)
    assert (seen.ended.best_progress, seen.ended.progress) == (0.3, 0.3)
    assert await read(mini, "/app/n") == "3\n"
    assert await read(mini, "/app/salt") == "0\n"
    assert "different in kind" in seen.told(7)
    assert "echo 3 > /app/n" in seen.told(7), "it is told what was tried"
    assert "t4" in seen.told(7), "and what still fails"
    assert seen.temperatures[5:8] == pytest.approx([0.3, 0.5, 0.3])
    assert "put back" in seen.told(12)


async def test_a_new_best_returns_to_the_lowest_rung(mini: Box):
    replies: list[Any] = [level(3, salt) for salt in range(6)]
    replies += [level(4, salt) for salt in range(6)]
    seen = await play(
        mini,
        [*replies, level(10), completes()],
        checks=ShellChecks(lines=TEN),
        options=QUIET | {"decomposer": "off"},
    )
    assert [n.rung for n in seen.of(MapNoProgress)] == [1, 1]


@pytest.mark.must("map-6", "map-7")
async def test_the_first_prompt_has_the_task_word_for_word_and_the_machine(mini: Box):
    await mini.put(b"a,b\n1,2\n", "/app/in.csv")
    task = "Sum `in.csv` {x} $(y)\n\n  and write the sum to /app/sum.txt. Öß"
    order: list[str] = []
    seen = Play()

    def first(messages: list[ModelMessage]) -> ModelResponse:
        order.extend(type(event).__name__ for event in seen.events)
        return completes()

    options = {"hint": "keep calm", "use_skills": "on", "skills": "count twice", "sampler": "off"}
    await play(mini, [first, completes(), completes()], task=task, options=options, seen=seen)
    assert order.index("MapStart") < order.index("MapSnapshot") < order.index("MapPlan")
    (snapshot,) = seen.of(MapSnapshot)
    assert 0 < len(snapshot.text) <= 6_000
    assert snapshot.duration_s < 10
    prompt = seen.prompt(1)
    places = [
        prompt.index(part)
        for part in (
            *("Nobody answers questions", "keep calm", "count twice", task),
            *("Working directory: /app", "a,b\n1,2", "# The plan", "You begin with"),
        )
    ]
    assert places == sorted(places), "stable parts come first"


@pytest.mark.must("map-7")
async def test_the_handover_carries_the_changed_files_with_honest_cuts(mini: Box):
    text = "".join(f"{n:07}\n" for n in range(1_250))
    seen = await play(
        mini, [writes("big.txt", text), completes(), completes()], task=BETTER, options=QUIET
    )
    told = seen.told(2)
    assert "Next part of the work: write initial solution" in told
    assert "--- /app/big.txt\n0000000\n" in told
    assert "[cut here: the file has 10000 characters]" in told
    assert "0000999" in told
    assert "0001001" not in told


async def test_a_task_too_long_for_a_prompt_is_cut_and_kept_in_the_box(mini: Box):
    task = "Do this.\n" + "x" * 40_000 + "END"
    found: list[str] = []

    def reads(messages: list[ModelMessage]) -> ModelResponse:
        path = str(messages[0].parts[1].content).split("all of it is in ")[1].split(";")[0]  # type: ignore[union-attr]
        found.append(path)
        return runs(f"tail -c 4 {path}")

    seen = await play(mini, [reads, completes()], task=task, options={"switches": "off"})
    assert f"the task has {len(task)} characters" in seen.prompt(1)
    assert "xEND" in seen.of(ToolReturned)[0].output


@pytest.mark.must("map-2")
async def test_all_off_is_a_plain_loop_of_tool_calls(mini: Box):
    replies = [writes(), runs("rm -rf /app/*"), completes(confirm=False)]
    checks = ShellChecks(lines=OUT)
    seen = await play(mini, replies, checks=checks, options={"switches": "off"})
    assert (seen.ended.stop_reason, seen.ended.self_passed, seen.ended.turns) == (
        *("completed", None, 3),
    )
    assert checks.runs == 0
    assert not seen.of(MapSnapshot)
    assert not [m for m in seen.of(MapMonitor) if not m.allowed]
    assert len(seen.asked[0]) == 1
    assert "plan" not in seen.told(1).casefold()
    assert seen.of(MapPlan)[0].plan.source == "off"
    assert [len(messages) for messages in seen.asked] == [1, 3, 5]
    assert "[turn" not in seen.told(2), "no status line"


async def test_tripwires_stay_when_the_monitor_is_off(mini: Box):
    seen = await play(mini, [runs("cat /tests/test.sh"), completes()], options={"switches": "off"})
    assert [(t.path, t.action) for t in seen.of(MapTripwire)] == [("/tests/test.sh", "run_command")]
    assert "out of your reach" in seen.of(ToolReturned)[0].output
    assert not seen.of(MapActionResult)


SWITCHED: dict[str, tuple[str, Callable[[Play], object]]] = {
    "decomposer": ("off", lambda seen: seen.of(MapPlan)[0].plan.source),
    "monitor": ("off", lambda seen: [m.allowed for m in seen.of(MapMonitor)]),
    "evaluator": ("off", lambda seen: len(seen.of(MapVerifyComplete))),
    "snapshot": ("off", lambda seen: len(seen.of(MapSnapshot))),
    "handover": ("off", lambda seen: "--- /app/out.txt" in seen.told(2)),
    "forced_verification": ("off", lambda seen: len(seen.of(MapCompletionCheck))),
    "deadline_notes": ("off", lambda seen: "[turn 1/30" in seen.told(2)),
}


@pytest.mark.must("map-2")
@pytest.mark.parametrize("switch", SWITCHED)
async def test_each_switch_changes_what_happens(mini: Box, switch: str):
    """`compaction` and `sampler` have tests of their own."""
    assert SWITCHES.keys() - SWITCHED.keys() == {"compaction", "sampler"}
    choice, look = SWITCHED[switch]
    replies = [writes(content="not yet\n"), runs("rm -rf /etc"), completes(), writes()]
    seen = []
    for options in ({}, {switch: choice}):
        await mini.exec(["sh", "-c", "rm -f /app/*; mkdir -p /etc"])
        rest = [completes()] * 4
        seen.append(
            await play(
                mini, [*replies, *rest], checks=ShellChecks(lines=OUT), options=QUIET | options
            )
        )
    assert look(seen[0]) != look(seen[1])


@pytest.mark.must("map-2")
async def test_every_field_of_the_config_acts(mini: Box):
    async def seen_with(**options: str) -> Play:
        await mini.exec(["sh", "-c", "rm -f /app/*"])
        replies: list[Any] = [level(3, salt) for salt in range(4)]
        return await play(
            mini,
            [*replies, *[completes()] * 6],
            checks=ShellChecks(lines=TEN),
            options={"sampler": "off", "decomposer": "off"} | options,
        )

    usual = await seen_with()
    assert (await seen_with(max_turns="2")).ended.turns == 2
    assert set((await seen_with(temperature="0.9")).temperatures) == {0.9}
    flat = (await seen_with(flat_limit="2")).of(MapNoProgress)
    assert (len(flat), len(usual.of(MapNoProgress))) == (1, 0)
    for name, text in {
        "hint": "a hint of mine",
        "system_prompt": "you are a teapot",
        "rethink_prompt": "think of tea",
        "completion_checklist": "is it tea?",
    }.items():
        mine = await seen_with(**{name: text, "flat_limit": "2"})
        there = text in "\n".join(mine.prompt(turn + 1) for turn in range(len(mine.asked)))
        assert there or name == "completion_checklist"
    skills = await seen_with(use_skills="on", skills="tea first")
    assert "tea first" in skills.prompt(1)
    assert "tea first" not in (await seen_with(skills="tea first")).prompt(1)


async def test_a_checklist_of_ones_own_is_shown(mini: Box):
    options = QUIET | {"completion_checklist": "Is it tea?"}
    seen = await play(mini, [writes(), completes()], checks=ShellChecks(lines=OUT), options=options)
    assert f"{TASK}\n\nIs it tea?" in seen.told(2)


async def test_the_fields_for_checks_reach_their_maker(mini: Box):
    asked: list[Any] = []

    class Noting(ShellChecks):
        async def prepare(self, request: Any) -> Any:
            asked.append(request)
            return await ShellChecks.prepare(self, request)

    options = QUIET | {"suite_timeout_s": "7", "testgen": "abc"}
    meter = Meter(budget=Budget(usd=2.0))
    await play(
        mini,
        [writes(), completes()],
        checks=Noting(lines=OUT),
        options=options,
        meter=meter,
        seconds_left=985.0,
    )
    (request,) = asked
    assert (request.suite_timeout_s, request.config_digest) == (7.0, "abc")
    assert request.meter.budget.usd == pytest.approx(0.5)
    assert request.timeout_s == pytest.approx(197.0)
    assert request.meter.parent is meter


@pytest.mark.must("map-21")
async def test_checks_that_spend_their_share_do_not_end_the_trial(mini: Box):
    class Spendthrift(ShellChecks):
        async def prepare(self, request: Any) -> Any:
            while True:
                hold = request.meter.reserve(Spend(billed_nano=100_000_000))
                request.meter.settle(hold, hold.want)

    meter = Meter(budget=Budget(usd=2.0))
    seen = await play(
        mini, [writes(), completes(), completes()], checks=Spendthrift(lines=OUT), meter=meter
    )
    assert meter.used("usd") == pytest.approx(0.5)
    (ready,) = seen.of(MapChecksReady)
    assert "usd limit" in ready.problem
    assert (seen.ended.stop_reason, seen.ended.self_passed) == ("completed", None)


@pytest.mark.must("map-25")
async def test_nothing_of_ours_is_left_in_the_box(box: Box):
    async def tree() -> str:
        script = "cd /; find app tmp root -exec stat -c '%n %a %s' {} + | sort"
        return (await box.exec(["sh", "-c", script])).text

    before = await tree()
    await play(box, [writes(), runs("seq 1 9999 || yes | head -n 40000"), completes(), completes()])
    plain = await tree()
    await box.exec(["rm", "/app/out.txt"])
    assert await tree() == before
    checks = ShellChecks(lines=OUT)
    await play(
        box,
        [writes(), runs("seq 1 9999 || yes | head -n 40000"), completes(), completes()],
        checks=checks,
    )
    assert checks.runs >= 1
    assert checks.removed == 1
    assert await tree() == plain


@pytest.mark.must("map-20")
async def test_a_short_trial_is_told_the_time_and_ends_before_it(mini: Box):
    """Example 6, shortened: at its half nothing new begins, and it returns before the deadline."""
    replies = [runs("sleep 60", timeout_s=100), completes(), completes()]
    with anyio.fail_after(20):
        seen = await play(mini, replies, seconds_left=9.5)
    assert seen.ended.stop_reason in ("deadline", "completed")
    assert seen.ended.duration_s < 9.5


@pytest.mark.must("map-20")
async def test_time_and_money_are_told_each_turn(mini: Box):
    meter = Meter(budget=Budget(usd=1.0))

    def pays(messages: list[ModelMessage]) -> ModelResponse:
        meter.settle(meter.reserve(Spend(billed_nano=800_000_000)), Spend(billed_nano=800_000_000))
        return runs("true")

    seen = await play(
        mini,
        [runs("true"), pays, completes(), completes()],
        task=BETTER,
        meter=meter,
        seconds_left=1_000.0,
        options=QUIET,
    )
    assert "[turn 1/30 · part: understand requirements (turn 1/3)" in seen.told(2)
    assert re.search(r"seconds left: (9\d\d|1000) ", seen.told(2))
    assert "usd left: 1.00" in seen.told(2)
    assert "usd left: 0.20" in seen.told(3)
    assert "save a working version now" in seen.told(3)
    assert "save a working version now" not in seen.told(2)


async def test_in_the_last_stretch_nothing_new_begins(mini: Box):
    seen = await play(mini, [writes(), completes(), completes()], seconds_left=30.0, options=QUIET)
    assert not seen.of(MapSubtaskChange)
    assert "Begin nothing new" in seen.told(2)


@pytest.mark.parametrize("silent", ["", "I am thinking about it."])
async def test_a_reply_without_a_call_is_reminded_once_and_then_taken_for_the_end(
    mini: Box, silent: str
):
    replies = [writes(), says(silent or "…"), says("It is done now.")]
    seen = await play(mini, replies, options={"switches": "off"})
    assert "had no tool call" in seen.told(3)
    assert (seen.ended.stop_reason, seen.ended.summary) == ("completed", "It is done now.")


async def test_broken_calls_are_answered_and_five_replies_of_them_end_it(mini: Box):
    bad = says(call("write_file", path="a"))
    replies = [bad, runs("true"), *[bad] * 5]
    seen = await play(mini, replies, options={"switches": "off"})
    assert (seen.ended.stop_reason, seen.ended.turns) == ("model_error", 7)
    assert "content: Field required" in seen.of(ToolReturned)[0].output
    assert len(seen.of(ToolCalled)) == 7


async def test_a_provider_that_fails_for_good_ends_it_and_leaves_the_work(mini: Box):
    def fails(messages: list[ModelMessage]) -> ModelResponse:
        raise ModelError("the provider is gone", reason="server")

    seen = Play()
    with pytest.raises(ModelError):
        await play(mini, [writes(), fails], seen=seen)
    assert (seen.ended.stop_reason, seen.ended.turns) == ("model_error", 2)
    assert "gone" in seen.ended.error
    assert await read(mini, "/app/out.txt") == "done\n"
    assert not (await mini.exec(["sh", "-c", "ls -d /tmp/.map-*"])).ok


async def test_money_that_ends_is_a_result(mini: Box):
    def refused(messages: list[ModelMessage]) -> ModelResponse:
        raise BudgetExhausted("no money", reason="budget_usd")

    seen = await play(mini, [writes(), refused])
    assert seen.ended.stop_reason == "budget"


async def test_a_dead_box_is_the_sandbox_s_fault(mini: Box):
    def dies(messages: list[ModelMessage]) -> ModelResponse:
        mini.die()  # type: ignore[attr-defined]
        return runs("true")

    seen = Play()
    with pytest.raises(BoxDied):
        await play(mini, [dies], seen=seen)
    assert seen.of(MapRunComplete)


async def test_a_bug_names_its_module(mini: Box):
    def breaks(messages: list[ModelMessage]) -> ModelResponse:
        raise ZeroDivisionError

    seen = Play()
    with pytest.raises(AgentError, match=r"agents\.map\.actor: ZeroDivisionError"):
        await play(mini, [breaks], seen=seen)
    assert [e.recoverable for e in seen.of(MapError)] == [False]


async def test_a_stop_ends_a_running_command_and_tells(mini: Box):
    seen = Play()
    with anyio.move_on_after(1) as scope, anyio.fail_after(15):
        await play(mini, [runs("sleep 600")], seen=seen)
    assert scope.cancelled_caught
    assert seen.ended.stop_reason == "cancelled"


async def test_without_a_model_nothing_begins(mini: Box):
    with pytest.raises(ConfigError, match="model"):
        await play(mini, [], open_model=None)


async def test_it_lives_also_in_a_long_command(mini: Box, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(heartbeat, "EVERY_S", 0.05)
    seen = await play(mini, [runs("sleep 0.3"), completes()], options={"switches": "off"})
    beats = seen.of(MapHeartbeat)
    assert 1 in [beat.turn for beat in beats]
    assert beats[-1].elapsed_s > 0


async def test_false_self_passes_can_be_counted():
    from mechagym.agents.map.result import agent_result, is_false_self_pass, read_result
    from mechagym.records import Outcome, TryRecord, Verdict, now
    from tests.agents.map.event_examples import RESULT

    for self_passed, reward, false in ((True, 0.0, True), (True, 1.0, False), (False, 0.0, False)):
        from dataclasses import replace

        result = agent_result(replace(RESULT, self_passed=self_passed))
        record = TryRecord(
            number=1,
            outcome=Outcome.FAILED,
            started_at=now(),
            ended_at=now(),
            verdict=Verdict(rewards={"reward": reward}),
            agent_metadata=dict(result.metadata),
        )
        assert is_false_self_pass(record) is false
        kept = read_result(record)
        assert kept is not None
        assert kept.self_passed is self_passed
        assert "pass" not in (result.claim or "").replace("self-pass", "")
