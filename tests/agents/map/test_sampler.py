"""Candidates in forks: apart from each other, told apart, chosen by rule, brought in whole."""

import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
import pytest

from mechagym.agents.map.base import SampleRequest
from mechagym.agents.map.evaluator import GeneratedEvaluator, look_at_untouched
from mechagym.agents.map.sampler import ForkSampler
from mechagym.agents.map.sampler.selection import Standing, choose
from mechagym.agents.map.sampler.tree import changes_in, digest_of, entries_of, list_files
from mechagym.agents.map.types import (
    CandidateBrief,
    CheckFailure,
    EpisodeEnd,
    EvaluatorResult,
    SampleOutcome,
)
from mechagym.budget import Budget, Meter
from mechagym.errors import BoxDied, BudgetExhausted, ModelError
from mechagym.events import EventBody
from mechagym.events.map import MapCandidate, MapSampleComplete, MapSampleStart
from mechagym.records import Spend
from mechagym.sandbox.base import Box, ExecOptions, ReapScope
from mechagym.sandbox.local import LocalSandbox
from tests.agents.map.checks import FileChecks
from tests.agents.map.parts import STATE, open_python_box, sh, surroundings
from tests.sandbox.local_parts import folders, needs_parts

ROOT = Path(__file__).parents[3]
CENT = Spend(billed_nano=10_000_000)
GOALS = {f"line_{n}": f"grep -q {n} out.txt" for n in (1, 2, 3)}


@dataclass
class Plays:
    """An episode: each candidate runs a script of its own, by its index; `told` what it was told.

    A script may be a list: the second one is for a second try.
    """

    scripts: Mapping[int, str | list[str]]
    costs: Mapping[int, Spend] = field(default_factory=dict)
    briefs: list[CandidateBrief] = field(default_factory=list)
    forks: list[Box] = field(default_factory=list)
    before: Callable[[CandidateBrief], None] = lambda _: None

    async def play(self, box: Box, brief: CandidateBrief, meter: Meter) -> EpisodeEnd:
        tries = self.scripts[brief.index]
        seen = sum(b.index == brief.index for b in self.briefs)
        script = tries if isinstance(tries, str) else tries[seen]
        self.briefs.append(brief)
        self.forks.append(box)
        self.before(brief)
        cost = self.costs.get(brief.index, CENT)
        meter.settle(meter.reserve(cost), cost)
        await sh(box, f"cd /app; {script}")
        return EpisodeEnd(state=STATE, spend=cost, duration_s=0.1)


@dataclass
class Scene:
    """A box with work in it, its judge, and everything that is told."""

    box: Box
    request: SampleRequest
    events: list[EventBody]

    async def sample(self, sampler: ForkSampler | None = None, **changes: object) -> SampleOutcome:
        request = replace(self.request, **changes)  # type: ignore[arg-type]
        return await (sampler or ForkSampler()).sample(request)

    def candidates(self) -> dict[int, MapCandidate]:
        return {e.index: e for e in self.events if isinstance(e, MapCandidate)}


async def scene(box: Box, plays: Plays, *, budget: Budget = Budget(), n: int = 3) -> Scene:
    await sh(
        box,
        "mkdir -p /app/sub /tmp; cd /app; echo 0 >out.txt; echo old >sub/old; chmod 640 sub/old",
    )
    checks = FileChecks(GOALS)
    suite = await checks.lay(box)
    events: list[EventBody] = []
    untouched = await look_at_untouched(box, suite)
    judge = GeneratedEvaluator(checks, suite=suite, untouched=untouched, emit=events.append)
    request = SampleRequest(
        box=box,
        state=STATE,
        surroundings=surroundings(),
        episode=plays,
        evaluator=judge,
        meter=Meter(budget=budget),
        emit=events.append,
        n=n,
        temperatures=(0.3, 0.5, 0.7),
        turn_spend=CENT,
        turn_s=1.0,
    )
    return Scene(box, request, events)


GROWING = {
    1: "echo 1 >out.txt",
    2: "printf '1\\n2\\n3\\n' >out.txt",
    3: "printf '1\\n2\\n' >out.txt",
}


@pytest.mark.must("map-22")
async def test_the_best_of_three_is_the_box(box):
    plays = Plays(GROWING)
    s = await scene(box, plays)
    outcome = await s.sample()
    assert (outcome.chosen, outcome.distinct, outcome.undecided) == (2, 3, False)
    assert await sh(box, "cat /app/out.txt") == "1\n2\n3\n"
    assert outcome.changed_paths == ("/app/out.txt",)
    assert outcome.evaluation is not None
    assert outcome.evaluation.passed
    assert outcome.spend == CENT + CENT + CENT
    briefs = sorted(plays.briefs, key=lambda brief: brief.index)
    assert [(b.temperature, b.hint.split(":")[0]) for b in briefs] == [
        (0.3, "precision"),
        (0.5, "balance"),
        (0.7, "recall"),
    ]
    told = s.candidates()
    assert [told[i].passing for i in range(4)] == [0, 1, 3, 2]
    assert "+3" in told[2].diff
    assert "-0" in told[1].diff, "losers stay visible with their diffs"
    losers = [f for f, b in zip(plays.forks, plays.briefs, strict=True) if b.index != 2]
    for fork in losers:
        with pytest.raises(BoxDied):
            await fork.exec(["true"])


@pytest.mark.must("map-22")
async def test_candidates_do_not_see_each_other(quick_box):
    plays = Plays({i: f"test ! -e mark; touch mark; ls >out.{i}" for i in (1, 2, 3)})
    s = await scene(quick_box, plays)
    await s.sample()
    listed = [s.candidates()[i].diff for i in (1, 2, 3)]
    assert all(f"+out.{i}" in diff and diff.count("added") == 1 for i, diff in enumerate(listed, 1))


@pytest.mark.must("map-22")
async def test_equal_candidates_try_once_more_and_are_dropped_if_still_equal(quick_box):
    same = "echo 1 >out.txt"
    plays = Plays({1: same, 2: [same, "printf '1\\n2\\n' >out.txt"], 3: [same, same]})
    s = await scene(quick_box, plays)
    outcome = await s.sample()
    again = [b for b in plays.briefs if b.told]
    assert sorted((b.index, round(b.temperature, 1)) for b in again) == [(2, 0.7), (3, 0.9)]
    assert all("+1" in b.told for b in again), "it is told what the other did"
    assert (outcome.chosen, outcome.distinct) == (2, 2)
    assert s.candidates()[3].problem == "equal to another candidate"


async def test_the_present_state_may_be_the_best(quick_box):
    s = await scene(quick_box, Plays({i: f"echo {i} >other{i}; rm out.txt" for i in (1, 2, 3)}))
    await sh(quick_box, "echo 1 >/app/out.txt")
    outcome = await s.sample()
    assert outcome.chosen == 0
    assert await sh(quick_box, "ls /app") == "out.txt\nsub\n"


async def test_checks_that_say_the_same_of_all_choose_nobody(quick_box):
    plays = Plays({i: f"echo {i} >new{i}" for i in (1, 2, 3)}, costs={2: Spend(billed_nano=1)})
    s = await scene(quick_box, plays)
    outcome = await s.sample(with_present=False)
    assert (outcome.chosen, outcome.undecided) == (2, True)
    assert (await s.sample()).chosen == 0, "the present state costs nothing"


MESSY = """rm -r sub; mkdir -p deep/er; echo 1 >'deep/er/a b'; chmod 750 deep
chmod 600 'deep/er/a b'; ln -s ../out.txt deep/link; ln -s nowhere dangling
printf '1\\n2\\n3\\n' >out.txt; chmod 755 out.txt"""


@pytest.mark.must("map-22")
async def test_what_is_carried_over_equals_the_fork(box):
    plays = Plays({1: MESSY, 2: "echo 1 >out.txt"})
    s = await scene(box, plays, n=2)
    place, before = surroundings(), await list_files(box, surroundings())
    looked: list[str] = []
    own_play = plays.play

    async def play(fork: Box, brief: CandidateBrief, meter: Meter) -> EpisodeEnd:
        opened = await list_files(fork, place)
        end = await own_play(fork, brief, meter)
        if brief.index == 1:
            looked.append((await changes_in(fork, place, opened)).digest)
        return end

    plays.play = play  # type: ignore[method-assign, assignment]
    adopted: list[Box] = []

    async def refuse(fork: Box) -> None:
        adopted.append(fork)
        raise NotImplementedError

    old, box.adopt = box.adopt, refuse
    outcome = await s.sample()
    box.adopt = old
    assert outcome.chosen == 1
    assert len(adopted) == 1
    assert (await changes_in(box, place, before)).digest == looked[0]
    assert await sh(
        box, "cat '/app/deep/er/a b'; readlink /app/dangling; readlink /app/deep/link"
    ) == ("1\nnowhere\n../out.txt\n")
    assert not (await box.exec(["test", "-e", "/app/sub"])).ok


async def test_a_candidate_that_fails_is_one_less(quick_box):
    def fail(brief: CandidateBrief) -> None:
        if brief.index == 1:
            raise ModelError("gone", reason="overloaded")
        if brief.index == 2:
            raise BudgetExhausted("no money", reason="budget_usd")

    s = await scene(quick_box, Plays(GROWING, before=fail))
    outcome = await s.sample()
    assert outcome.chosen == 3
    assert "gone" in s.candidates()[1].problem
    assert "no money" in s.candidates()[2].problem


@pytest.mark.must("map-23")
@pytest.mark.parametrize("how", ["error", "cancel"])
async def test_forks_close_on_every_way_out(box, how):
    plays = Plays(GROWING)
    s = await scene(box, plays)
    with anyio.CancelScope() as scope, suppress(ZeroDivisionError, ExceptionGroup):

        def stop(_: CandidateBrief) -> None:
            if len(plays.forks) == 3:
                if how == "cancel":
                    scope.cancel()
                else:
                    raise ZeroDivisionError

        plays.before = stop
        await s.sample()
    assert len(plays.forks) == 3
    for fork in plays.forks:
        with pytest.raises(BoxDied):
            await fork.exec(["true"])
    assert await sh(box, "cat /app/out.txt") == "0\n", "the box goes on as it was"


@pytest.mark.must("map-21")
async def test_money_is_reserved_and_a_share_is_kept(quick_box):
    plays = Plays(GROWING)
    s = await scene(quick_box, plays, budget=Budget(usd=0.30))
    outcome = await s.sample()
    (start,) = [e for e in s.events if isinstance(e, MapSampleStart)]
    assert (start.n, start.reserved_usd) == (3, 0.09)
    assert outcome.chosen == 2
    assert s.request.meter.held == Spend()
    assert s.request.meter.settled.cost_usd == pytest.approx(0.03)


@pytest.mark.must("map-21")
@pytest.mark.parametrize(
    ("usd", "left_s", "n"),
    [(0.30, None, 3), (0.16, None, 2), (0.10, None, None), (1.0, 7.0, 3), (1.0, 4.0, 2),
     (1.0, 2.0, None)],
)  # fmt: skip
async def test_what_cannot_be_afforded(quick_box, usd, left_s, n):
    s = await scene(quick_box, Plays(GROWING), budget=Budget(usd=usd))
    outcome = await s.sample(left_s=lambda: left_s)
    started = [e.n for e in s.events if isinstance(e, MapSampleStart)]
    assert started == ([n] if n else [])
    (done,) = [e for e in s.events if isinstance(e, MapSampleComplete)]
    assert (done.chosen is None) == (n is None)
    if n is None:
        assert outcome.reason
        assert await sh(quick_box, "cat /app/out.txt") == "0\n"


async def test_a_candidate_cannot_spend_more_than_its_part(quick_box):
    dear = Spend(billed_nano=60_000_000)
    s = await scene(quick_box, Plays(GROWING, costs={2: dear}), budget=Budget(usd=0.30))
    outcome = await s.sample()
    assert "BudgetExhausted" in s.candidates()[2].problem
    assert outcome.chosen == 3


async def test_a_box_that_cannot_fork_is_a_reason(quick_box):
    from mechagym.errors import SandboxError

    def refuse() -> None:
        raise SandboxError("no forks here", retry=False)

    s = await scene(quick_box, Plays(GROWING))
    quick_box.fork = refuse
    outcome = await s.sample()
    assert outcome.chosen is None
    assert "no forks here" in outcome.reason


def said(passing: int, *, failing: str = "", broken: tuple[str, ...] = ()) -> EvaluatorResult:
    failures = tuple(CheckFailure(test_name=name) for name in failing)
    return EvaluatorResult(
        progress=0.5, tests_passing=passing, tests_total=9, failures=failures, guards_broken=broken
    )


@pytest.mark.must("map-22")
@pytest.mark.parametrize(
    ("standings", "chosen", "undecided"),
    [
        ([Standing(index=1, said=said(3)), Standing(index=2, said=said(4, failing="a"))], 2, False),
        (
            [
                Standing(index=1, said=said(4, failing="a", broken=("g",))),
                Standing(index=2, said=said(4, failing="b"), cost_nano=99),
            ],
            2,
            False,
        ),
        (
            [
                Standing(index=1, said=said(4, failing="a"), cost_nano=5),
                Standing(index=2, said=said(4, failing="b"), cost_nano=3, changed=9),
            ],
            2,
            False,
        ),
        (
            [
                Standing(index=1, said=said(4, failing="a"), changed=2),
                Standing(index=2, said=said(4, failing="b"), changed=1),
            ],
            2,
            False,
        ),
        ([Standing(index=i, said=said(4, failing="ab"[i - 1])) for i in (2, 1)], 1, False),
        (
            [Standing(index=1, said=said(4), cost_nano=7), Standing(index=2, said=said(4))],
            2,
            True,
        ),
        ([Standing(index=1, said=None, cost_nano=7), Standing(index=2, said=None)], 2, True),
        ([Standing(index=1, said=None), Standing(index=2, said=said(0, failing="a"))], 2, False),
    ],
)
def test_the_rule(standings, chosen, undecided):
    choice = choose(standings)
    assert (choice.index, choice.undecided) == (chosen, undecided)


@pytest.mark.live
async def test_a_service_of_the_work_is_not_ended():
    async with open_python_box() as box:
        await _sample_beside_a_service(box)


async def _sample_beside_a_service(box: Box) -> None:
    server = ExecOptions(background=True, cwd="/app")
    ask = "python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 18474)).close()'"
    s = await scene(box, Plays(GROWING))
    await box.exec(["python3", "-m", "http.server", "18474", "--bind", "127.0.0.1"], server)
    await sh(box, f"for i in 1 2 3 4 5 6 7 8 9; do {ask} && exit 0; sleep 1; done; exit 1")
    outcome = await s.sample()
    assert outcome.chosen == 2
    assert await sh(box, "cat /app/out.txt") == "1\n2\n3\n"
    await sh(box, ask)


async def test_entries_tell_contents_links_and_modes(quick_box):
    await sh(quick_box, "mkdir -p /app; cd /app; echo x >f; ln -s f l; chmod 600 f")
    found = await entries_of(quick_box, ["/app/f", "/app/l", "/app", "/app/no"])
    assert [(e.path, e.kind) for e in found] == [
        ("/app", "folder"),
        ("/app/f", "file"),
        ("/app/l", "link"),
    ]
    assert found[1].mode == 0o600
    assert found[2].content == "f"
    assert digest_of(found, ()) != digest_of(found, ["/app/no"])


@pytest.mark.live
@pytest.mark.must("map-23")
async def test_forks_of_a_killed_sampler_are_gone_at_the_next_start(tmp_path):
    needs_parts()
    driver = "tests.agents.map.sampling_driver"
    argv = [sys.executable, "-m", driver, str(tmp_path)]
    async with await anyio.open_process(argv, cwd=ROOT, stderr=None) as process:
        assert process.stdout is not None
        said = b""
        with anyio.fail_after(60):
            while said.count(b"works") < 3:
                said += await process.stdout.receive()
        assert len(folders(tmp_path)) == 4, "the box and its forks"
        process.send_signal(signal.SIGKILL)
    sandbox = LocalSandbox(cache=tmp_path)
    with anyio.fail_after(60):  # what kept a box dies a moment after its controller
        while folders(tmp_path):
            await sandbox.reap(ReapScope())
            await anyio.sleep(0.1)
    await sandbox.aclose()
    left = Path("/proc/mounts").read_text(encoding="utf-8")
    assert str(tmp_path) not in left
